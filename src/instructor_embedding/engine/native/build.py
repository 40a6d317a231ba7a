"""Compiles the engine's C sources: run by hatch_build.py, and by the loader where the library beside them is stale.

It uses the standard library alone, since a build environment holds nothing else.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
LIBRARY = "engine.so"
COMMON = ("-O3", "-std=gnu11", "-fPIC", "-fvisibility=default")
WIDE = ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mf16c")
BFLOAT16 = (*WIDE, "-mavx512bf16")
FLAGS = {  # of files that run before the CPU is known, or that need more than all others
    "features.c": (),
    "tiles_int8.c": (*WIDE, "-mavx512vnni"),
    "tiles_bfloat16.c": BFLOAT16,
    "attention_bfloat16.c": BFLOAT16,
}


def compile_library(folder: Path, compiler: str | None = None) -> str:
    """Write `folder`/engine.so and return why that failed, or nothing; an older one is removed first."""
    (folder / LIBRARY).unlink(missing_ok=True)
    if platform.machine() not in ("x86_64", "AMD64") or sys.platform not in ("linux", "darwin"):
        return f"{platform.machine()} on {sys.platform} has no sources"
    command = shlex.split(compiler or os.environ.get("CC", "cc"))
    if not shutil.which(command[0]):
        return f"there is no C compiler {command[0]!r}"
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        target = Path(scratch) / LIBRARY
        steps: list[list[str | Path]] = [
            [*command, *COMMON, *FLAGS.get(source.name, WIDE), "-c", source, "-o", Path(scratch) / f"{source.stem}.o"]
            for source in sorted(folder.glob("*.c"))
        ]
        link: list[str | Path] = [*command, "-shared", "-o", target, *(step[-1] for step in steps), "-lpthread", "-lm"]
        for step in (*steps, link):
            done = subprocess.run(step, capture_output=True, text=True)
            if done.returncode:
                lines = done.stderr.splitlines()
                first = next((line for line in lines if "error" in line), lines[0] if lines else str(done.returncode))
                return f"{command[0]} failed ({first.strip()})"
        target.replace(folder / LIBRARY)
    return ""
