"""All records of a run, with random access: matches, scored pairs, labelled texts, and texts for distillation."""

from __future__ import annotations

import array
import hashlib
import json
import mmap
import random
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from instructor_embedding.errors import InputError
from instructor_embedding.files.named_data import Source, sources
from instructor_embedding.files.records import read_records
from instructor_embedding.instruction import Pair
from instructor_embedding.medi.forms import KINDS, Instructions, Item, Labelled, Match, Reading, Scored, columns_of
from instructor_embedding.training.settings import DataSettings

MEDI_NAMES = ("medi-data.json", "medi-data.jsonl", "medi-data.json.gz", "medi-data.jsonl.gz", "medi-data.parquet")


class Drawn(NamedTuple):
    """What one record gives to one batch.

    Attributes
    ----------
    kind : str
        One of ``forms.KINDS``: what `pairs` are.
    task : str
    pairs : tuple of Pair
        A query, a positive and negatives; or two texts of a score; or one text.
    score : float
    labels : tuple of int
        For labelled texts, the number of each text's label; else empty.
    """

    kind: str
    task: str
    pairs: tuple[Pair, ...]
    score: float = 0.0
    labels: tuple[int, ...] = ()


class Task(NamedTuple):
    """One task: its name, what its records are, and from how many files they come."""

    name: str
    kind: str


class TrainingData(Dataset[Drawn]):
    """Random access to the records of a run, with memory that hardly grows with them.

    All records are read and checked once, here, and copied to a scratch file, which goes with the object. Threads and
    processes forked later may read.

    Parameters
    ----------
    items : iterable of (task, item)
    seed : int
        Of what is drawn: which of several positives and negatives, which text of the same label.
    negatives : int
        How many negatives a query gets at most.
    hold_back : int
        Records that are not trained on, see `held_back`; those with the same query are held back together.

    Attributes
    ----------
    tasks : int32 of shape (n,)
        Index of each record's task in `names`.
    names : list of Task
    left_out : dict of str to str
        What is not trained on, and why.
    fingerprint : str
        Decided by all records and their order.
    """

    def __init__(
        self, items: Iterable[tuple[str, Item]], seed: int = 0, negatives: int = 1, hold_back: int = 0
    ) -> None:
        self.seed = seed
        self.negatives = negatives
        self.names: list[Task] = []
        self.left_out: dict[str, str] = {}
        self._scratch = tempfile.TemporaryDirectory(prefix="train-", ignore_cleanup_errors=True)
        tasks, starts, labels = array.array("i"), array.array("q", [0]), array.array("i")
        task_of: dict[Task, int] = {}
        label_of: dict[tuple[int, str], int] = {}
        digest = hashlib.blake2b(digest_size=16)
        self._path = Path(self._scratch.name) / "records.jsonl"
        with open(self._path, "wb") as file:
            for name, item in items:
                kind = Task(name, KINDS[type(item)])
                number = task_of.setdefault(kind, len(task_of))
                line = _line(item)
                digest.update(f"{number} ".encode() + line)
                starts.append(starts[-1] + file.write(line))
                tasks.append(number)
                label = item.label if isinstance(item, Labelled) else ""
                labels.append(label_of.setdefault((number, label), len(label_of)) if label else -1)
        self.names = list(task_of)
        self.fingerprint = digest.hexdigest()
        self.tasks: NDArray[np.int32] = np.frombuffer(tasks, np.int32) if tasks else np.empty(0, np.int32)
        self._starts = np.frombuffer(starts, np.int64)
        self._labels = np.frombuffer(labels, np.int32) if labels else np.empty(0, np.int32)
        self._bytes = self._mapped()
        self._reserved = self._hold_back(hold_back)
        self._partners = _Partners(self.tasks, self._labels, self.names, ~self._reserved)
        self.usable: NDArray[np.bool_] = self._partners.usable(self.left_out)
        self._refuse_lonely()
        if not self.usable.any():
            raise InputError(_nothing(self.left_out))

    def __len__(self) -> int:
        return len(self.tasks)

    def __getstate__(self) -> dict[str, Any]:
        """Return what worker processes need; the scratch file stays with the process that made it."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_scratch", "_bytes")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._bytes = self._mapped()

    def _mapped(self) -> mmap.mmap | bytes:
        if not len(self.tasks):
            return b""
        with open(self._path, "rb") as stored:
            return mmap.mmap(stored.fileno(), 0, access=mmap.ACCESS_READ)

    def item(self, index: int) -> Item:
        """Return the record of this index."""
        values = json.loads(self._bytes[int(self._starts[index]) : int(self._starts[index + 1])])
        kind = self.names[self.tasks[index]].kind
        pairs = [Pair(*pair) for pair in values[0]]
        if kind == "matches":
            count = values[1]
            return Match(pairs[0], tuple(pairs[1 : 1 + count]), tuple(pairs[1 + count :]))
        if kind == "scores":
            return Scored(pairs[0], pairs[1], values[1])
        return Labelled(pairs[0], values[1]) if kind == "labels" else pairs[0]

    def __getitem__(self, draw: tuple[int, int]) -> Drawn:
        """Return what the record of an index gives in an epoch, the same for the same two values."""
        index, epoch = draw
        task = self.names[self.tasks[index]]
        item = self.item(index)
        if isinstance(item, Match):
            return Drawn(task.kind, task.name, self._match(item, index, epoch))
        if isinstance(item, Scored):
            return Drawn(task.kind, task.name, (item.first, item.second), item.score)
        if isinstance(item, Labelled):
            chance = random.Random(f"{self.seed} {epoch} {index}")
            indices = [index, *self._partners.draw(index, chance)]
            pairs = [self.item(number) for number in indices]
            texts = tuple(other.text for other in pairs if isinstance(other, Labelled))
            return Drawn(task.kind, task.name, texts, labels=tuple(int(self._labels[number]) for number in indices))
        return Drawn(task.kind, task.name, (item,))

    def _match(self, item: Match, index: int, epoch: int) -> tuple[Pair, ...]:
        negatives, positives = item.negatives, item.positives
        if len(negatives) > self.negatives or len(positives) > 1:
            chance = random.Random(f"{self.seed} {epoch} {index}")
            positives = (chance.choice(positives),)
            if len(negatives) > self.negatives:
                negatives = tuple(chance.sample(negatives, self.negatives))
        return (item.query, positives[0], *negatives)

    def pairs(self) -> Iterator[Pair]:
        """Yield every text with its instruction."""
        for index in np.flatnonzero(self.usable):
            item = self.item(int(index))
            if isinstance(item, Match):
                yield from (item.query, *item.positives, *item.negatives)
            elif isinstance(item, Scored):
                yield from (item.first, item.second)
            else:
                yield item.text if isinstance(item, Labelled) else item

    def held_back(self) -> dict[str, list[Item]]:
        """Return the records that are not trained on, by kind."""
        records: dict[str, list[Item]] = {}
        for index in np.flatnonzero(self._reserved):
            records.setdefault(self.names[self.tasks[index]].kind, []).append(self.item(int(index)))
        return records

    def _hold_back(self, count: int) -> NDArray[np.bool_]:
        """Choose records by a hash of their query, so that no held-back query is trained on in another record."""
        reserved = np.zeros(len(self.tasks), np.bool_)
        if not count:
            return reserved
        if count * 2 > len(self.tasks):
            raise InputError(f"hold_back={count} is more than half of the {len(self.tasks)} records")
        keys = np.empty(len(self.tasks), np.uint64)
        for index in range(len(self.tasks)):
            first = json.loads(self._bytes[int(self._starts[index]) : int(self._starts[index + 1])])[0][0]
            digest = hashlib.blake2b(f"{self.seed}\0{first[1]}".encode(), digest_size=8).digest()
            keys[index] = int.from_bytes(digest, "little")
        order = np.argsort(keys, kind="stable")
        last = keys[order[count - 1]]
        reserved[keys <= last] = True
        if reserved.sum() > 2 * count:
            raise InputError(f"hold_back={count}: {reserved.sum()} records share one query; pass --dev_files instead")
        return reserved

    def counts(self) -> dict[int, int]:
        """Return the number of usable records of each task."""
        return dict(sorted(Counter(self.tasks[self.usable].tolist()).items()))

    def _refuse_lonely(self) -> None:
        """Leave out tasks of one record that has nothing to be compared with."""
        for number, count in self.counts().items():
            if count > 1 or self.names[number].kind in ("texts", "labels"):
                continue
            index = int(np.flatnonzero(self.usable & (self.tasks == number))[0])
            item = self.item(index)
            if not isinstance(item, Match) or not item.negatives:
                self.usable[index] = False
                self.left_out[self.names[number].name] = "1 record without a negative, which leaves nothing to compare"


class _Partners:
    """Where the texts of each label are, so that matches and mismatches can be drawn."""

    def __init__(
        self,
        tasks: NDArray[np.int32],
        labels: NDArray[np.int32],
        names: Sequence[Task],
        trained: NDArray[np.bool_],
    ) -> None:
        self._tasks, self._names, self._trained = tasks, names, trained
        self._labels = labels = np.where(trained, labels, -1)
        self._of_label: dict[int, NDArray[np.intp]] = {}
        self._of_task: dict[int, NDArray[np.intp]] = {}
        if (labels >= 0).any():
            order = np.argsort(labels, kind="stable")
            values, firsts = np.unique(labels[order], return_index=True)
            groups = dict(zip(values.tolist(), np.split(order, firsts[1:]), strict=True))
            self._of_label = {label: group for label, group in groups.items() if label >= 0}
            for number, task in enumerate(names):
                if task.kind == "labels":
                    self._of_task[number] = np.flatnonzero((tasks == number) & trained)

    def usable(self, left_out: dict[str, str]) -> NDArray[np.bool_]:
        """Tell which records have a partner; the others are noted in `left_out`."""
        usable = self._trained.copy()
        for number, indices in self._of_task.items():
            name = self._names[number].name
            labels = self._labels[indices]
            if len(np.unique(labels)) < 2:
                usable[indices] = False
                left_out[name] = f"{len(indices)} records of one label, which leaves nothing to tell apart"
                continue
            single = [int(label) for label in np.unique(labels) if len(self._of_label[int(label)]) == 1]
            lonely = indices[np.isin(labels, single)]
            if len(lonely):
                usable[lonely] = False
                left_out[name] = f"{len(lonely)} records whose label no other has; they serve as negatives alone"
        return usable

    def draw(self, index: int, chance: random.Random) -> tuple[int, int]:
        """Return another text of the same label, and one of another label."""
        label = int(self._labels[index])
        same, all_of = self._of_label[label], self._of_task[int(self._tasks[index])]
        partner = index
        while partner == index:
            partner = int(same[chance.randrange(len(same))])
        other = index
        while self._labels[other] == label:
            other = int(all_of[chance.randrange(len(all_of))])
        return partner, other


def read_data(settings: DataSettings, seed: int, token: str | bool | None = None) -> TrainingData:
    """Read all that the settings name.

    Raises
    ------
    InputError
        With file and line of the first record that cannot be used, or where there is nothing to train on.
    """
    names = settings.train_file
    if not names and settings.cache_dir:
        names = [str(path) for path in (Path(settings.cache_dir) / name for name in MEDI_NAMES) if path.is_file()][:1]
    files = sources(names, settings.cache_dir, token)
    if not files and not settings.text_file:
        where = (
            f"{settings.cache_dir} holds no medi-data.json" if settings.cache_dir else "there is nothing to train on"
        )
        raise InputError(f"{where}; pass train_file (records), cache_dir (a folder with medi-data.json) or text_file")
    reading = reading_of(settings)
    _refuse_unused(reading, files)
    return TrainingData(_items(files, settings, reading), seed, settings.negatives, settings.hold_back)


def reading_of(settings: DataSettings) -> Reading:
    """Return how records are read: columns and instructions."""
    default = Instructions(settings.query_instruction, settings.document_instruction)
    table = read_table(settings.instructions) if settings.instructions else {}
    return Reading(columns_of(settings.columns), table, default)


def read_table(path: str) -> dict[str, Instructions]:
    """Read a table of instructions: records of task, query and document.

    Raises
    ------
    InputError
        A row has another form, or a task comes twice.
    """
    table: dict[str, Instructions] = {}
    for (what, number), row in read_records(path):
        where = f"{path}, {what} {number}"
        known = {"task", "query", "document"}
        if not isinstance(row, dict) or not isinstance(row.get("task"), str) or not set(row) <= known:
            raise InputError(f"{where}: a row is {{task, query, document}}; query and document are instructions")
        if row["task"] in table:
            raise InputError(f"{where}: the task {row['task']!r} came before")
        table[row["task"]] = Instructions(row.get("query"), row.get("document"))
    return table


def _refuse_unused(reading: Reading, files: Sequence[Source]) -> None:
    """Raise `InputError` for instructions where there is nothing to instruct."""
    if not files and (reading.table or reading.columns or reading.default != Instructions()):
        raise InputError("columns and instructions belong to train_file; text_file has --text_instruction")


def _items(files: Sequence[Source], settings: DataSettings, reading: Reading) -> Iterator[tuple[str, Item]]:
    for source in files:
        count = 0
        for (what, number), record in source.records():
            count += 1
            try:
                yield reading.item(record, source.task)
            except InputError as error:
                raise InputError(f"{source.path}, {what} {number}: {error}") from None
        if not count:
            raise InputError(f"{source.path} holds no records")
    if settings.text_file:
        yield from (("", pair) for pair in read_texts(settings.text_file, settings.text_instruction))


def read_texts(path: str, instruction: str = "") -> Iterator[Pair]:
    """Yield the texts of a file: one per line, or records of texts, [instruction, text] or {"instruction", "text"}.

    Raises
    ------
    InputError
        With the file and line of what is not a text.
    """
    from instructor_embedding.instruction import as_pairs

    if not Path(path).exists():
        raise InputError(f"text_file: there is no file {path}")
    count = 0
    for (what, number), item in read_records(path, default="txt"):
        if isinstance(item, str) and not item.strip():
            continue
        try:
            (pair,) = as_pairs([item])
        except ValueError as error:
            raise InputError(f"{path}, {what} {number}: {error}") from None
        count += 1
        yield pair if pair.instruction else Pair(instruction, pair.text)
    if not count:
        raise InputError(f"{path} holds no texts")


def _line(item: Item) -> bytes:
    """Return a record as a line of the scratch file."""
    values: tuple[Any, ...]
    if isinstance(item, Match):
        values = ((item.query, *item.positives, *item.negatives), len(item.positives))
    elif isinstance(item, Scored):
        values = ((item.first, item.second), item.score)
    elif isinstance(item, Labelled):
        values = ((item.text,), item.label)
    else:
        values = ((item,),)
    return json.dumps(values, ensure_ascii=False).encode() + b"\n"


def _nothing(left_out: dict[str, str]) -> str:
    reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
    return f"there is nothing to train on{': ' + reasons if reasons else ': the files are empty'}"
