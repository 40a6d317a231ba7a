"""Compiles the engine's C sources when a wheel or an editable install is built, where that is possible.

Without a compiler, or on another CPU family or system, the package stays pure and runs through torch alone.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("src/instructor_embedding/engine/native")
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


class CustomBuildHook(BuildHookInterface):
    """Called by hatchling."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and name the platform in the wheel."""
        if self.target_name != "wheel":
            return
        problem = compile_library(Path(self.root) / FOLDER)
        if problem:
            self.app.display_warning(f"the compiled CPU engine is left out: {problem}; torch runs in its place")
            return
        build_data["artifacts"].append(f"/{FOLDER / LIBRARY}")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


def compile_library(folder: Path, compiler: str | None = None) -> str:
    """Make `folder`/engine.so and return why it could not be made, or nothing; an older one is removed first."""
    (folder / LIBRARY).unlink(missing_ok=True)
    if platform.machine() not in ("x86_64", "AMD64") or sys.platform not in ("linux", "darwin"):
        return f"{platform.machine()} on {sys.platform} has no sources"
    command = shlex.split(compiler or os.environ.get("CC", "cc"))
    if not shutil.which(command[0]):
        return f"there is no C compiler {command[0]!r}"
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        target = Path(scratch) / LIBRARY
        steps = [
            [*command, *COMMON, *FLAGS.get(source.name, WIDE), "-c", source, "-o", Path(scratch) / f"{source.stem}.o"]
            for source in sorted(folder.glob("*.c"))
        ]
        link = [*command, "-shared", "-o", target, *(step[-1] for step in steps), "-lpthread", "-lm"]
        for step in (*steps, link):
            done = subprocess.run(step, capture_output=True, text=True)
            if done.returncode:
                said = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
                return f"{command[0]} failed ({said[0].strip() if said else done.returncode})"
        target.replace(folder / LIBRARY)
    return ""
