"""TOML files: configurations that people write."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from instructor_embedding.errors import InputError


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file.

    Raises
    ------
    InputError
        The file is missing or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a toml file: {error}") from None
