"""Sources of training data: what each file holds, and its relations, whatever its format."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from instructor_embedding.errors import InputError
from instructor_embedding.files.records import Reject
from instructor_embedding.medi import instructions, kilt, medmcqa, pairs, squad
from instructor_embedding.medi.instructions import Facts
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
    sha256 : str
        As the catalog states it, ``""`` where it does not.
    """

    name: str
    path: Path
    facts: Facts | None
    licence: str
    reader: Reader
    sha256: str = ""

    def checked(self) -> str:
        """Return the sha256 of the file.

        Raises
        ------
        InputError
            It is not what the catalog states.
        """
        found = digest(self.path)
        if self.sha256 and found != self.sha256:
            raise InputError(
                f"{self.path} is not the file that {CATALOG} names: its sha256 is {found}, not {self.sha256}; "
                f"get the file again, or take the sha256 out of {CATALOG}"
            )
        return found


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    content = sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            content.update(block)
    return content.hexdigest()


def sources(folder: Path, takes: Callable[[str], bool] = lambda path: True) -> list[Source]:
    """List the sources of a folder, by name.

    Use a file ``SOURCES.json`` to give facts: ``{"pairs": [{"file": ..., "domain": ..., "text_types": [query, pos],
    "kind": ..., "licence": ..., "sha256": ...}]}``, paths as in the folder. Files that it does not name are looked up
    in the table of known sources. Folders and files named ``super_ni`` or ``task...`` hold Super-NaturalInstructions.
    MedMCQA gives two sources: questions with options, and questions with explanations.

    Parameters
    ----------
    folder : path
    takes : callable, optional
        Says of a path in the folder whether the file is wanted.

    Raises
    ------
    InputError
        The folder is missing or holds no source, or there are no facts for a file.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; pass the folder that holds the sources")
    catalog = _catalog(folder)
    files = sorted(path for path in folder.rglob("*") if path.name.endswith(_ENDINGS) and path.name != CATALOG)
    if not files:
        raise InputError(f"{folder} holds no source; expected files ending in {', '.join(_ENDINGS)}")
    found: list[Source] = []
    for path in files:
        place = path.relative_to(folder).as_posix()
        if takes(place):
            found += _sources(path, place, catalog.get(place, {}))
    return sorted(found, key=lambda source: source.name)


def _sources(path: Path, place: str, entry: dict[str, Any]) -> list[Source]:
    name, licence, sha256 = _name(path), str(entry.get("licence", "")), str(entry.get("sha256", ""))
    if "super_ni" in place or _TASK.match(name):
        return [Source(name, path, None, licence, pairs.read, sha256)]
    if "medmcqa" in name.lower():
        answers = Source(name, path, instructions.known("medmcqa"), licence, medmcqa.read, sha256)
        explained = instructions.known("medmcqa_explanations")
        more = answers._replace(name=f"{name}_explanations", facts=explained, reader=medmcqa.read_explanations)
        return [answers, more]
    facts = _facts(entry, path) if entry else instructions.known(name)
    return [Source(name, path, facts, licence, _reader(path, name), sha256)]


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
        return Facts(domain, types[0], types[-1] if len(types) < 2 else types[1], str(entry["kind"]))
    except (KeyError, IndexError, TypeError) as error:
        raise InputError(f"{CATALOG} lacks {error} for {path.name}; it needs domain, text_types and kind") from None


def _reader(path: Path, name: str) -> Reader:
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
