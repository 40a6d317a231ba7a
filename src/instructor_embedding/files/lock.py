"""A folder that one process writes to at a time."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import IO

from instructor_embedding.errors import InputError


def locked(folder: Path, message: str) -> IO[bytes]:
    """Keep other processes on this machine out of a folder until the file that is returned is closed.

    Where the system has no locks, such as on Windows, nothing is kept out.

    Raises
    ------
    InputError
        Another process has locked the folder; with the message.
    OSError
        There is no such folder, or it cannot be written.
    """
    file = open(folder / "lock", "ab")  # noqa: SIM115
    with contextlib.suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise InputError(message) from None
    return file
