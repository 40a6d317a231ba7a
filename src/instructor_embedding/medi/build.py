"""From sources to one file of triples, and a manifest that says what went in.

Sources go through one after the other, and only one is held in memory. The triples of each are kept beside the output
until it is complete, so that a build that was stopped goes on where it was. The same sources, encoder and rules give
the same bytes.
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
from instructor_embedding.files.records import Reject, read_records, write_records
from instructor_embedding.medi import encoders
from instructor_embedding.medi.config import Config
from instructor_embedding.medi.contamination import Texts
from instructor_embedding.medi.encoders import Encoder
from instructor_embedding.medi.part import Rules, parts
from instructor_embedding.medi.source import Source, digest
from instructor_embedding.medi.triple import Triple, read, record_of, write
from instructor_embedding.version import __version__

_FORM = 1  # raise it where the same sources and rules give other triples than before


@dataclass
class Manifest:
    """What a build did; the fields of its json file.

    Attributes
    ----------
    triples : int
    tasks : list of dict
        One for each task number: name, kind, licence, triples, file; relations read, and those left out as evaluation
        text (by set) or for want of a negative.
    sources : list of dict
        The files that were read: path in their folder, sha256, bytes, licence, encoder.
    rejected : int
        Broken records.
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


class Step(NamedTuple):
    """How far a build is: one source is done.

    Attributes
    ----------
    name : str
    triples, tasks : int
        Of this source.
    seconds : float
    kept : bool
        It was done before, by a build that was stopped.
    done, total : int
        Sources.
    """

    name: str
    triples: int
    tasks: int
    seconds: float
    kept: bool
    done: int
    total: int


class _Job(NamedTuple):
    """One source and all that its triples depend on."""

    source: Source
    encoder: Encoder
    rules: Rules
    facts: dict[str, Any]  # for the manifest
    key: str


def build(
    config: Config,
    *,
    encoder: Encoder | None = None,
    reject: Callable[[Reject], None] | None = None,
    told: Callable[[Step], None] = lambda step: None,
) -> Manifest:
    """Write the triples of all sources, and ``<output>.manifest.json``.

    Parameters
    ----------
    config : Config
    encoder : object with ``encode``, optional
        Mines, in the place of ``config.encoder``; sources that name their own keep it.
    reject : callable, optional
        Takes broken records; without it they are errors.
    told : callable
        Called when a source is done.

    Raises
    ------
    InputError
        A source is broken, unknown or missing, or no triple came out.
    CheckpointError
        An encoder cannot be loaded.
    """
    against = Texts.of(config.against) if config.against else None
    manifest = Manifest(seed=config.seed, wordings=config.wordings, pool=config.pool)
    manifest.against = against.digest if against else ""
    jobs = _jobs(config, encoder, manifest.against, reject is not None)
    with ExitStack() as stack:
        if str(config.output) == "-":
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="medi-")))
        else:
            folder = config.output.with_name(config.output.name + ".parts")
            if not config.output.parent.is_dir():
                raise InputError(f"cannot write {config.output}: there is no folder {config.output.parent}")
            folder.mkdir(exist_ok=True)
        for number, job in enumerate(jobs, 1):
            start, kept = time.perf_counter(), (folder / f"{job.key}.json").is_file()
            if not kept:
                _mine(job, folder, against, reject is not None)
            tasks = _add(manifest, job, folder, reject)
            told(Step(job.source.name, sum(task["triples"] for task in tasks), len(tasks),
                      time.perf_counter() - start, kept, number, len(jobs)))  # fmt: skip
        if not manifest.triples:
            raise InputError("no triple came out; the sources are empty, skipped or without negatives")
        write(config.output, _numbered(jobs, folder))
        if str(config.output) != "-":
            manifest.sha256 = digest(config.output)
            path = config.output.with_name(config.output.name + ".manifest.json")
            path.write_text(json.dumps(vars(manifest), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            shutil.rmtree(folder)
    return manifest


def _jobs(config: Config, encoder: Encoder | None, against: str, rejecting: bool) -> list[_Job]:
    """List what is to be done, and check all files and encoders before the work begins."""
    loaded: dict[str, tuple[Encoder, str]] = {}
    if encoder is not None:
        loaded[""] = (encoder, encoders.identity(encoder))
    jobs: list[_Job] = []
    taken: set[tuple[Path, str]] = set()
    for selection in config.sources:
        name = selection.encoder or ("" if encoder is not None else config.encoder)
        if name not in loaded:
            model = encoders.named(name)
            loaded[name] = (model, encoders.identity(model))
        chosen, identity = loaded[name]
        rules = Rules(config.seed, selection.limit, config.pool, config.wordings, selection.skip)
        for source in selection.sources():
            if (source.path.resolve(), source.name) in taken:
                raise InputError(f"{source.path} is chosen twice; use only and skip to choose it once")
            taken.add((source.path.resolve(), source.name))
            facts = {
                "file": source.path.relative_to(selection.folder).as_posix(),
                "sha256": source.checked(),
                "bytes": source.path.stat().st_size,
                "licence": source.licence,
                "encoder": identity,
            }
            depends = (_FORM, __version__, facts, source.name, source.facts, rules, against, rejecting)
            key = sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:24]
            jobs.append(_Job(source, chosen, rules, facts, key))
    return jobs


def _mine(job: _Job, folder: Path, against: Texts | None, rejecting: bool) -> None:
    """Write the triples of a source, its rejects and, last, what the manifest says of its tasks."""
    tasks: list[dict[str, Any]] = []
    evaluation: Counter[str] = Counter()
    with open(folder / f"{job.key}.rejects.jsonl", "w", encoding="utf-8") as file:

        def sink(reject: Reject) -> None:
            file.write(json.dumps(reject, ensure_ascii=False) + "\n")

        def triples() -> Iterator[dict[str, Any]]:
            for part in parts(job.source, job.encoder, job.rules, against, sink if rejecting else None):
                count = 0
                for triple in part.triples:
                    count += 1
                    yield record_of(triple._replace(task=len(tasks)))
                evaluation.update(part.tally.evaluation)
                if count:
                    left_out = {"evaluation": dict(part.tally.evaluation), "no negative": part.tally.without_negative}
                    facts = {"name": part.name, "kind": part.facts.kind, "licence": part.licence, "triples": count}
                    tasks.append(facts | {"relations": part.tally.relations, "left out": left_out})

        write_records(folder / f"{job.key}.jsonl", triples())
    done = folder / f"{job.key}.json"
    done.with_suffix(".new").write_text(json.dumps({"tasks": tasks, "evaluation": evaluation}), encoding="utf-8")
    done.with_suffix(".new").replace(done)


def _add(manifest: Manifest, job: _Job, folder: Path, reject: Callable[[Reject], None] | None) -> list[dict[str, Any]]:
    """Add a source that is done to the manifest, hand on its rejects, and return its tasks."""
    done = json.loads((folder / f"{job.key}.json").read_text(encoding="utf-8"))
    tasks: list[dict[str, Any]] = done["tasks"]
    manifest.sources.append(job.facts)
    manifest.evaluation = dict(sorted((Counter(manifest.evaluation) + Counter(done["evaluation"])).items()))
    for task in tasks:
        manifest.tasks.append({"task": len(manifest.tasks), **task, "file": job.facts["file"]})
        manifest.triples += task["triples"]
    for _, record in read_records(folder / f"{job.key}.rejects.jsonl"):
        manifest.rejected += 1
        if reject is not None:
            reject(Reject(*record))
    return tasks


def _numbered(jobs: list[_Job], folder: Path) -> Iterator[Triple]:
    """Yield the triples of all sources, tasks numbered through."""
    first = 0
    for job in jobs:
        last = first - 1
        for triple in read(folder / f"{job.key}.jsonl"):
            last = first + triple.task
            yield triple._replace(task=last)
        first = last + 1
