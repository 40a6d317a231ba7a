"""``SOURCES.json``: the facts of the files in a folder of sources, see docs/medi.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from instructor_embedding.errors import InputError, choose
from instructor_embedding.medi.wording import KINDS, Facts

NAME = "SOURCES.json"
FORM = (
    '{"sources": [{"file": "faq.jsonl", "format": "pairs", "domain": "law", "text_types": ["question", "answer"], '
    '"kind": "question answering", "licence": "CC BY 4.0"}]}'
)
# lists of entries, and the format of their files where an entry names none; "pairs" says nothing: its files have many
_LISTS = {"sources": "", "pairs": "", "super_ni": "super_ni"}


class Entry(NamedTuple):
    """What a catalog states about one file; ``""`` and None where it states nothing.

    Attributes
    ----------
    format : str
        One of ``source.FORMATS``.
    facts : Facts or None
    licence, sha256 : str
    columns : tuple of str
        Such as ``"query=title"``, see `forms.columns_of`.
    name : str
        Of the source; ``""``: that of the file.
    """

    format: str = ""
    facts: Facts | None = None
    licence: str = ""
    sha256: str = ""
    columns: tuple[str, ...] = ()
    name: str = ""


def read_catalog(folder: Path) -> dict[str, Entry]:
    """Return the entries of a folder's ``SOURCES.json`` by path in the folder; empty where there is no such file.

    Raises
    ------
    InputError
        It is not json of the documented form, or an entry has an unknown kind.
    """
    path = folder / NAME
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        records = [(record, form) for key, form in _LISTS.items() for record in content.get(key, [])]
        return {str(record["file"]): _entry(record, form) for record, form in records}
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a catalog of sources ({error}); its form is {FORM}") from None


def _entry(record: dict[str, Any], form: str) -> Entry:
    licence = str(record.get("licence") or record.get("license") or "")
    facts = None if form == "super_ni" else _facts(record)
    columns = record.get("columns") or []
    if not isinstance(columns, list) or not all(isinstance(column, str) for column in columns):
        raise InputError(f'{NAME}: columns of {record["file"]} must be a list such as ["query=title"]')
    return Entry(str(record.get("format") or form), facts, licence, str(record.get("sha256") or ""), tuple(columns))


def _facts(record: dict[str, Any]) -> Facts | None:
    """Return the facts of an entry; None where it states none, as for a file that brings its own."""
    if not {"text_types", "kind", "domain", "objective"} & set(record):
        return None
    missing = [field for field in ("text_types", "kind") if not record.get(field)]
    if missing:
        raise InputError(
            f"{NAME} lacks {' and '.join(missing)} for {record['file']}; its form is {FORM}, kind one of: "
            + ", ".join(KINDS)
        )
    types = record["text_types"]
    if not isinstance(types, list) or not all(isinstance(kind, str) for kind in types):
        raise InputError(f'{NAME}: text_types of {record["file"]} must be a list such as ["question", "answer"]')
    kind = choose(f"{NAME}, {record['file']}: kind", record["kind"], KINDS)
    # "science (machine learning papers)": what is in parentheses is for readers of the catalog
    domain = str(record.get("domain") or "").split(" (")[0]
    return Facts(domain, types[0], types[min(1, len(types) - 1)], kind, str(record.get("objective") or ""))
