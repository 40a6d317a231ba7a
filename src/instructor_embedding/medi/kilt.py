"""KILT: an input and the Wikipedia passages that support its output.

Records as published: ``id``, ``input``, ``output``: a list of ``{"answer": ..., "provenance": [{"wikipedia_id",
"title", "start_paragraph_id", "end_paragraph_id", "section", ...}]}``. The passages' texts are in KILT's knowledge
source, a file ``kilt_knowledgesource.json`` (json lines: ``wikipedia_id``, ``wikipedia_title``, ``text``: a list of
paragraphs), which is read if it lies beside the task's file. Without it a passage is what the record itself carries:
its ``text`` or ``meta.evidence_span``, else the page's title with the section's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from instructor_embedding.errors import InputError
from instructor_embedding.files.records import RecordError, Reject, read_records
from instructor_embedding.medi.relation import Relation

KNOWLEDGE = "kilt_knowledgesource.json"


def read(path: Path, reject: Callable[[Reject], None] | None = None) -> Iterator[Relation]:
    """Yield one relation for each input and passage, passages once; arguments as in `pairs.read`.

    Raises
    ------
    InputError
        With file, line and field of the first record of another form.
    """
    records = []
    for (what, number), record in read_records(path, reject):
        try:
            records.append((_input(record), _provenance(record)))
        except RecordError as error:
            if reject is None:
                raise InputError(f"{path}, {what} {number}: {error}") from None
            reject(Reject(str(path), f"{what} {number}", str(error), record))
    wanted = {str(place.get("wikipedia_id")) for _, places in records for place in places}
    pages = _pages(path.parent / KNOWLEDGE, wanted)
    for query, places in records:
        for passage in dict.fromkeys(_passage(place, pages) for place in places):
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
    found = []
    for output in outputs:
        places = output.get("provenance", []) if isinstance(output, dict) else None
        if not isinstance(places, list) or not all(isinstance(place, dict) for place in places):
            raise RecordError("provenance must be a list of objects")
        found += places
    return found


def _pages(path: Path, wanted: set[str]) -> dict[str, list[str]]:
    """Read the paragraphs of the pages that are wanted, and of no others."""
    if not path.is_file():
        return {}
    found = {}
    for _, page in read_records(path.with_suffix(".jsonl") if path.with_suffix(".jsonl").is_file() else path):
        if str(page.get("wikipedia_id")) in wanted:
            found[str(page["wikipedia_id"])] = [str(paragraph) for paragraph in page.get("text", [])]
    return found


def _passage(place: dict[str, Any], pages: dict[str, list[str]]) -> str:
    paragraphs = pages.get(str(place.get("wikipedia_id")))
    if paragraphs:
        first = place.get("start_paragraph_id") or 0
        last = place.get("end_paragraph_id")
        return " ".join(paragraphs[first : (first if last is None else last) + 1]).strip()
    spans = (place.get("meta") or {}).get("evidence_span")
    carried = place.get("text") or (spans[0] if isinstance(spans, list) and spans else spans)
    if isinstance(carried, str) and carried.strip():
        return carried.strip()
    section = str(place.get("section") or "").removeprefix("Section::::").rstrip(".:")
    return ": ".join(part for part in (str(place.get("title") or "").strip(), section) if part)
