"""A job from its first row to its manifest, or from where it was stopped."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from instructor_embedding import fingerprint
from instructor_embedding.bulk import inputs, pool
from instructor_embedding.bulk import job as jobs
from instructor_embedding.bulk.calibration import calibrate
from instructor_embedding.bulk.job import Job, Task, located, shard_name
from instructor_embedding.bulk.pool import ModelSettings, Pool
from instructor_embedding.bulk.shard import Advance, Facts, complete, rejects_of, versions
from instructor_embedding.engine.backends.native import cores
from instructor_embedding.errors import InputError
from instructor_embedding.files import manifest as manifests
from instructor_embedding.files import object_store, shards
from instructor_embedding.files.atomic import check_target, replacing
from instructor_embedding.files.lock import locked
from instructor_embedding.instruction import DOCUMENTS, instructions
from instructor_embedding.model import hub

REJECTS = "rejects.jsonl"
_DRAFTS = "." + "[0-9a-f]" * 16 + ".tmp"  # of `atomic.replacing`, left by a killed process
_OWN = re.compile(rf"\d{{5,}}\.parquet|{shards.CALIBRATION}|{REJECTS}|\.{jobs.FIELD}\.\d+\.npy")
Maker = Callable[[Iterable[Task], Advance], Iterator[Facts]]


@dataclass(frozen=True)
class Request:
    """What a user requests of a job; see `Job` for the meaning of what both have.

    Parameters
    ----------
    names : sequence of str
        Files, folders, patterns and URLs.
    folder : str
        Path or URL of the output.
    settings : ModelSettings
    instruction, query_instruction : str, optional
        Default: those for documents and questions.
    workers : int
        Processes on this machine.
    fresh : bool
        Delete the shards of an earlier job.
    """

    names: Sequence[str]
    folder: str
    settings: ModelSettings
    instruction: str | None = None
    query_instruction: str | None = None
    text_column: str = "text"
    instruction_column: str | None = None
    id_column: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    storage: str = "float32"
    shard_rows: int = 16384
    workers: int = 1
    fresh: bool = False


@dataclass
class Progress:
    """What a job reports while it runs; each is a function that may do nothing."""

    hashed: Callable[[int, int], object] = lambda done, total: None
    began: Callable[[int, int], object] = lambda rows, done: None
    advance: Advance = lambda rows, tokens: None
    notice: Callable[[str], object] = lambda line: None


@dataclass(frozen=True)
class Summary:
    """The counts of a job that is complete, those of earlier runs included, and of this run."""

    rows: int
    rejected: int
    tokens: int
    truncated: int
    shards: int
    resumed: int
    seconds: float


def run(request: Request, progress: Progress, distributed: Maker | None = None) -> Summary:
    """Make all shards of a job that are not there yet, and its manifest.

    Parameters
    ----------
    request : Request
    progress : Progress
    distributed : callable, optional
        Makes the shards elsewhere, see `on_ray`; called with the job's remaining tasks.

    Raises
    ------
    InputError
        The inputs have no rows or lack a column, or the folder belongs to another job.
    OutputError
        A shard cannot be written.
    """
    start = time.perf_counter()
    _check_folder(request)
    with _locked(request.folder):
        model, job = prepared(request, progress)
        facts = dict(_stored(job, request.folder, progress))
        resumed = len(facts)
        todo = [task for task in job.tasks() if task.number not in facts]
        progress.began(job.rows, sum(shard.task.stop - shard.task.start for shard in facts.values()))
        with contextlib.ExitStack() as stack:
            maker = distributed or _local(stack, job, request, model)
            for result in maker(todo, progress.advance):
                facts[result.task.number] = result
        ordered = [facts[number] for number in sorted(facts)]
        counts = finish(job, request.folder, ordered)
    return Summary(**counts, resumed=resumed, seconds=time.perf_counter() - start)


def prepared(request: Request, progress: Progress) -> tuple[Any, Job]:
    """Return the model and the job, written to its folder or equal to the one that is there.

    Raises
    ------
    InputError
        The folder belongs to another job.
    """
    stored = None if request.fresh else jobs.read(request.folder)
    draft, files = drafted(request)
    total, done = sum(file.size for file in files), 0

    def hashed(size: int) -> None:
        nonlocal done
        done += size
        progress.hashed(done, total)

    sources = inputs.measured(files, stored.inputs if stored else (), draft.reading, hashed)
    model = request.settings.load()
    folder = hub.resolve(request.settings.model)
    job = replace(
        draft,
        model=str(folder.resolve()) if Path(request.settings.model).expanduser().is_dir() else request.settings.model,
        fingerprint=fingerprint.of_model(folder),
        dimension=model.dimension,
        precision=getattr(model, "precision", None) or "exact",
        inputs=tuple(sources),
    )
    if stored is not None:
        jobs.refuse_changes(stored, job, request.folder)
        return model, stored
    _cleared(request.folder, request.fresh)
    if job.storage in ("int8", "binary"):
        codes = calibrate(job, model, request.settings.batch_size)
        codes.save(located(request.folder, shards.CALIBRATION))
    jobs.write(request.folder, job)
    return model, job


def drafted(request: Request) -> tuple[Job, list[object_store.Entry]]:
    """Return the job without its model and inputs, and the files, after a look into each of them."""
    instruction, query_instruction = instructions(
        DOCUMENTS if request.instruction is None else request.instruction, request.query_instruction
    )
    draft = Job(
        model="",
        fingerprint="",
        dimension=0,
        precision="",
        instruction=instruction,
        query_instruction=query_instruction,
        dtype=request.settings.dtype,
        backend=request.settings.backend,
        text_column=request.text_column,
        instruction_column=request.instruction_column,
        id_column=request.id_column,
        columns=dict(request.columns),
        format=request.format,
        encoding=request.encoding,
        delimiter=request.delimiter,
        storage=request.storage,
        shard_rows=request.shard_rows,
    )
    files = inputs.expanded(request.names)
    if request.folder:  # an estimate has none
        files = [file for file in files if not _is_inside(file.name, request.folder)]
    if not files:
        raise InputError(f"the inputs are the output of this job: {request.folder}")
    if inputs.check(files, draft.chosen, instruction, draft.reading):
        draft = replace(draft, own_instructions=request.instruction_column or "instruction")
    return draft, files


def finish(job: Job, folder: str, facts: Sequence[Facts]) -> dict[str, int]:
    """Write the rejects and the manifest, which names all shards, and return the counts."""
    incomplete = [shard.task for shard in facts if shard.rejected]
    path = located(folder, REJECTS)
    if incomplete:
        rejects = (reject for task in incomplete for reject in rejects_of(folder, task))
        with replacing(path) as file:
            for reject in rejects:
                file.write(json.dumps(reject, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
    elif jobs.exists(path):
        object_store.remove(path) if object_store.is_url(path) else os.unlink(path)
    counts = {
        "rows": sum(shard.rows for shard in facts),
        "rejected": sum(shard.rejected for shard in facts),
        "tokens": sum(shard.tokens for shard in facts),
        "truncated": sum(shard.truncated for shard in facts),
        "shards": len(facts),
    }
    names = tuple(shard_name(shard.task) for shard in facts)
    origin = {
        "job": job.digest,
        "inputs": [vars(source) for source in job.inputs],
        "shards": [
            {"name": name, "input": shard.task.input, "start": shard.task.start, "stop": shard.task.stop,
             "rows": shard.rows, "sha256": shard.sha256}
            for name, shard in zip(names, facts, strict=True)
        ],
        "counts": counts,
        "versions": versions(),
    }  # fmt: skip
    manifest = job.manifest().changed(shards=names, origin=origin)
    with replacing(located(folder, manifests.NAME)) as file:
        file.write(manifest.to_json().encode() + b"\n")
    return counts


def _local(stack: contextlib.ExitStack, job: Job, request: Request, model: Any) -> Maker:
    """Return what makes shards on this machine."""
    if request.workers == 1:
        return pool.in_process(job, request.folder, model, request.settings.batch_size)
    threads = request.settings.threads or max(1, cores() // request.workers)
    settings = request.settings._replace(threads=threads)
    return stack.enter_context(Pool(job, request.folder, settings, request.workers)).make


def _stored(job: Job, folder: str, progress: Progress) -> Iterator[tuple[int, Facts]]:
    """Yield the complete shards of a job; those that are not are made again."""
    for task in job.tasks():
        try:
            facts = complete(folder, task, job.digest)
        except InputError as error:
            progress.notice(f"{error}; it is made again")
            continue
        if facts is not None:
            yield task.number, facts


def _check_folder(request: Request) -> None:
    """Raise InputError if the folder cannot be written, or is an index or full of something else."""
    folder = request.folder
    if object_store.is_url(folder):
        return
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise InputError(f"cannot write the folder {folder}: it is a file; name a folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from None
    check_target(path / jobs.NAME)
    if (path / manifests.NAME).exists() and not (path / jobs.NAME).exists():
        raise InputError(f"{folder} is an index, and not the output of a bulk job; name another folder")


def _cleared(folder: str, fresh: bool) -> None:
    """Delete what an earlier job left in a folder, the manifest and the job first; refuse without `fresh`."""
    if object_store.is_url(folder):
        names = {entry.name: entry.name.removeprefix(located(folder, "")) for entry in object_store.entries(folder)}
        leftovers = [url for url, name in names.items() if _OWN.fullmatch(name)]
        named = [located(folder, name) for name in (manifests.NAME, jobs.NAME)]
        doomed = [name for name in named if object_store.is_file(name)] + leftovers
        remove: Callable[[str], object] = object_store.remove
    else:
        leftovers = [str(path) for path in Path(folder).iterdir() if _OWN.fullmatch(path.name)]
        doomed = [str(path) for name in (manifests.NAME, jobs.NAME) if (path := Path(folder) / name).exists()]
        doomed += leftovers
        remove = os.unlink
    if not fresh and any(name.endswith(".parquet") for name in doomed):
        raise InputError(f"{folder} holds shards and no {jobs.NAME}; name another folder, or delete them: --fresh")
    for name in doomed:
        remove(name)


@contextlib.contextmanager
def _locked(folder: str) -> Iterator[None]:
    """Keep other processes out of a folder on this machine, and remove what a killed one left half-written."""
    if object_store.is_url(folder):
        yield
        return
    with locked(Path(folder), f"another process writes to {folder}; wait, or name another folder"):
        for draft in Path(folder).glob(_DRAFTS):
            draft.unlink(missing_ok=True)
        yield


def _is_inside(name: str, folder: str) -> bool:
    if object_store.is_url(name) or object_store.is_url(folder):
        return name.startswith(folder.rstrip("/") + "/")
    return Path(folder).resolve() in Path(name).resolve().parents
