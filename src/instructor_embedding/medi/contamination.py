"""Evaluation texts that training data must not hold.

Two tests: the whole text, compared by letters and digits in lower case; and runs of words, so that a longer or edited
text is found by a passage that it shares: any ``GRAM`` words of an evaluation text, or all of it if it has at least
``LEAST`` and no more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from instructor_embedding.errors import InputError
from instructor_embedding.files.records import opened, read_records

SHORTEST = 25  # characters, letters and digits alone; shorter texts are equal by chance
GRAM, LEAST = 13, 8  # words, as in the data of GPT-3
_OTHER = re.compile(r"[\W_]+")
_WORDS = re.compile(r"[^\W_]+")
_ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")
_BATCH = 4096
_FILTER = 2**24  # cells of the filter in front of the search, one byte each

Hashes = NDArray[np.uint64]
Places = NDArray[np.intp]


class Texts:
    """The texts of evaluation sets; about 10 bytes a word are kept.

    Use it on evaluation data, before training on what may hold it.

    Parameters
    ----------
    sets : iterable of (str, iterable of str)
        Names of the sets, and their texts.

    Examples
    --------
    >>> texts = Texts([("bird quiz", ["Which bird lays the largest eggs of all?"])])
    >>> texts.found_in(["which bird lays the LARGEST eggs of all", "Which bird?"])
    ['bird quiz', '']
    """

    def __init__(self, sets: Iterable[tuple[str, Iterable[str]]]) -> None:
        self.names: list[str] = [""]
        self._marks: dict[bytes, int] = {}
        hashes, owners = [np.empty(0, np.uint64)], [np.empty(0, np.uint16)]
        for name, texts in sets:
            self.names.append(name)
            pending = iter(texts)
            while batch := list(islice(pending, _BATCH)):
                for text in batch:
                    mark = _mark(text)
                    if mark:
                        self._marks.setdefault(mark, len(self.names) - 1)
                for length, runs, rows, words in _runs(batch):
                    hashes.append(np.unique(runs if length == GRAM else runs[words[rows] == length]))
                    owners.append(np.full(len(hashes[-1]), len(self.names) - 1, np.uint16))
        self._hashes, first = np.unique(np.concatenate(hashes), return_index=True)
        self._owners = np.concatenate(owners)[first]
        self._filter = np.zeros(_FILTER, bool)
        self._filter[self._hashes % np.uint64(_FILTER)] = True

    def __len__(self) -> int:
        """Return the number of texts that are compared as a whole."""
        return len(self._marks)

    @property
    def digest(self) -> str:
        """A hash of all that is compared; equal texts have an equal one."""
        content = blake2b(b"".join(sorted(self._marks)), digest_size=16)
        content.update(self._hashes.tobytes())
        return content.hexdigest()

    def found_in(self, texts: Iterable[str]) -> list[str]:
        """Return for each text the name of the set that holds it, or a run of its words, else ``""``."""
        found: list[str] = []
        pending = iter(texts)
        while batch := list(islice(pending, _BATCH)):
            owners = [self._marks.get(_mark(text), 0) for text in batch]
            for _, runs, rows, _ in _runs(batch):
                likely = np.flatnonzero(self._filter[runs % np.uint64(_FILTER)])
                if not len(likely):
                    continue
                places = np.minimum(np.searchsorted(self._hashes, runs[likely]), len(self._hashes) - 1)
                hits = self._hashes[places] == runs[likely]
                for row, place in zip(rows[likely[hits]].tolist(), places[hits].tolist(), strict=True):
                    owners[row] = owners[row] or int(self._owners[place])
            found += [self.names[owner] for owner in owners]
        return found

    @classmethod
    def of(cls, folders: Iterable[Path]) -> Texts:
        """Read every string in the json, jsonl and parquet files of folders, at any depth; each file is a set.

        Raises
        ------
        InputError
            A folder is missing or holds no such file.
        """
        files = []
        for folder in folders:
            found = sorted(path for path in folder.rglob("*") if path.name.endswith(_ENDINGS))
            if not found:
                raise InputError(f"{folder} holds no evaluation data; expected files ending in {', '.join(_ENDINGS)}")
            files += [(path.relative_to(folder).as_posix(), path) for path in found]
        return cls((name, _strings(path)) for name, path in files)


def _runs(texts: list[str]) -> Iterator[tuple[int, Hashes, Places, Places]]:
    """Yield each length's runs of words: the length, their hashes, the text of each; and the words of each text."""
    found = [_WORDS.findall(text.lower()) for text in texts]
    words = np.array([len(each) for each in found])
    codes = np.fromiter((crc32(word.encode()) for each in found for word in each), np.uint64, int(words.sum()))
    codes = (codes ^ (codes >> np.uint64(15))) * np.uint64(0x9E3779B97F4A7C15)
    rows = np.repeat(np.arange(len(texts)), words)
    hashes = np.zeros(len(codes), np.uint64)
    for length in range(1, min(GRAM, len(codes)) + 1):
        count = len(codes) - length + 1
        hashes = hashes[:count] * np.uint64(0xD6E8FEB86659FD93) + codes[length - 1 :]
        if length >= LEAST:
            inside = rows[:count] == rows[length - 1 :]
            runs = hashes[inside]
            yield length, runs ^ (runs >> np.uint64(32)), rows[:count][inside], words


def _strings(path: Path) -> Iterator[str]:
    for record in _records(path):
        yield from _texts(record)


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


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def _mark(text: str) -> bytes:
    plain = _OTHER.sub("", text.lower())
    return blake2b(plain.encode(), digest_size=8).digest() if len(plain) >= SHORTEST else b""
