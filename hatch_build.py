"""Compiles the engine's C sources when a wheel or an editable install is built, where that is possible.

Without a compiler, or on a system without sources, the package stays pure and runs through torch alone.
"""

from __future__ import annotations

import importlib.util
import platform
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("src/instructor_embedding/engine/native")


def builder(root: Path) -> Any:
    """Return the module that compiles; the package itself cannot be imported while it is built."""
    spec = importlib.util.spec_from_file_location("native_build", root / FOLDER / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class CustomBuildHook(BuildHookInterface):
    """Called by hatchling."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and name the platform in the wheel."""
        if self.target_name != "wheel":
            return
        build = builder(Path(self.root))
        problem = build.compile_library(Path(self.root) / FOLDER)
        if problem:
            self.app.display_warning(f"the compiled CPU engine is left out: {problem}; torch runs in its place")
            return
        build_data["artifacts"].append(f"/{FOLDER / build.LIBRARY}")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag()}"


def platform_tag() -> str:
    """Return the wheel's platform: no Python version or ABI, since the library is loaded by ctypes.

    A library for macOS is of this CPU alone, also where Python itself is built for two; cibuildwheel's auditwheel turns
    ``linux`` into the manylinux or musllinux tag that the library's symbols allow.
    """
    name = sysconfig.get_platform().replace("universal2", platform.machine())
    return name.replace("-", "_").replace(".", "_")
