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
# classes of other packages that import InstructorEmbedding
EXISTING = {
    "existing-langchain": ["langchain-community"],
    "existing-haystack": ["instructor-embedders-haystack", "haystack-ai<2.20"],
    "existing-llama-index": ["llama-index-embeddings-instructor", "llama-index-core"],
}
STORES = {
    "stores": [
        *("lancedb", "pgserver", "psycopg[binary]", "pgvector", "pyarrow", "qdrant-client", "qdrant-edge-py", "usearch")
    ]
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"default: {', '.join([*FRAMEWORKS, *EXISTING, *STORES])}")
    parser.add_argument("--environments", type=Path, default=ROOT / ".integrations")
    arguments = parser.parse_args()
    known = FRAMEWORKS | EXISTING | STORES
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
        # some require the unmaintained InstructorEmbedding, so this package is installed last, over it
        subprocess.run([*install, "--force-reinstall", "--no-deps", ROOT], check=True)
        (environment / "ready").touch()
    command = [python, "-m", "pytest", "-q", "-rs", *arguments_of(name)]
    if name not in EXISTING:  # those are tested as installed
        command = ["env", f"PYTHONPATH={ROOT / 'src'}", *command]
    print(f"== {name}", flush=True)
    return subprocess.run(command, cwd=ROOT).returncode == 0


def arguments_of(name: str) -> list[str]:
    """Return the tests of an environment, as arguments of pytest."""
    if name in STORES:
        return ["tests/index"]
    if name in EXISTING:
        test = name.removeprefix("existing-").replace("-", "_")
        return ["tests/integrations/test_existing_classes.py", "-k", test, "--require-libraries"]
    options = ["-o", "asyncio_mode=auto"] if name == "langchain" else []
    return [f"tests/integrations/test_{name.replace('-', '_')}.py", "tests/integrations/test_snippets.py", *options]


if __name__ == "__main__":
    main()
