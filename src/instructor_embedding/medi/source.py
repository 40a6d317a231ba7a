"""Sources of training data: what each file holds, and its relations, whatever its format."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from instructor_embedding.errors import InputError
from instructor_embedding.medi import instructions, kilt, medmcqa, pairs, squad
from instructor_embedding.medi.instructions import Facts
from instructor_embedding.medi.records import Reject
from instructor_embedding.medi.relation import Relation

CATALOG = "SOURCES.json"
_TASK = re.compile(r"(sub)?task\d")
_ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".jsonl.zst")
Reader = Callable[[Path, Callable[[Reject], None] | None], Iterator[Relation]]


class Source(NamedTuple):
    """One file of relations, or of tasks where `facts` is None.

    Attributes
    ----------
    name : str
        The file's name without endings.
    path : Path
    facts : Facts or None
        None for Super-NaturalInstructions, whose tasks bring their own.
    licence : str
        As the catalog states it, ``""`` where it does not.
    reader : callable
        Yields the file's relations.
    """

    name: str
    path: Path
    facts: Facts | None
    licence: str
    reader: Reader


def sources(folder: Path) -> list[Source]:
    """List the sources of a folder, by name.

    Use a file ``SOURCES.json`` to give facts: ``{"pairs": [{"file": ..., "domain": ..., "text_types": [query, pos],
    "kind": ..., "licence": ...}]}``, paths as in the folder. Files that it does not name are looked up in the table of
    known sources. Folders and files named ``super_ni`` or ``task...`` hold Super-NaturalInstructions.

    Raises
    ------
    InputError
        The folder is missing or holds no source, or there are no facts for a file.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; pass the folder that holds the sources")
    catalog = _catalog(folder)
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.name.endswith(_ENDINGS) and path.name != CATALOG):
        name = _name(path)
        entry = catalog.get(path.relative_to(folder).as_posix(), {})
        if "super_ni" in path.relative_to(folder).as_posix() or _TASK.match(name):
            found.append(Source(name, path, None, str(entry.get("licence", "")), pairs.read))
        else:
            facts = _facts(entry, path) if entry else instructions.known(name)
            found.append(Source(name, path, facts, str(entry.get("licence", "")), _reader(path, name)))
    if not found:
        raise InputError(f"{folder} holds no source; expected files ending in {', '.join(_ENDINGS)}")
    return sorted(found, key=lambda source: source.name)


def _catalog(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / CATALOG
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(entry["file"]): entry for part in ("pairs", "super_ni") for entry in content.get(part, [])}
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, KeyError, TypeError) as error:
        raise InputError(f'{path} is no catalog: {error}; expected {{"pairs": [{{"file": ..., ...}}]}}') from None


def _facts(entry: dict[str, Any], path: Path) -> Facts:
    try:
        types = [str(kind) for kind in entry["text_types"]]
        domain = str(entry.get("domain", "")).split(" (")[0]
        pos = types[2] if entry["kind"] == "question answering" and "options" in types[1:2] else types[1:2] or types[:1]
        return Facts(domain, types[0], pos if isinstance(pos, str) else pos[0], str(entry["kind"]))
    except (KeyError, IndexError, TypeError) as error:
        raise InputError(f"{CATALOG} lacks {error} for {path.name}; it needs domain, text_types and kind") from None


def _reader(path: Path, name: str) -> Reader:
    if "medmcqa" in name.lower():
        return medmcqa.read
    if "squad" in path.as_posix().lower() and "pairs" not in name.lower():
        return squad.read
    if "kilt" in path.as_posix().lower():
        return kilt.read
    return pairs.read


def _name(path: Path) -> str:
    name = path.name
    for ending in (".gz", ".zst", ".jsonl", ".json"):
        name = name.removesuffix(ending)
    return name.replace(".", "_")
