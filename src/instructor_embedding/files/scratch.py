"""Folders of files that are renamed when all are complete."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch_folder(home: Path, prefix: str) -> Iterator[Path]:
    """Make a folder in `home` for the time of a block; folders of the prefix that killed processes left are removed.

    Use it where several files belong together: write them there, `flush` it, and move them with ``os.replace``.
    """
    _remove_abandoned(home, prefix)
    with tempfile.TemporaryDirectory(dir=home, prefix=f"{prefix}{os.getpid()}-") as scratch:
        yield Path(scratch)


def flush(folder: Path) -> None:
    """Write the files of a folder to the disk, so that a power loss after their renames does not leave empty ones."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _remove_abandoned(home: Path, prefix: str) -> None:
    for path in home.glob(f"{prefix}*"):
        owner = path.name.removeprefix(prefix).partition("-")[0]
        try:
            os.kill(int(owner), 0)
        except (ProcessLookupError, ValueError):
            shutil.rmtree(path, ignore_errors=True)
        except OSError:
            pass  # it runs, as another user
