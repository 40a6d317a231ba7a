"""The check of a job's output: nothing is lost, nothing is there twice, and every byte is the one that was written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instructor_embedding.bulk import inputs
from instructor_embedding.bulk import job as jobs
from instructor_embedding.bulk.job import FIELD, Job, Task, located, shard_name
from instructor_embedding.bulk.shard import Facts, complete, content_hash
from instructor_embedding.errors import InputError, first_line
from instructor_embedding.extras import need
from instructor_embedding.files import manifest as manifests
from instructor_embedding.files import object_store, shards
from instructor_embedding.files.opening import opened

_ROWS = 8192


def verify(folder: str, advance: Callable[[int], object] = lambda rows: None) -> tuple[int, list[str]]:
    """Read a job's output completely, and return its rows and what is wrong with it.

    Checked are the manifest, every shard's footer, range, rows and hash of content, unique ids, and the inputs, where
    they are still there. Memory: 8 bytes per row.

    Raises
    ------
    InputError
        The folder is not the output of a job.
    """
    job = jobs.read(folder)
    if job is None:
        raise InputError(f"{folder} is not the output of a bulk job: it has no {jobs.NAME}")
    problems = list(_manifest_problems(job, folder))
    codes: list[NDArray[np.uint64]] = []
    rows = 0
    for task in job.tasks():
        try:
            facts, hashes = _read(job, folder, task)
            rows += facts.rows
            codes.append(hashes)
        except InputError as error:
            problems.append(str(error))
        advance(task.stop - task.start)
    problems += _duplicates(job, folder, np.concatenate([np.empty(0, np.uint64), *codes]))
    problems += _input_problems(job)
    return rows, problems


def _manifest_problems(job: Job, folder: str) -> Iterator[str]:
    path = located(folder, manifests.NAME)
    if not jobs.exists(path):
        yield f"the job is not complete: there is no {path}; run the same command again to resume it"
        return
    with opened(path) as file:
        manifest = manifests.parse(file.read().decode(), path)
    origin, expected = manifest.origin, tuple(map(shard_name, job.tasks()))
    if manifest.fingerprint != job.fingerprint or origin.get("job") != job.digest:
        yield f"{path} is of another job than {jobs.NAME}"
    if manifest.shards[: len(expected)] != expected:
        yield f"{path} names {len(manifest.shards)} shards, and the job has {len(expected)}"
    recorded = origin.get("counts", {}).get("rejected", 0) + origin.get("counts", {}).get("rows", 0)
    if recorded != job.rows:
        yield f"{path} counts {recorded} rows and rejects, and the inputs have {job.rows}"


def _read(job: Job, folder: str, task: Task) -> tuple[Facts, NDArray[np.uint64]]:
    """Return what a shard records and the hashes of its ids, or raise InputError for what is wrong with it."""
    name = located(folder, shard_name(task))
    facts = complete(folder, task, job.digest)
    if facts is None:
        raise InputError(f"the shard {name} is missing")
    if facts.rows + facts.rejected != task.stop - task.start:
        raise InputError(
            f"the shard {name} has {facts.rows} rows and {facts.rejected} rejects of {task.stop - task.start} records"
        )
    ids: list[str] = []
    if content_hash(_batches(name, ids)) != facts.sha256:
        raise InputError(f"the content of the shard {name} is not what was written")
    return facts, _hashes(ids)


def _batches(name: str, ids: list[str]) -> Iterator[tuple[list[str], list[str], NDArray[Any]]]:
    """Yield ids, texts and vectors of a shard, and append the ids."""
    parquet = need("pyarrow.parquet", "reading shards")
    try:
        with parquet.ParquetFile(object_store.open_random(name) if object_store.is_url(name) else name) as file:
            for batch in file.iter_batches(_ROWS, columns=["id", "text", FIELD]):
                names = batch.column("id").to_pylist()
                ids += names
                yield names, batch.column("text").to_pylist(), shards.vectors_of(batch, FIELD)
    except (OSError, ValueError) as error:
        raise InputError(f"the shard {name} is truncated or corrupt: {first_line(error)}") from None


def _hashes(ids: list[str]) -> NDArray[np.uint64]:
    content = b"".join(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest() for name in ids)
    return np.frombuffer(content, np.uint64)


def _duplicates(job: Job, folder: str, codes: NDArray[np.uint64]) -> list[str]:
    """Return a line about ids that more than one row has; equal hashes are looked up."""
    codes.sort()
    repeated = set(codes[1:][codes[1:] == codes[:-1]].tolist())
    if not repeated:
        return []
    seen: dict[str, int] = {}
    for task in job.tasks():
        ids: list[str] = []
        try:
            for _ in _batches(located(folder, shard_name(task)), ids):
                pass
        except InputError:
            continue
        for name, code in zip(ids, _hashes(ids).tolist(), strict=True):
            if code in repeated:
                seen[name] = seen.get(name, 0) + 1
    twice = [name for name, count in seen.items() if count > 1]
    return [f"{len(twice)} ids are those of several rows, the first {twice[0]!r}"] if twice else []


def _input_problems(job: Job) -> Iterator[str]:
    for source in job.inputs:
        if not object_store.is_url(source.name) and not os.path.exists(source.name):
            continue  # it may have been removed since
        try:
            if inputs.sha256_of(source.name) != source.sha256:
                yield f"the input {source.name} was changed since the job was begun"
        except InputError as error:
            yield str(error)
