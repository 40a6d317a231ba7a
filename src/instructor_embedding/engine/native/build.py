"""Compiles the engine's C sources: run by hatch_build.py, and by the loader where the library beside them is stale.

It uses the standard library alone, since a build environment has nothing else.
Kernels are compiled once per instruction set, each with its own flags; all other files run on any CPU of the platform
and choose among the kernels at run time.
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
LIBRARY = "engine.dll" if sys.platform == "win32" else "engine.so"
WARNINGS = ("-Wall", "-Wextra", "-Wno-unused-function", "-Wno-psabi")
COMMON = ("-O3", "-std=gnu11", "-fvisibility=hidden", "-ffp-contract=off", *WARNINGS)
AVX2 = ("-mavx2", "-mfma", "-mf16c")
AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mf16c")
SOURCES = ("features.c", "forward.c", "interface.c", "pack.c", "pool.c", "run.c")
KERNELS = {  # machine: kernels and their flags
    "x86_64": {
        "kernels_plain.c": (),
        "kernels_avx2.c": AVX2,
        "kernels_avx2_vnni.c": AVX2,
        "kernels_avx512.c": AVX512,
        "kernels_avx512_vnni.c": (*AVX512, "-mavx512vnni"),
        "kernels_avx512_bf16.c": (*AVX512, "-mavx512vnni", "-mavx512bf16"),
    },
    "aarch64": {
        "kernels_plain.c": (),
        "kernels_neon.c": (),
        "kernels_neon_dotprod.c": ("-march=armv8.2-a+dotprod",),
        "kernels_neon_bf16.c": ("-march=armv8.2-a+dotprod+bf16",),
    },
}
NAMES = {"AMD64": "x86_64", "x86_64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64", "ARM64": "aarch64"}


def commands(folder: Path, scratch: Path, target: Path, compiler: list[str], machine: str) -> list[list[str]]:
    """Return what compiles the sources in `folder` and links them to the library `target`, by way of `scratch`."""
    common = [*COMMON] if sys.platform == "win32" else [*COMMON, "-fPIC"]
    flags = dict.fromkeys(SOURCES, ()) | KERNELS.get(machine, {"kernels_plain.c": ()})
    objects = [str(scratch / f"{Path(name).stem}.o") for name in flags]
    steps = [
        [*compiler, *common, *own, "-c", str(folder / name), "-o", output]
        for (name, own), output in zip(flags.items(), objects, strict=True)
    ]
    libraries = [] if sys.platform == "win32" else ["-lpthread", "-lm"]
    return [*steps, [*compiler, "-shared", "-o", str(target), *objects, *libraries]]


def compile_library(folder: Path, compiler: str | None = None) -> str:
    """Write the library into `folder` and return why that failed, or nothing.

    An older one is there until the new one is complete, as processes may load it meanwhile; a failure removes it.
    """
    problem = _replaced(folder, compiler)
    if problem:
        (folder / LIBRARY).unlink(missing_ok=True)
    return problem


def _replaced(folder: Path, compiler: str | None) -> str:
    command = shlex.split(compiler or os.environ.get("CC", "clang" if sys.platform == "win32" else "cc"))
    if not shutil.which(command[0]):
        return f"there is no C compiler {command[0]!r}"
    machine = NAMES.get(platform.machine(), platform.machine())
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        target = Path(scratch) / LIBRARY
        for step in commands(folder, Path(scratch), target, command, machine):
            done = subprocess.run(step, capture_output=True, text=True)
            if done.returncode:
                lines = done.stderr.splitlines()
                first = next((line for line in lines if "error" in line), lines[0] if lines else str(done.returncode))
                return f"{command[0]} failed ({first.strip()})"
        target.replace(folder / LIBRARY)
    return ""


if __name__ == "__main__":
    sys.exit(compile_library(FOLDER))
