"""Builds of the engine for tests: with emulated instructions, with sanitizers, for another CPU."""

from __future__ import annotations

import functools
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from instructor_embedding.engine import native_library
from instructor_embedding.engine.native import build

FOLDER = Path(__file__).parent
MACHINE = build.NAMES.get(platform.machine(), platform.machine())
NAMES = (
    "avx512_bf16", "avx512_vnni", "avx512", "avx2_vnni", "avx2", "neon_bf16", "neon_dotprod", "neon", "plain",
)  # fmt: skip
RUNNING = native_library.kernels()  # without emulation
EMULATED = ("kernels_avx2_vnni.c", "kernels_avx512.c", "kernels_avx512_vnni.c", "kernels_avx512_bf16.c")


def sources(emulated, machine):
    """Return each source's flags; instructions that this CPU may lack are emulated where that is requested."""
    flags = {build.FOLDER / name: () for name in build.SOURCES}
    for name, own in build.KERNELS.get(machine, {"kernels_plain.c": ()}).items():
        replaced = emulated and name in EMULATED
        flags[build.FOLDER / name] = ("-include", str(FOLDER / "emulated_avx512.h"), *build.AVX2) if replaced else own
    if emulated:
        del flags[build.FOLDER / "features.c"]
        flags[FOLDER / "all_features.c"] = ()
    return flags


def compile_all(target, compiler, flags, emulated=False, machine=MACHINE, extra=(), link=("-shared",)):
    """Compile the engine, and `extra` sources, into `target`; returns what went wrong, or nothing."""
    with tempfile.TemporaryDirectory() as folder:
        objects = []
        running = []
        for source, own in (sources(emulated, machine) | dict.fromkeys(extra, ())).items():
            objects.append(f"{folder}/{len(objects)}.o")
            step = [
                *compiler,
                *build.COMMON,
                "-fPIC",
                *flags,
                *own,
                "-I",
                build.FOLDER,
                "-c",
                source,
                "-o",
                objects[-1],
            ]
            running.append(subprocess.Popen(step, stderr=subprocess.PIPE, text=True))
        errors = [(process.communicate()[1], process.returncode) for process in running]
        if problem := next((error for error, code in errors if code), ""):
            return problem
        done = subprocess.run(
            [*compiler, *flags, *link, "-o", target, *objects, "-lpthread", "-lm"], capture_output=True, text=True
        )
        return done.stderr if done.returncode else ""


def compile_driver(target, compiler, flags, emulated=False, machine=MACHINE):
    """Compile the engine and the driver that runs it without Python."""
    return compile_all(target, compiler, flags, emulated, machine, extra=[FOLDER / "driver.c"], link=())


@functools.cache
def kernels(name):
    """Return the libraries that `name` is in: those of this CPU, or emulated ones where they can be compiled."""
    real = native_library._available()
    if any(library.name == name for library in real) or not emulated_library():
        return real
    before = native_library.FILE
    native_library.FILE = emulated_library()
    try:
        return native_library._available.__wrapped__()
    finally:
        native_library.FILE = before


@functools.cache
def emulated_library():
    """Return the path of a library whose kernels all run here, or None where it cannot be compiled."""
    if MACHINE != "x86_64" or not shutil.which("cc"):
        return None
    folder = Path(tempfile.mkdtemp())
    problem = compile_all(folder / build.LIBRARY, ["cc"], ["-O1"], emulated=True)
    assert not problem, problem
    return folder / build.LIBRARY
