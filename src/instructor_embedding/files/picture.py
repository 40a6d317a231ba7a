"""Pictures out: matplotlib's figures, through the one writer of files."""

from __future__ import annotations

import io
import os
from typing import Any

from instructor_embedding.errors import InputError
from instructor_embedding.extras import need
from instructor_embedding.files.atomic import check_target, replacing

FORMATS = ("png", "svg", "pdf")


def check(path: str | os.PathLike[str]) -> str:
    """Return the format of a picture by its extension; call it before long work.

    Raises
    ------
    InputError
        The extension is another, or the file cannot be written.
    MissingExtraError
        matplotlib is not installed.
    """
    extension = os.path.splitext(os.fspath(path))[1].lower().lstrip(".")
    if extension not in FORMATS:
        raise InputError(f"{os.fspath(path)!r}: a picture ends with .{', .'.join(FORMATS)}")
    check_target(path)
    need("matplotlib", "a picture")
    return extension


def write(figure: Any, path: str | os.PathLike[str], dpi: int = 130) -> None:
    """Write a figure of matplotlib; errors as `check`."""
    extension = check(path)
    buffer = io.BytesIO()
    metadata = {"Software": None} if extension == "png" else None  # equal figures give equal files
    figure.savefig(buffer, format=extension, dpi=dpi, metadata=metadata)
    with replacing(path) as file:
        file.write(buffer.getvalue())
