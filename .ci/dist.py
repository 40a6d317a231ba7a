"""Installs what `make dist` built into an empty environment, with and without a C compiler, and tests it.

python .ci/dist.py --dist dist --environment FOLDER [--tests PYTHON]

With ``--tests`` the quick tests run in the unpacked source distribution, by a Python that has the dependencies of the
extra dev.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def environment(python: Path, compiler: bool) -> dict[str, str]:
    """Return the variables of a shell whose path has no C compiler, or that of this one."""
    variables = {name: value for name, value in os.environ.items() if name not in ("CC", "PYTHONPATH")}
    return variables if compiler else variables | {"PATH": str(python.parent)}


def check(python: Path, archive: Path, compiler: bool) -> None:
    """Install an archive; run the self-check, and an encoder where the engine is compiled."""
    print(f"\n{archive.name}, {'with' if compiler else 'without'} a compiler", flush=True)
    variables = environment(python, compiler)
    subprocess.run([python, "-m", "pip", "uninstall", "-q", "-y", "instructor-embed"], check=True)
    install = [python, "-m", "pip", "install", "-q", "--no-cache-dir", archive]
    subprocess.run(install, check=True, env=variables)
    subprocess.run([python, "-m", "pip", "check"], check=True, env=variables)
    compiled = compiler or archive.suffix == ".whl"
    doctor = subprocess.run([python.parent / "instructor-embed", "doctor"], env=variables)
    # there is no torch here: without the compiled engine, doctor reports that nothing can encode, and how to mend it
    if doctor.returncode != (0 if compiled else 1):
        sys.exit(f"instructor-embed doctor ended with {doctor.returncode}")
    if compiled:
        subprocess.run([python, ROOT / "tests" / "native" / "check_wheel.py"], check=True, env=variables)


def run_tests(archive: Path, python: str) -> None:
    """Run the quick tests where the source distribution is unpacked."""
    with tempfile.TemporaryDirectory() as folder, tarfile.open(archive) as source:
        source.extractall(folder, filter="data")
        home = next(Path(folder).iterdir())
        variables = os.environ | {"PYTHONPATH": str(home / "src")}
        build = home / "src" / "instructor_embedding" / "engine" / "native" / "build.py"
        subprocess.run([python, build], check=True)
        subprocess.run([python, "-m", "pytest", "-m", "not slow"], check=True, cwd=home, env=variables)


def main() -> None:
    """Create the environment, install and check each archive."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    parser.add_argument("--environment", type=Path, required=True)
    parser.add_argument("--tests", metavar="PYTHON")
    options = parser.parse_args()
    subprocess.run([sys.executable, "-m", "venv", "--clear", options.environment], check=True)
    python = (options.environment / "bin" / "python").absolute()
    (source,) = options.dist.glob("*.tar.gz")
    for compiler in (False, True):
        check(python, source, compiler)
    for wheel in options.dist.glob("*.whl"):
        check(python, wheel, False)
    if options.tests:
        run_tests(source, options.tests)


if __name__ == "__main__":
    main()
