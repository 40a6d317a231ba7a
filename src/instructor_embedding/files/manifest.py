"""The manifest of stored vectors: which model, precision and instructions made them, and how queries must be encoded.

It lies beside the rows, as ``manifest.json`` in a folder or as a row of a table, and is the same for every store.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from instructor_embedding.errors import InputError
from instructor_embedding.files.atomic import replacing

NAME = "manifest.json"
VERSION = 1
COLUMN_TYPES = ("text", "int", "float", "bool")


@dataclass(frozen=True)
class Field:
    """One vector per row, all made with one instruction.

    Parameters
    ----------
    instruction : str
        Of the stored texts.
    query_instruction : str
        Of the queries that are compared with them.
    complete : bool
        False while the vectors of stored rows are being added.
    """

    instruction: str
    query_instruction: str
    complete: bool = True


@dataclass(frozen=True)
class Manifest:
    """What is known of the vectors of a folder or a table.

    Parameters
    ----------
    store : str
        Kind of the store: ``"parquet"``, ``"lancedb"``, ``"postgres"``, ``"qdrant"``, ...
    model : str
        Hub id or folder, to load the model again.
    fingerprint : str
        Of the model, see `fingerprint.of_model`.
    dimension : int
        Of every vector.
    precision : str
        The model computed in: ``"exact"``, ``"fast"`` or ``"int8"``.
    fields : dict of str to Field
        Vector columns by name; at least one.
    columns : dict of str to str
        Payload columns and their types, see `COLUMN_TYPES`.
    shards : tuple of str
        Names of the parquet files, in their order; of the parquet store alone.
    version : int
        Of the format.
    """

    store: str
    model: str
    fingerprint: str
    dimension: int
    precision: str = "exact"
    fields: Mapping[str, Field] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    shards: tuple[str, ...] = ()
    version: int = VERSION

    def to_json(self) -> str:
        """Return the manifest as JSON, indented."""
        return json.dumps({"format": "instructor-embedding vectors", **asdict(self)}, ensure_ascii=False, indent=1)

    def changed(self, **values: Any) -> Manifest:
        """Return a copy with other values."""
        return replace(self, **values)


def parse(text: str, where: str) -> Manifest:
    """Return the manifest that a JSON text describes.

    Raises
    ------
    InputError
        It is not a manifest, or of a later version.
    """
    try:
        values = json.loads(text)
        version = values["version"]
        if not isinstance(version, int):
            raise TypeError("the version is not an integer")
        if version > VERSION:
            raise InputError(
                f"{where} is an index of version {version}, and this release reads versions up to {VERSION}; "
                "install a later one: pip install -U instructor-embedding"
            )
        return Manifest(
            store=str(values["store"]),
            model=str(values["model"]),
            fingerprint=str(values["fingerprint"]),
            dimension=int(values["dimension"]),
            precision=str(values["precision"]),
            fields={name: Field(**options) for name, options in values["fields"].items()},
            columns={name: str(kind) for name, kind in values["columns"].items()},
            shards=tuple(map(str, values["shards"])),
            version=version,
        )
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{where} is not the manifest of an index: {type(error).__name__} {error}") from None


def read(folder: str | os.PathLike[str]) -> Manifest:
    """Return the manifest of a folder.

    Raises
    ------
    InputError
        The folder has none, or of a later version.
    """
    path = Path(folder) / NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(
            f"{folder} is not an index: it has no {NAME}; make one: instructor-embed index build FILE -o {folder}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    return parse(text, str(path))


def write(folder: str | os.PathLike[str], manifest: Manifest) -> None:
    """Write the manifest of a folder; a reader sees the former one or this one.

    Raises
    ------
    InputError, OutputError
        It cannot be written.
    """
    with replacing(Path(folder) / NAME) as file:
        file.write(manifest.to_json().encode() + b"\n")


def exists(folder: str | os.PathLike[str]) -> bool:
    """Return True if a folder has a manifest."""
    return (Path(folder) / NAME).is_file()
