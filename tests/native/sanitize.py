"""``python -m tests.native.sanitize``: the engine under the address, undefined behavior and thread sanitizers.

First a driver in C on random models of odd shapes, with 1 to 8 threads, concurrent callers and forks.
Then the engine's Python tests with the sanitizers' runtime preloaded.
What the compiler lacks is skipped with the reason.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from instructor_embedding.engine.native import build
from tests.native import compiled

SANITIZERS = {
    "address and undefined behavior": ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"),
    "threads": ("-fsanitize=thread",),
}
RUNS = {"address and undefined behavior": ("compare", "threads"), "threads": ("compare", "callers")}
LIMIT = 1200  # seconds of one run of the driver, which takes one or two minutes on an idle machine
PYTHON_TESTS = """
import sys, pytest
from pathlib import Path
from instructor_embedding.engine import native_library
native_library.FILE = Path(sys.argv[1])
CHOSEN = "(test_equals and (avx2- or plain or neon-)) or fork or callers"
sys.exit(pytest.main(["-q", "-x", "tests/engine/test_native.py", "-k", CHOSEN]))
"""


def lacks(compiler, flags):
    """Return why the compiler cannot make programs with these flags, or nothing."""
    if not shutil.which(compiler):
        return f"there is no compiler {compiler!r}"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "empty.c"
        source.write_text("int main(void) { return 0; }\n", encoding="utf-8")
        done = subprocess.run([compiler, *flags, source, "-o", f"{folder}/a"], capture_output=True, text=True)
        if done.returncode == 0:
            done = subprocess.run([f"{folder}/a"], capture_output=True, text=True)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def driver(name, models):
    """Run the driver under one sanitizer; return its report if there is one."""
    flags = SANITIZERS[name]
    if missing := lacks("cc", flags):
        return f"skipped: {missing}", True
    with tempfile.TemporaryDirectory() as folder:
        problem = compiled.compile_driver(f"{folder}/driver", ["cc"], ["-O1", "-g", *flags])
        if problem:
            return problem, False
        for what in RUNS[name]:
            try:
                done = subprocess.run(
                    [f"{folder}/driver", what, str(models)], capture_output=True, text=True, timeout=LIMIT
                )
            except subprocess.TimeoutExpired:
                return f"'driver {what} {models}' did not end in {LIMIT} s: a deadlock, or a very busy machine", False
            print(done.stdout, end="", flush=True)
            if done.returncode or "ERROR" in done.stderr or "WARNING" in done.stderr:
                return done.stderr[:4000], False
    return "no report", True


def python_tests():
    """Run the engine's tests in python on a library under AddressSanitizer and UndefinedBehaviorSanitizer."""
    flags = SANITIZERS["address and undefined behavior"]
    if missing := lacks("cc", flags):
        return f"skipped: {missing}", True
    runtime = subprocess.run(["cc", "-print-file-name=libasan.so"], capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / build.LIBRARY
        problem = compiled.compile_all(library, ["cc"], ["-O1", "-g", *flags])
        if problem:
            return problem, False
        environment = os.environ | {"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0", "OMP_NUM_THREADS": "2"}
        done = subprocess.run([sys.executable, "-c", PYTHON_TESTS, library], env=environment)
    return "no report" if done.returncode == 0 else f"exit code {done.returncode}", done.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=60, help="random models of the driver")
    options = parser.parse_args()
    passed = True
    for name in SANITIZERS:
        report, fine = driver(name, options.models)
        print(f"driver, {name}: {report}", flush=True)
        passed = passed and fine
    report, fine = python_tests()
    print(f"python tests, address and undefined behavior: {report}")
    sys.exit(0 if passed and fine else 1)


if __name__ == "__main__":
    main()
