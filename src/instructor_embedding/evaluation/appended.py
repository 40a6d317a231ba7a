"""Files of JSON lines that grow as a run proceeds, so that an interrupted run resumes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from instructor_embedding.errors import InputError


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Append one record as a line.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def mend(path: Path) -> None:
    """Remove a last line without an end, which a process that was killed leaves; end it if it is complete."""
    if not path.is_file():
        return
    with path.open("rb+") as file:
        data = file.read()
        end = data.rfind(b"\n") + 1
        if end == len(data):
            return
        try:
            json.loads(data[end:])
        except ValueError:
            file.truncate(end)
        else:
            file.seek(0, os.SEEK_END)
            file.write(b"\n")
