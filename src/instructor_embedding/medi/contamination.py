"""Evaluation texts that training data must not contain.

Two tests: the complete text, compared by letters and digits in lower case; and runs of words, so that a longer or
edited text is recognized by a passage that it shares: any ``GRAM`` consecutive words of an evaluation text, or all of
it if it has ``LEAST`` to ``GRAM`` words.

False positives: quotations, titles and formulas that both texts contain. A run of 13 words is rarely shared by chance,
and a hash of 64 bits collides with a probability below 1e-6 for evaluation data of ten million words.
"""

from __future__ import annotations

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
from instructor_embedding.files.records import read_json, read_records

SHORTEST = 25  # letters and digits; shorter texts are equal by chance
GRAM, LEAST = 13, 8  # words, as in the data of GPT-3
_OTHER = re.compile(r"[\W_]+")
_WORDS = re.compile(r"[^\W_]+")
_ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")
_BATCH = 4096
_FILTER = 2**24  # cells of the filter before the search, one byte each

Hashes = NDArray[np.uint64]
Indices = NDArray[np.intp]


class Texts:
    """The texts of evaluation sets, as hashes of about 10 bytes per word.

    Use it before training on data that may contain them.

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
        """Return the number of texts that are compared completely."""
        return len(self._marks)

    @property
    def digest(self) -> str:
        """A hash of everything that is compared; equal texts have equal digests."""
        content = blake2b(b"".join(sorted(self._marks)), digest_size=16)
        content.update(self._hashes.tobytes())
        return content.hexdigest()

    def found_in(self, texts: Iterable[str]) -> list[str]:
        """Return for each text the name of the set that contains it or a run of its words, else ``""``."""
        names: list[str] = []
        pending = iter(texts)
        while batch := list(islice(pending, _BATCH)):
            owners = [self._marks.get(_mark(text), 0) for text in batch]
            for _, runs, rows, _ in _runs(batch):
                # the filter rejects all but a few hashes, so that the binary search sees little
                likely = np.flatnonzero(self._filter[runs % np.uint64(_FILTER)])
                if not len(likely):
                    continue
                positions = np.minimum(np.searchsorted(self._hashes, runs[likely]), len(self._hashes) - 1)
                hits = self._hashes[positions] == runs[likely]
                for row, position in zip(rows[likely[hits]].tolist(), positions[hits].tolist(), strict=True):
                    owners[row] = owners[row] or int(self._owners[position])
            names += [self.names[owner] for owner in owners]
        return names

    @classmethod
    def of(cls, folders: Iterable[Path]) -> Texts:
        """Read every string in the json, jsonl and parquet files of folders, at any depth; each file is a set.

        Raises
        ------
        InputError
            A folder is missing or has no such file.
        """
        files = []
        for folder in folders:
            paths = sorted(path for path in folder.rglob("*") if path.name.endswith(_ENDINGS))
            if not paths:
                raise InputError(f"{folder} has no evaluation data; expected files ending in {', '.join(_ENDINGS)}")
            files += [(path.relative_to(folder).as_posix(), path) for path in paths]
        return cls((name, _strings(path)) for name, path in files)


def _runs(texts: list[str]) -> Iterator[tuple[int, Hashes, Indices, Indices]]:
    """Yield for each length of runs: the length, the hash and text index of each run, and the word count of each text.

    The hash of a run of n words is computed from that of its first n - 1 words, for all runs of all texts at once, so
    each length costs one pass over the words. Runs across the end of a text are dropped afterwards.
    """
    split = [_WORDS.findall(text.lower()) for text in texts]
    words = np.array([len(text) for text in split])
    codes = np.fromiter((crc32(word.encode()) for text in split for word in text), np.uint64, int(words.sum()))
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
    """Yield a file's records; a json file may be one value of any form."""
    if not path.name.removesuffix(".gz").endswith(".json"):
        for _, record in read_records(path):
            yield record
        return
    yield read_json(path)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _mark(text: str) -> bytes:
    plain = _OTHER.sub("", text.lower())
    return blake2b(plain.encode(), digest_size=8).digest() if len(plain) >= SHORTEST else b""
