"""Test the integrations, each against the current release of its framework in an environment of its own.

``python tests/integrations/run.py [NAME ...] [--environments FOLDER]``; an environment that is there is used again.
"""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
# framework: what its tests need; requirements of different frameworks conflict
FRAMEWORKS = {
    "langchain": ["langchain-core", "langchain-tests", "pytest-asyncio"],
    "llama-index": ["llama-index-core"],
    "haystack": ["haystack-ai"],
    "chroma": ["chromadb"],
    "lancedb": ["lancedb"],
    "sklearn": ["scikit-learn", "pandas"],
    "bertopic": ["bertopic"],
    "keybert": ["keybert"],
}
STORES = {"stores": ["lancedb", "pgserver", "psycopg[binary]", "pgvector", "pyarrow", "qdrant-edge-py"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"default: {', '.join([*FRAMEWORKS, *STORES])}")
    parser.add_argument("--environments", type=Path, default=ROOT / ".integrations")
    arguments = parser.parse_args()
    known = FRAMEWORKS | STORES
    names = arguments.names or list(known)
    if unknown := set(names) - set(known):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    failed = [name for name in names if not passes(name, known[name], arguments.environments / name)]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def passes(name: str, requirements: list[str], environment: Path) -> bool:
    python = environment / "bin" / "python"
    if not (environment / "ready").exists():
        install = [python, "-m", "pip", "install", "-q"]
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run([*install, "-c", ROOT / "constraints.txt", "torch"], check=True)
        subprocess.run([*install, "pytest", ROOT, *requirements], check=True)
        (environment / "ready").touch()
    own = f"tests/integrations/test_{name.replace('-', '_')}.py"
    tests = ["tests/index"] if name in STORES else [own, "tests/integrations/test_snippets.py"]
    options = ["-o", "asyncio_mode=auto"] if name == "langchain" else []
    command = ["env", f"PYTHONPATH={ROOT / 'src'}", python, "-m", "pytest", "-q", "-rs", *options, *tests]
    print(f"== {name}", flush=True)
    return subprocess.run(command, cwd=ROOT).returncode == 0


if __name__ == "__main__":
    main()
