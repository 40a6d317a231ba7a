"""Evaluation texts that training data must not hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

from instructor_embedding.errors import InputError
from instructor_embedding.medi.records import opened, read_records

SHORTEST = 25  # characters, letters and digits alone; shorter texts are equal by chance
_OTHER = re.compile(r"[\W_]+")
_ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")


class Texts:
    """A set of texts, compared by letters and digits in lower case; 8 bytes each are kept.

    Use it on evaluation data, before training on what may hold it.
    """

    def __init__(self) -> None:
        self._marks: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._marks)

    def add(self, text: str) -> None:
        """Add a text, if it is long enough to tell anything."""
        mark = _mark(text)
        if mark:
            self._marks.add(mark)

    def holds(self, *texts: str) -> bool:
        """Say whether one of the texts is in the set."""
        return any(_mark(text) in self._marks for text in texts)

    @classmethod
    def of(cls, folder: Path) -> Texts:
        """Read every string in the json, jsonl and parquet files of a folder, at any depth.

        Raises
        ------
        InputError
            The folder is missing or holds no such file.
        """
        files = sorted(path for path in folder.rglob("*") if path.name.endswith(_ENDINGS)) if folder.is_dir() else []
        if not files:
            raise InputError(f"{folder} holds no evaluation data; expected files ending in {', '.join(_ENDINGS)}")
        found = cls()
        for path in files:
            for record in _records(path):
                for text in _strings(record):
                    found.add(text)
        return found


def _records(path: Path) -> Iterator[Any]:
    """Yield a file's records; a json file may hold one value of any form."""
    if not path.name.removesuffix(".gz").endswith(".json"):
        for _, record in read_records(path):
            yield record
        return
    with opened(str(path)) as file:
        try:
            yield json.loads(file.read().decode("utf-8-sig"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise InputError(f"{path} is broken json: {error}") from None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)


def _mark(text: str) -> bytes:
    plain = _OTHER.sub("", text.lower())
    return blake2b(plain.encode(), digest_size=8).digest() if len(plain) >= SHORTEST else b""
