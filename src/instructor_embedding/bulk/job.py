"""A job: what is embedded, with what, and into which shards; all that must be equal for a stopped job to resume."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any, NamedTuple

from instructor_embedding.errors import InputError
from instructor_embedding.files import object_store
from instructor_embedding.files.atomic import replacing
from instructor_embedding.files.manifest import Field, Manifest
from instructor_embedding.files.opening import opened
from instructor_embedding.files.pairs import Columns

NAME = "job.json"
FIELD = "embedding"
VERSION = 1
# recorded, and free to differ when a job resumes: the bytes of inputs are compared by their hash
_FREE = ("modified",)


@dataclass(frozen=True)
class Input:
    """A file or an object of the job.

    Parameters
    ----------
    name : str
        Path or URL.
    size, modified : int
        Bytes, and the time of the last change in nanoseconds.
    sha256 : str
        Of its bytes.
    rows : int
        Records in it, invalid ones included.
    """

    name: str
    size: int
    modified: int
    sha256: str
    rows: int


class Task(NamedTuple):
    """The rows of one shard: records `start` to `stop` of the input with the index `input`."""

    number: int
    input: int
    start: int
    stop: int


@dataclass(frozen=True)
class Job:
    """The identity of a job.

    Parameters
    ----------
    model, fingerprint, dimension, precision
        The model, what identifies it, its vectors' dimensions and the number format of the computation.
    dtype, backend : str
        Of the model.
    instruction, query_instruction : str
        Of rows that have none of their own, and of the queries that vectors are searched with.
    text_column, instruction_column, id_column : str, optional
        Columns of the inputs; without an id column ids are made of file and row.
    columns : dict of str to str
        Payload columns and their types.
    own_instructions : str, optional
        Column of the shards with the instruction of each row, where rows have instructions of their own.
    format, encoding, delimiter : str, optional
        Of the inputs.
    storage : str
        Number format of the stored vectors, see `shards.STORAGE`.
    shard_rows : int
        Records per shard; the last one of an input has fewer.
    inputs : tuple of Input
    version : int
        Of this format.
    """

    model: str
    fingerprint: str
    dimension: int
    precision: str
    instruction: str
    query_instruction: str
    dtype: str = "float32"
    backend: str = "torch"
    text_column: str = "text"
    instruction_column: str | None = None
    id_column: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    own_instructions: str | None = None
    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    storage: str = "float32"
    shard_rows: int = 16384
    inputs: tuple[Input, ...] = ()
    version: int = VERSION

    @property
    def rows(self) -> int:
        """Records of all inputs."""
        return sum(source.rows for source in self.inputs)

    @cached_property
    def digest(self) -> str:
        """A hash of all that must be equal, which every shard carries."""
        values = asdict(self)
        for source in values["inputs"]:
            for name in _FREE:
                del source[name]
        content = json.dumps(values, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def reading(self) -> dict[str, Any]:
        """How the inputs are read, for `read_rows_or_rejects`."""
        return {"format": self.format, "encoding": self.encoding, "delimiter": self.delimiter}

    @property
    def chosen(self) -> Columns:
        """The columns that are read."""
        extra = [name for name in (self.id_column, *self.columns) if name]
        return Columns(self.text_column, self.instruction_column, list(dict.fromkeys(extra)))

    def tasks(self) -> Iterator[Task]:
        """Yield the shards of the job, in order; they depend on the rows of the inputs alone."""
        number = 0
        for index, source in enumerate(self.inputs):
            for start in range(0, source.rows, self.shard_rows):
                yield Task(number, index, start, min(start + self.shard_rows, source.rows))
                number += 1

    def manifest(self) -> Manifest:
        """Return the manifest of the job's shards, without the shards."""
        columns = dict(self.columns)
        if self.own_instructions:
            columns[self.own_instructions] = "text"
        return Manifest(
            store="parquet",
            model=self.model,
            fingerprint=self.fingerprint,
            dimension=self.dimension,
            precision=self.precision,
            fields={FIELD: Field(self.instruction, self.query_instruction)},
            columns=columns,
            storage=self.storage,
        )

    def to_json(self) -> str:
        """Return the job as JSON, indented."""
        return json.dumps({"format": "instructor-embedding bulk job", **asdict(self)}, ensure_ascii=False, indent=1)


def located(folder: str, name: str) -> str:
    """Return the path or URL of a file of the job's folder."""
    return f"{folder.rstrip('/')}/{name}" if object_store.is_url(folder) else os.path.join(folder, name)


def shard_name(task: Task) -> str:
    """Return the file name of a shard."""
    return f"{task.number:05}.parquet"


def exists(path: str) -> bool:
    """Return True if there is a file or an object."""
    return object_store.is_file(path) if object_store.is_url(path) else os.path.isfile(path)


def write(folder: str, job: Job) -> None:
    """Write ``job.json``."""
    with replacing(located(folder, NAME)) as file:
        file.write(job.to_json().encode() + b"\n")


def read(folder: str) -> Job | None:
    """Return the job of a folder, or None.

    Raises
    ------
    InputError
        It cannot be read, or a later version wrote it.
    """
    path = located(folder, NAME)
    if not exists(path):
        return None
    with opened(path) as file:
        content = file.read()
    try:
        values = json.loads(content)
        if int(values["version"]) > VERSION:
            raise InputError(f"{path} was written by a later release; install it: pip install -U instructor-embed")
        values["inputs"] = tuple(Input(**source) for source in values["inputs"])
        return Job(**{name.name: values[name.name] for name in fields(Job)})
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        reason = f"{type(error).__name__} {error}"
        raise InputError(f"{path} is not a job ({reason}); begin again with --fresh") from None


def refuse_changes(stored: Job, now: Job, folder: str) -> None:
    """Raise InputError if a job is not the one that a folder was begun with."""
    if stored.digest == now.digest:
        return
    old, new = asdict(stored), asdict(now)
    changed = [name for name in old if name != "inputs" and old[name] != new[name]]
    if changed:
        name = changed[0]
        what = f"{name.replace('_', ' ')} {old[name]!r}, not {new[name]!r}"
    else:
        what = _changed_inputs(stored.inputs, now.inputs)
    raise InputError(
        f"{folder} was begun with {what}; run the same command as then, name another folder, or begin again, which "
        "deletes the finished shards: --fresh"
    )


def _changed_inputs(old: Sequence[Input], new: Sequence[Input]) -> str:
    before, after = [source.name for source in old], [source.name for source in new]
    if before != after:
        missing = [name for name in before if name not in after]
        extra = [name for name in after if name not in before]
        if missing:
            return f"the input {missing[0]}, which is not among the inputs"
        return f"other inputs, without {extra[0]}" if extra else "the inputs in another order"
    source = next(source for source, other in zip(old, new, strict=True) if source.sha256 != other.sha256)
    return f"other content of {source.name} ({source.size} bytes, sha256 {source.sha256[:12]}...)"
