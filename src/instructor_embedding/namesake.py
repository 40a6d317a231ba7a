"""The unmaintained distribution InstructorEmbedding, which installs into the same import folder as this package.

Whichever of the two is installed last owns the files of ``InstructorEmbedding/``, and uninstalling either removes them.
"""

from __future__ import annotations

import warnings
from importlib import metadata, util
from pathlib import Path

DISTRIBUTION = "InstructorEmbedding"
REPAIR = "pip uninstall -y InstructorEmbedding && pip install --force-reinstall --no-deps instructor-embed"

OURS = "ours"
REPLACED = "replaced"
MISSING = "missing"


def state() -> str:
    """Return who owns the import folder: ``"ours"``, ``"replaced"`` or ``"missing"``."""
    try:
        spec = util.find_spec("InstructorEmbedding")
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        return MISSING
    try:
        source = Path(spec.origin).with_name("instructor.py").read_text(encoding="utf-8")
    except OSError:
        return MISSING
    return OURS if "from instructor_embedding." in source else REPLACED


def installed_version(distribution: str = DISTRIBUTION) -> str | None:
    """Return the version of a distribution, by default the other one, where it is installed, else None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def problem() -> str | None:
    """Describe a conflict with the other distribution in one sentence, or return None."""
    owner, other = state(), installed_version()
    if owner == REPLACED:
        return (
            f"`from InstructorEmbedding import INSTRUCTOR` gives the unmaintained package {DISTRIBUTION} "
            f"{other or ''}, which was installed over this one; to repair: {REPAIR}"
        ).replace("  ", " ")
    if owner == MISSING:
        return (
            "the import name InstructorEmbedding is missing, as after uninstalling the package of that name; "
            "to repair: pip install --force-reinstall --no-deps instructor-embed"
        )
    if other is not None:
        return (
            f"the unmaintained package {DISTRIBUTION} {other} is installed too, into the same folder: uninstalling or "
            f"upgrading it removes files of this package; to repair: {REPAIR}"
        )
    return None


def warn_if_replaced() -> None:
    """Warn where the other distribution was installed over this one; costs one file read."""
    if state() == REPLACED:
        warnings.warn(problem() or "", UserWarning, stacklevel=3)
