"""One shard: its rows read, embedded and written, and what its footer records."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from instructor_embedding.bulk.job import FIELD, Job, Task, exists, located, shard_name
from instructor_embedding.engine import pipeline
from instructor_embedding.engine.backend import as_numpy
from instructor_embedding.errors import InputError, first_line
from instructor_embedding.extras import need
from instructor_embedding.files import object_store, shards
from instructor_embedding.files.pairs import Row, read_rows_or_rejects
from instructor_embedding.files.payload import typed
from instructor_embedding.files.records import Reject
from instructor_embedding.instruction import Pair
from instructor_embedding.quantization.codes import VectorQuantizer
from instructor_embedding.vectors import unit
from instructor_embedding.version import __version__

KEY, REJECTS = b"instructor-embedding", b"instructor-embedding rejects"
_SHOWN = 200  # characters of a rejected record
Advance = Callable[[int, int], object]  # rows and tokens that are done


class Facts(NamedTuple):
    """What the footer of a shard records.

    Attributes
    ----------
    job : str
        ``Job.digest``.
    task : Task
    rows, rejected : int
        Rows in the shard, and records of the task that have none.
    tokens, truncated : int
        Tokens that were encoded, and texts that were longer than the model's limit.
    sha256 : str
        Of ids, texts and vectors, see `content_hash`.
    versions : dict of str to str
    """

    job: str
    task: Task
    rows: int
    rejected: int
    tokens: int
    truncated: int
    sha256: str
    versions: dict[str, str]


class ShardMaker:
    """Makes shards of a job with one model; the input that was read last stays open for the next rows of it.

    Parameters
    ----------
    job : Job
    folder : str
        Path or URL of the output.
    model : Encoder or INSTRUCTOR
    batch_size : int
        Memory: a run of the model has at most this many times 32 tokens.
    """

    def __init__(self, job: Job, folder: str, model: Any, batch_size: int = 32) -> None:
        self.job, self.folder, self.model = job, folder, model
        self._manifest, self._digest = job.manifest(), job.digest
        self._budget = pipeline.budget_of(batch_size)
        self._input, self._next = -1, 0
        self._items: Iterator[Row | Reject] = iter(())
        self._codes = stored_codes(folder) if job.storage in ("int8", "binary") else None

    def make(self, task: Task, advance: Advance = lambda rows, tokens: None) -> Facts:
        """Write a shard, which appears when it is complete, and return what it records."""
        rows: list[tuple[str, Row, list[Any]]] = []
        rejects: list[dict[str, str]] = []
        vectors: list[NDArray[Any]] = []
        tokens = truncated = 0
        pairs = self._pairs(task, rows, rejects)
        windows = pipeline.encode(pairs, self.model.tokens, self.model.backend, self._budget, "quiet")
        for window in windows:
            vectors.append(self.stored(as_numpy(window.vectors)))
            count = int(window.kept.sum())
            tokens += count
            truncated += int((window.full > window.kept).sum())
            advance(len(window.pairs), count)
        advance(len(rejects), 0)
        batch = self._batch(rows, vectors)
        digest = content_hash([(batch.ids, batch.texts, batch.vectors[FIELD])])
        facts = Facts(self._digest, task, len(batch), len(rejects), tokens, truncated, digest, versions())
        table = shards.arrow_table(self._manifest, batch)
        table = table.replace_schema_metadata({KEY: json.dumps(facts._asdict()), REJECTS: json.dumps(rejects)})
        shards.write(located(self.folder, shard_name(task)), table)
        return facts

    def stored(self, vectors: NDArray[Any]) -> NDArray[Any]:
        """Return vectors of unit norm in the number format of the shards."""
        rows = unit(vectors)
        return np.asarray(self._codes.encode(rows) if self._codes else rows, shards.STORAGE[self.job.storage])

    def _pairs(
        self, task: Task, rows: list[tuple[str, Row, list[Any]]], rejects: list[dict[str, str]]
    ) -> Iterator[Pair]:
        """Yield the pairs of a task, and append its rows and rejects."""
        for item in self._range(task):
            if not isinstance(item, Reject):
                try:
                    identity, payload = self._checked(item, task)
                except InputError as error:
                    item = Reject(self._name(task), " ".join(map(str, item.position)), str(error), item.pair.text)
                else:
                    rows.append((identity, item, payload))
                    yield item.pair
                    continue
            shown = item.record if isinstance(item.record, str) else json.dumps(item.record, default=str)
            rejects.append({"file": item.file, "position": item.position, "why": item.why, "record": shown[:_SHOWN]})

    def _checked(self, row: Row, task: Task) -> tuple[str, list[Any]]:
        """Return the id and the payload of a row, or raise InputError with the reason why it has none."""
        job = self.job
        if row.is_empty:
            raise InputError("the text is empty")
        if job.own_instructions is None and row.pair.instruction != job.instruction:
            raise InputError(
                "the row has an instruction of its own, and the first rows of the inputs have none; name the column: "
                "--instruction-column NAME"
            )
        values = {name: typed(row.kept[name], kind, name, "the row") for name, kind in job.columns.items()}
        if job.own_instructions:
            values[job.own_instructions] = row.pair.instruction
        payload = [values[name] for name in self._manifest.columns]
        if job.id_column is None:
            return f"{self._name(task)}#{row.position[1]}", payload
        value = row.kept[job.id_column]
        if value is None or value == "" or isinstance(value, (dict, list, float)):
            raise InputError(f"the id is {value!r}; ids are texts or integers, one per row")
        return str(value), payload

    def _range(self, task: Task) -> Iterator[Row | Reject]:
        """Yield the records of a task; those between the last task and this one are skipped."""
        job = self.job
        if task.input != self._input or task.start < self._next:
            name = job.inputs[task.input].name
            self._items = read_rows_or_rejects(name, job.chosen, job.instruction, start=task.start, **job.reading)
            self._input, self._next = task.input, task.start
        for _ in islice(self._items, task.start - self._next):
            pass
        self._next = task.start
        for item in islice(self._items, task.stop - task.start):
            self._next += 1
            yield item
        if self._next < task.stop:
            raise InputError(
                f"{self._name(task)} has {self._next} rows, and had more when the job began; it was changed meanwhile"
            )

    def _name(self, task: Task) -> str:
        name = self.job.inputs[task.input].name
        return name if object_store.is_url(name) else PurePath(name).as_posix()

    def _batch(self, rows: list[tuple[str, Row, list[Any]]], vectors: list[NDArray[Any]]) -> shards.Batch:
        names = list(self._manifest.columns)
        payloads = [payload for _, _, payload in rows]
        texts = [row.pair.text for _, row, _ in rows]
        digests = [shards.digest(text, payload) for text, payload in zip(texts, payloads, strict=True)]
        return shards.Batch(
            [identity for identity, _, _ in rows],
            texts,
            np.array(digests, np.int64),
            {name: [payload[index] for payload in payloads] for index, name in enumerate(names)},
            {FIELD: np.concatenate([self.stored(np.empty((0, self.job.dimension), np.float32)), *vectors])},
        )


def content_hash(batches: Any) -> str:
    """Return the hash of the rows of a shard, given as batches of ids, texts and vectors."""
    digest = hashlib.sha256()
    for ids, texts, vectors in batches:
        for identity, text, vector in zip(ids, texts, vectors, strict=True):
            content = f"{identity}\0{text}\0".encode("utf-8", "surrogatepass")
            digest.update(content)
            digest.update(vector.tobytes())
    return digest.hexdigest()


def facts_of(folder: str, task: Task) -> Facts | None:
    """Return what the footer of a shard records, or None where there is no such file.

    Raises
    ------
    InputError
        The file is truncated or corrupt, or not a shard of a job.
    """
    path = located(folder, shard_name(task))
    if not exists(path):
        return None
    try:
        footer = _footer(path)
        values = json.loads((footer.metadata or {})[KEY])
        facts = Facts(**values)._replace(task=Task(*values["task"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        reason = "it has no record of a job" if isinstance(error, KeyError) else first_line(error)
        raise InputError(f"the shard {path} is truncated or corrupt: {reason}") from None
    if footer.num_rows != facts.rows:
        raise InputError(f"the shard {path} has {footer.num_rows} rows, and its footer records {facts.rows}")
    return facts


def complete(folder: str, task: Task, digest: str) -> Facts | None:
    """Return what the shard of a task records, or None where it is missing.

    Raises
    ------
    InputError
        The shard is damaged, or not of the job with this digest.
    """
    facts = facts_of(folder, task)
    if facts is not None and (facts.job, facts.task) != (digest, task):
        raise InputError(f"the shard {located(folder, shard_name(task))} is of another job or of other rows")
    return facts


def rejects_of(folder: str, task: Task) -> list[dict[str, str]]:
    """Return the rejects of a complete shard: file, position, reason and what the record was."""
    rejects: list[dict[str, str]] = json.loads(_footer(located(folder, shard_name(task))).metadata[REJECTS])
    return rejects


def _footer(path: str) -> Any:
    parquet = need("pyarrow.parquet", "reading shards")
    if not object_store.is_url(path):
        return parquet.read_metadata(path)
    with object_store.open_random(path) as file:
        return parquet.read_metadata(file)


def stored_codes(folder: str) -> VectorQuantizer:
    """Return the quantizer of a job's folder."""
    path = located(folder, shards.CALIBRATION)
    if not object_store.is_url(path):
        return VectorQuantizer.load(path)
    with object_store.open_random(path) as file:
        return VectorQuantizer.load(file)


def versions() -> dict[str, str]:
    """Return the versions of what makes vectors and shards."""
    arrow = need("pyarrow", "writing shards")
    return {
        "instructor-embed": __version__,
        "pyarrow": arrow.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
    }
