"""KILT: an input and the Wikipedia passages that support its output.

Records as published: ``id``, ``input``, ``output``: a list of ``{"answer": ..., "provenance": [{"wikipedia_id",
"title", "start_paragraph_id", "end_paragraph_id", "section", ...}]}``. The passages' texts are in KILT's knowledge
source, a file ``kilt_knowledgesource.json`` (json lines: ``wikipedia_id``, ``wikipedia_title``, ``text``: a list of
paragraphs), which is read if it is in the folder of the task's file. Otherwise a passage is the record's own ``text``
or ``meta.evidence_span``, or the title of the page with that of the section.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from instructor_embedding.files.records import RecordError, Reject, parsed, read_records
from instructor_embedding.medi.relation import Relation

KNOWLEDGE = "kilt_knowledgesource.json"


def read(path: Path, reject: Callable[[Reject], None] | None = None) -> Iterator[Relation]:
    """Yield one relation for each input and distinct passage; arguments as in `pairs.read`.

    Raises
    ------
    InputError
        With file, line and field of the first record of another form.
    """
    records = list(parsed(path, lambda record: (_input(record), _provenance(record)), reject))
    ids = {str(item.get("wikipedia_id")) for _, provenance in records for item in provenance}
    pages = _pages(path.parent / KNOWLEDGE, ids)
    for query, provenance in records:
        for passage in dict.fromkeys(_passage(item, pages) for item in provenance):
            if passage:
                yield Relation(query, passage)


def _input(record: Any) -> str:
    if not isinstance(record, dict) or not isinstance(record.get("input"), str) or not record["input"].strip():
        raise RecordError("a KILT record is an object with a text as input")
    return str(record["input"]).strip()


def _provenance(record: dict[str, Any]) -> list[dict[str, Any]]:
    outputs = record.get("output")
    if not isinstance(outputs, list):
        raise RecordError(f"output is {outputs!r:.60}; it must be a list of objects")
    provenance = []
    for output in outputs:
        items = output.get("provenance", []) if isinstance(output, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise RecordError("provenance must be a list of objects")
        provenance += items
    return provenance


def _pages(path: Path, ids: set[str]) -> dict[str, list[str]]:
    """Read the paragraphs of the pages with these ids."""
    if not path.is_file():
        return {}
    pages = {}
    for _, page in read_records(path.with_suffix(".jsonl") if path.with_suffix(".jsonl").is_file() else path):
        if str(page.get("wikipedia_id")) in ids:
            pages[str(page["wikipedia_id"])] = [str(paragraph) for paragraph in page.get("text", [])]
    return pages


def _passage(item: dict[str, Any], pages: dict[str, list[str]]) -> str:
    paragraphs = pages.get(str(item.get("wikipedia_id")))
    if paragraphs:
        first = item.get("start_paragraph_id") or 0
        last = item.get("end_paragraph_id")
        return " ".join(paragraphs[first : (first if last is None else last) + 1]).strip()
    spans = (item.get("meta") or {}).get("evidence_span")
    carried = item.get("text") or (spans[0] if isinstance(spans, list) and spans else spans)
    if isinstance(carried, str) and carried.strip():
        return carried.strip()
    section = str(item.get("section") or "").removeprefix("Section::::").rstrip(".:")
    return ": ".join(title for title in (str(item.get("title") or "").strip(), section) if title)
