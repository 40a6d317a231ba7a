"""``python -m tests.fuzz``: damaged checkpoints, data files and request bodies, and faults of disks and processes.

Each kind gets its share of the seconds; the exit code is 1 if anything crashed, hung, gave a traceback or loaded
wrongly. A failure names the number that repeats it with the same seed: ``--kinds checkpoints --attempts 1234``.
"""

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOURCE = Path(__file__).with_name("faults.c")
KINDS = ("checkpoints", "records", "bodies", "faults")


def sequence(options, seconds):
    """Yield 0, 1, 2 and so on until the time is over, or the attempts that are requested."""
    if options.attempts:
        yield from options.attempts
        return
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        yield number
        number += 1


def attempts(kind, options, seconds):
    """Run one kind in a folder of its own; returns counts and failures."""
    module = importlib.import_module(f"tests.fuzz.{kind}")
    with tempfile.TemporaryDirectory() as folder:
        return module.run(Path(folder), options.seed, sequence(options, seconds))


def library(home):
    """Compile what is preloaded; returns its path, or why there is none."""
    target = home / "faults.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", str(SOURCE), "-o", str(target), "-ldl"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return None, "there is no compiler cc"
    return (target, "") if done.returncode == 0 else (None, done.stderr.splitlines()[-1])


def preloaded(arguments):
    """Run the faults in a process with the library that makes calls fail; returns its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        path, problem = library(Path(folder))
        if path is None:
            print(f"faults: skipped: {problem}")
            return 0
        environment = os.environ | {"LD_PRELOAD": str(path), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        return subprocess.run([sys.executable, "-m", "tests.fuzz", *arguments], env=environment).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--attempts", nargs="+", type=int, help="repeat these attempts alone")
    options = parser.parse_args()
    code = 0
    for kind in options.kinds:
        seconds = options.seconds / len(options.kinds)
        if kind == "faults" and "faults.so" not in os.environ.get("LD_PRELOAD", ""):
            arguments = ["--kinds", kind, "--seconds", str(seconds), "--seed", str(options.seed)]
            code |= preloaded(arguments)
            continue
        counts, failures = attempts(kind, options, seconds)
        print(f"{kind}: " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items())), flush=True)
        for failure in failures:
            print(f"FAILED {failure}", flush=True)
        code |= bool(failures)
    sys.exit(code)


if __name__ == "__main__":
    main()
