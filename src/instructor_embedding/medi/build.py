"""From sources to one file of triples, and a manifest of what went into it.

Sources are processed in order, one in memory at a time. The triples of each are stored beside the output until it is
complete, so that a build that was stopped resumes. The same sources, encoder and rules give the same bytes.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from instructor_embedding.errors import InputError
from instructor_embedding.files.atomic import replacing
from instructor_embedding.files.named_data import files_of
from instructor_embedding.files.records import Reject, check_output, read_records, write_records
from instructor_embedding.medi import encoders
from instructor_embedding.medi.compose import Rules, tasks_of
from instructor_embedding.medi.config import Config
from instructor_embedding.medi.contamination import Texts
from instructor_embedding.medi.encoders import Miner
from instructor_embedding.medi.source import Source, digest
from instructor_embedding.medi.triple import Triple, read, record_of, write
from instructor_embedding.version import __version__

_FORM = 4  # increased where the same sources and rules give other triples than before


@dataclass
class Manifest:
    """What a build did; the fields of its json file.

    Attributes
    ----------
    triples : int
    tasks : list of dict
        One for each task number: name, kind, what it was mined by, licence, triples, file; relations read, and those
        left out as evaluation text (by set) or because there is no negative.
    sources : list of dict
        The files that were read: path in their folder, sha256, bytes, licence, encoder, what was assumed because the
        catalog does not state it, and the facts that instructions are made of (None where tasks bring their own).
    rejected : int
        Invalid records.
    evaluation : dict of str to int
        Relations left out as evaluation text, by set.
    against : str
        A hash of the evaluation texts, ``""`` for none.
    seed, wordings, pool : int
    version : str
        Of this package.
    sha256 : str
        Of the output.
    """

    triples: int = 0
    rejected: int = 0
    evaluation: dict[str, int] = field(default_factory=dict)
    against: str = ""
    seed: int = 0
    wordings: int = 0
    pool: int = 0
    version: str = __version__
    sha256: str = ""
    sources: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)


class Progress(NamedTuple):
    """One source of a build is complete.

    Attributes
    ----------
    name : str
    triples, tasks : int
        Of this source.
    seconds : float
    resumed : bool
        It was completed by an earlier build that was stopped.
    done, total : int
        Sources.
    assumed : str
        See `source.Source`.
    """

    name: str
    triples: int
    tasks: int
    seconds: float
    resumed: bool
    done: int
    total: int
    assumed: str


class _Job(NamedTuple):
    """A source with all that its triples depend on; `key` is a hash of that, `facts` are those of the manifest."""

    source: Source
    encoder: Miner
    rules: Rules
    facts: dict[str, Any]
    key: str


def build(
    config: Config,
    *,
    encoder: Any = None,
    reject: Callable[[Reject], None] | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Manifest:
    """Write the triples of all sources, and ``<output>.manifest.json``.

    Parameters
    ----------
    config : Config
    encoder : object with ``encode(pairs)``, optional
        Mines instead of ``config.encoder``, except for sources with an encoder of their own.
    reject : callable, optional
        Receives invalid records; without it they are errors.
    progress : callable
        Called after each source.

    Raises
    ------
    InputError
        A source is invalid, unknown or missing, or there is no triple.
    CheckpointError
        An encoder cannot be loaded.
    """
    check_output(config.output)
    against = Texts.of(config.against) if config.against else None
    manifest = Manifest(seed=config.seed, wordings=config.wordings, pool=config.pool)
    manifest.against = against.digest if against else ""
    jobs = _jobs(config, encoder, manifest.against, reject is not None)
    with ExitStack() as stack:
        folder = _workspace(config.output, stack)
        for number, job in enumerate(jobs, 1):
            start, resumed = time.perf_counter(), (folder / f"{job.key}.json").is_file()
            if not resumed:
                _mine(job, folder, against, reject is not None)
            tasks = _add(manifest, job, folder, reject)
            triples, seconds = sum(task["triples"] for task in tasks), time.perf_counter() - start
            source = job.source
            progress(Progress(source.name, triples, len(tasks), seconds, resumed, number, len(jobs), source.assumed))
        if not manifest.triples:
            raise InputError("there is no triple; the sources are empty, skipped or without negatives")
        write(config.output, _numbered(jobs, folder))
        if str(config.output) != "-":
            manifest.sha256 = digest(config.output)
            path = config.output.with_name(config.output.name + ".manifest.json")
            path.write_text(json.dumps(vars(manifest), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            shutil.rmtree(folder)
    return manifest


def _workspace(output: Path, stack: ExitStack) -> Path:
    """Return the folder of the sources' triples: beside the output, or temporary where the output is stdout."""
    if str(output) == "-":
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="medi-")))
    if not output.parent.is_dir():
        raise InputError(f"cannot write {output}: there is no folder {output.parent}")
    folder = output.with_name(output.name + ".parts")
    folder.mkdir(exist_ok=True)
    return folder


def _jobs(config: Config, encoder: Any, against: str, rejecting: bool) -> list[_Job]:
    """List the work, and check all files and encoders before it begins."""
    loaded: dict[str, tuple[Miner, str]] = {}
    if encoder is not None:
        miner = encoders.of(encoder)
        loaded[""] = (miner, encoders.identity(miner))
    jobs: list[_Job] = []
    seen: set[tuple[Path, str]] = set()
    for selection in config.sources:
        name = selection.encoder or ("" if encoder is not None else config.encoder)
        if name not in loaded:
            model = encoders.load(name)
            loaded[name] = (model, encoders.identity(model))
        miner, identity = loaded[name]
        rules = Rules(config.seed, selection.limit, config.pool, config.wordings, selection.skip, selection.licences)
        for source in selection.sources():
            if (source.path.resolve(), source.name) in seen:
                raise InputError(f"{source.path} is selected twice; use only and skip to select it once")
            seen.add((source.path.resolve(), source.name))
            facts = {
                "file": source.path.relative_to(selection.home).as_posix(),
                "sha256": source.checked(),
                "bytes": sum(file.stat().st_size for file in files_of(source.path)),
                "licence": source.licence,
                "encoder": identity,
                "assumed": source.assumed,
                "facts": None if source.facts is None else source.facts._asdict(),
            }
            own = (source.name, source.format, source.columns)
            depends = (_FORM, __version__, facts, *own, rules, against, rejecting)
            key = sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:24]
            jobs.append(_Job(source, miner, rules, facts, key))
    return jobs


def _mine(job: _Job, folder: Path, against: Texts | None, rejecting: bool) -> None:
    """Write the triples of a source, its rejects and, last, what the manifest states about its tasks."""
    tasks: list[dict[str, Any]] = []
    evaluation: Counter[str] = Counter()
    with open(folder / f"{job.key}.rejects.jsonl", "w", encoding="utf-8") as file:

        def sink(reject: Reject) -> None:
            file.write(json.dumps(reject, ensure_ascii=False) + "\n")

        def records() -> Iterator[dict[str, Any]]:
            for task in tasks_of(job.source, job.encoder, job.rules, against, sink if rejecting else None):
                count = 0
                for triple in task.triples:
                    count += 1
                    yield record_of(triple._replace(task=len(tasks)))
                evaluation.update(task.evaluation)
                if count:
                    left_out = {"evaluation": dict(task.evaluation), "no negative": task.without_negative}
                    facts = {"name": task.name, "kind": task.facts.kind, "mined": task.mined, "licence": task.licence}
                    tasks.append(facts | {"triples": count, "relations": task.relations, "left out": left_out})

        write_records(folder / f"{job.key}.jsonl", records())
    # written last: a source is complete exactly when this file exists
    with replacing(folder / f"{job.key}.json") as complete:
        complete.write(json.dumps({"tasks": tasks, "evaluation": evaluation}).encode())


def _add(manifest: Manifest, job: _Job, folder: Path, reject: Callable[[Reject], None] | None) -> list[dict[str, Any]]:
    """Add a complete source to the manifest, pass its rejects on, and return its tasks."""
    facts = json.loads((folder / f"{job.key}.json").read_text(encoding="utf-8"))
    tasks: list[dict[str, Any]] = facts["tasks"]
    manifest.sources.append(job.facts)
    manifest.evaluation = dict(sorted((Counter(manifest.evaluation) + Counter(facts["evaluation"])).items()))
    for task in tasks:
        manifest.tasks.append({"task": len(manifest.tasks), **task, "file": job.facts["file"]})
        manifest.triples += task["triples"]
    for _, record in read_records(folder / f"{job.key}.rejects.jsonl"):
        manifest.rejected += 1
        if reject is not None:
            reject(Reject(*record))
    return tasks


def _numbered(jobs: list[_Job], folder: Path) -> Iterator[Triple]:
    """Yield the triples of all sources with consecutive task ids."""
    first = 0
    for job in jobs:
        last = first - 1
        for triple in read(folder / f"{job.key}.jsonl"):
            last = first + triple.task
            yield triple._replace(task=last)
        first = last + 1
