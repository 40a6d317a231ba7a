"""Json files of a checkpoint: read in bounded time and memory, or refused by name."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from instructor_embedding.errors import CheckpointError

DOWNLOAD = "download or copy it again"
_LARGEST = 256 << 20  # bytes; the largest tokenizer.json in use has 17 million


def checked_file(path: Path, largest: int | None = None) -> int:
    """Return the size of a regular file.

    Raises
    ------
    CheckpointError
        It is missing, is a folder, a device or a pipe, or has more than `largest` bytes.
    """
    try:
        facts = path.stat()
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing; is {path.parent} a complete checkpoint?") from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from None
    if not stat.S_ISREG(facts.st_mode):
        raise CheckpointError(f"{path} is not a regular file")
    if largest is not None and facts.st_size > largest:
        raise CheckpointError(f"{path} has {facts.st_size:,} bytes; at most {largest:,} are read")
    return facts.st_size


def read_json(path: Path) -> Any:
    """Read a json file; a byte order mark is skipped.

    Raises
    ------
    CheckpointError
        It is missing, not a regular file, or not json; the message says which file and where.
    """
    checked_file(path, _LARGEST)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise CheckpointError(f"{path} is not a json file; {DOWNLOAD}") from None
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path} is corrupt json at line {error.lineno}: {error.msg}; {DOWNLOAD}") from None
    except RecursionError:
        raise CheckpointError(f"{path} is nested too deeply") from None
    except ValueError:  # an integer of thousands of digits
        raise CheckpointError(f"{path} has a number that is too long") from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from None


def optional_object(path: Path) -> dict[str, Any]:
    """Return the object of a json file, empty where there is no file or no object in it."""
    content = read_json(path) if path.exists() else {}
    return content if isinstance(content, dict) else {}
