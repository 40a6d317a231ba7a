"""What is trained on: triples, and texts without a partner for distillation; batches of them."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from instructor_embedding.errors import InputError
from instructor_embedding.instruction import Pair, as_pairs
from instructor_embedding.medi.batches import Batches, homogeneous, original_windows
from instructor_embedding.medi.triple import Triple, TripleFile
from instructor_embedding.model.packed import Packed
from instructor_embedding.model.tokens import TextTokenizer
from instructor_embedding.training.teacher import Teacher

ORDERS = ("shuffled", "original")
MEDI_NAMES = ("medi-data.json", "medi-data.jsonl", "medi-data.json.gz", "medi-data.jsonl.gz", "medi-data.parquet")
_TEXTS_TASK = -(2**31) - 1  # no triple's task is outside 32 bits

Record = Triple | Pair


def find_triples(train_file: str | None, cache_dir: str | None) -> Path | None:
    """Return the file of triples: `train_file`, or the original's ``medi-data.json`` under `cache_dir`.

    Raises
    ------
    InputError
        The file named is missing.
    """
    if train_file:
        if not Path(train_file).is_file():
            raise InputError(f"train_file: there is no file {train_file}")
        return Path(train_file)
    places = [Path(cache_dir or ".") / name for name in MEDI_NAMES]
    return next((place for place in places if place.is_file()), None) if cache_dir else None


def read_texts(path: str, instruction: str = "") -> list[Pair]:
    """Read texts: one a line, or json lines of texts, [instruction, text] or {"instruction", "text"}; plain or gzip.

    Raises
    ------
    InputError
        With the file and line of what is no text.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"text_file: there is no file {path}")
    as_json = ".json" in file.name
    pairs: list[Pair] = []
    with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else open(file, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                item = json.loads(line) if as_json else line.strip()
                (pair,) = as_pairs([item])
            except ValueError as error:
                raise InputError(f"{path}, line {number}: {error}") from None
            pairs.append(pair if pair.instruction else Pair(instruction, pair.text))
    if not pairs:
        raise InputError(f"{path} holds no texts")
    return pairs


class TrainingData(Dataset[Record]):
    """Triples and texts, one behind the other; `tasks` tells them apart.

    Parameters
    ----------
    triples : TripleFile, optional
    texts : sequence of Pair
        For distillation alone: they have no partner. They form batches of their own.
    """

    def __init__(self, triples: TripleFile | None, texts: Sequence[Pair] = ()) -> None:
        self.triples: Sequence[Triple] = triples if triples is not None else []
        self.texts = texts
        tasks: NDArray[Any] = triples.tasks if triples is not None else np.empty(0, np.int32)
        if texts:
            tasks = np.concatenate([np.asarray(tasks, np.int64), np.full(len(texts), _TEXTS_TASK, np.int64)])
        self.tasks = tasks
        if not len(tasks):
            raise InputError("there is nothing to train on: the files are empty")

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, number: int) -> Record:
        """Return the record of that number, a `Triple` or, behind all triples, a `Pair`."""
        count = len(self.triples)
        return self.triples[int(number)] if number < count else self.texts[int(number) - count]

    def pairs(self) -> Iterator[Pair]:
        """Yield every text with its instruction."""
        for triple in self.triples:
            yield from (triple.query, triple.pos, triple.neg)
        yield from self.texts


@dataclass(frozen=True)
class BatchOrder:
    """How records become batches; see `medi.batches` for the two orders."""

    kind: str
    size: int
    seed: int
    rank: int = 0
    world: int = 1
    max_examples: int | None = None

    def batches(self, tasks: NDArray[Any], epoch: int) -> Batches:
        """Return the batches of an epoch, of one task each."""
        place = {"rank": self.rank, "world": self.world}
        if self.kind == "original":
            return original_windows(tasks, self.size, seed=self.seed, max_examples=self.max_examples, **place)
        return homogeneous(tasks, self.size, seed=self.seed, epoch=epoch, **place)

    def chosen(self, count: int) -> NDArray[Any] | None:
        """Return the numbers of the records that are used, or None for all of `count`."""
        if self.max_examples is None or self.kind == "original" or self.max_examples >= count:
            return None
        random = np.random.default_rng(self.seed)
        return np.sort(random.choice(count, self.max_examples, replace=False))


class EpochBatches(Sampler[list[int]]):
    """The batches of the epoch that `set_epoch` names, the same on every run of the same seed."""

    def __init__(self, tasks: NDArray[Any], order: BatchOrder) -> None:
        self.chosen = order.chosen(len(tasks))
        self.tasks = tasks if self.chosen is None else tasks[self.chosen]
        self.order = order
        self.epoch = 0
        self._batches = order.batches(self.tasks, 0)
        if not len(self._batches):
            whole = order.size * order.world
            raise InputError(
                f"no batch can be formed: a batch is {whole} records of one task and no task has as many"
                + (" in a row" if order.kind == "original" else "")
                + "; lower per_device_train_batch_size"
            )

    def set_epoch(self, epoch: int) -> None:
        """Shuffle anew for another epoch."""
        if epoch != self.epoch:
            self._batches = self.order.batches(self.tasks, epoch)
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        for numbers in self._batches:
            yield (numbers if self.chosen is None else self.chosen[numbers]).tolist()


@dataclass(frozen=True)
class Batch:
    """What one step reads: texts, and for triples which are the same.

    Attributes
    ----------
    packed : Packed
        For N triples the N queries, then the positives, then the negatives; else N texts.
    keys : int64 of shape (3, N), or None
        The same number for the same text with the same instruction; None for texts without partners.
    teacher : float32 of shape (texts, d), or None
    """

    packed: Packed
    keys: Tensor | None
    teacher: Tensor | None


class Collate:
    """Tokenizes records of one task into a `Batch`.

    Parameters
    ----------
    tokens : TextTokenizer
    teacher : Teacher, optional
    skip : sequence of str
        Names or patterns of the tasks that get no vectors of the teacher.
    """

    def __init__(self, tokens: TextTokenizer, teacher: Teacher | None = None, skip: Sequence[str] = ()) -> None:
        self.tokens = tokens
        self.teacher = teacher
        self.skip = skip

    def __call__(self, records: list[Record]) -> Batch:
        """Return the batch of these records."""
        if isinstance(records[0], Triple):
            triples = cast(list[Triple], records)
            pairs = [getattr(triple, side) for side in ("query", "pos", "neg") for triple in triples]
            keys = torch.tensor([_key(pair) for pair in pairs]).view(3, -1)
        else:
            pairs, keys = cast(list[Pair], records), None
        told = self.teacher is not None and not any(fnmatchcase(_name(records[0]), one) for one in self.skip)
        vectors = torch.from_numpy(self.teacher.vectors(pairs)) if told and self.teacher else None
        return Batch(self.tokens.pack(pairs), keys, vectors)


def _name(record: Record) -> str:
    return record.task_name if isinstance(record, Triple) else ""


def _key(pair: Pair) -> int:
    """Return a number in 64 bits that the text and its instruction decide, the same in every process."""
    content = f"{pair.instruction}\0{pair.text}".encode()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True)
