"""From a folder of sources to one file of triples, and a manifest that says what went in.

Sources go through one after the other, and only one is held in memory. The same sources, encoder and options give the
same bytes.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from instructor_embedding.errors import InputError
from instructor_embedding.instruction import Pair
from instructor_embedding.medi import mine, super_ni
from instructor_embedding.medi.contamination import Texts
from instructor_embedding.medi.instructions import WORDINGS, Facts, sides
from instructor_embedding.medi.lexical import Lexical
from instructor_embedding.medi.records import Reject
from instructor_embedding.medi.relation import Relation
from instructor_embedding.medi.source import Source, sources
from instructor_embedding.medi.triple import Triple, write


class Encoder(Protocol):
    """Anything that turns texts into vectors: this package's models, sentence-transformers, or `Lexical`."""

    def encode(self, texts: Sequence[str]) -> Any:
        """Return vectors of shape (n, dim)."""
        ...


@dataclass(frozen=True)
class Options:
    """What `build` may be told.

    Attributes
    ----------
    seed : int
    limit : int, optional
        Relations taken of each source, drawn at random.
    pool : int
        Negatives are looked for among this many relations of the source at once.
    wordings : int
        Instructions of one source are drawn from so many wordings.
    skip : tuple of str
        Sources and tasks that are left out.
    """

    seed: int = 0
    limit: int | None = None
    pool: int = 20_000
    wordings: int = WORDINGS
    skip: tuple[str, ...] = ()


@dataclass
class Manifest:
    """What a build did; the fields of its json file."""

    encoder: str
    options: dict[str, Any]
    sources: list[dict[str, Any]] = field(default_factory=list)
    triples: int = 0
    tasks: int = 0
    rejected: int = 0
    removed_as_evaluation_text: int = 0
    sha256: str = ""


def build(
    folder: Path,
    output: Path,
    *,
    encoder: Encoder | None = None,
    options: Options | None = None,
    against: Texts | None = None,
    reject: Callable[[Reject], None] | None = None,
    told: Callable[[str], None] = lambda line: None,
) -> Manifest:
    """Write the triples of all sources of a folder, and ``<output>.manifest.json``.

    Parameters
    ----------
    folder : path
        See `source.sources`.
    output : path
        See `triple.write`.
    encoder : object with ``encode``, optional
        Mines; default: `Lexical`.
    options : Options, optional
    against : Texts, optional
        Evaluation texts; triples that hold one are left out and counted.
    reject : callable, optional
        Takes broken records; without it they are errors.
    told : callable
        Called with a line for each source.

    Raises
    ------
    InputError
        A source is broken, unknown or missing, or no triple came out.
    """
    options = options or Options()
    chosen: Encoder = encoder or Lexical()
    manifest = Manifest(getattr(chosen, "name", type(chosen).__name__), dict(vars(options)))

    def triples() -> Iterator[Triple]:
        for source in sources(folder):
            if source.name in options.skip:
                continue
            for name, facts, part in _parts(source, chosen, options, manifest, reject):
                start, count = time.perf_counter(), 0
                for triple in _instructed(part, facts, manifest.tasks, name, options):
                    if against is not None and against.holds(triple.query.text, triple.pos.text, triple.neg.text):
                        manifest.removed_as_evaluation_text += 1
                        continue
                    count += 1
                    yield triple
                if count:
                    entry = {"task": manifest.tasks, "name": name, "triples": count, "kind": facts.kind}
                    manifest.sources.append(
                        entry | {"file": source.path.relative_to(folder).as_posix(), "licence": source.licence}
                    )
                    manifest.tasks += 1
                    told(f"{name}: {count} triples, {time.perf_counter() - start:.1f} s")

    manifest.triples = write(output, triples())
    if not manifest.triples:
        raise InputError(f"no triple came out of {folder}; its sources are empty or all skipped")
    manifest.sha256 = hashlib.sha256(output.read_bytes()).hexdigest() if str(output) != "-" else ""
    if str(output) != "-":
        path = output.with_name(output.name + ".manifest.json")
        path.write_text(json.dumps(vars(manifest), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest


def _parts(
    source: Source, encoder: Encoder, options: Options, manifest: Manifest, reject: Callable[[Reject], None] | None
) -> Iterator[tuple[str, Facts, Iterator[Relation]]]:
    """Yield (name, facts, relations with negatives) of each task of a source."""

    def counted(rejected: Reject) -> None:
        manifest.rejected += 1
        if reject is not None:
            reject(rejected)

    sink = counted if reject is not None else None
    if source.facts is None:
        for task in super_ni.read(source.path, sink):
            if task.name not in options.skip:
                yield task.name, task.facts, of_task(task, encoder)
    else:
        relations = list(dict.fromkeys(source.reader(source.path, sink)))
        draw = random.Random(f"{options.seed} {source.name}")
        draw.shuffle(relations)
        relations = relations[: options.limit]
        if source.facts.kind == "label":
            task = super_ni.Task(source.name, source.facts, [r.query for r in relations], [r.pos for r in relations])
            yield source.name, source.facts, of_task(task, encoder, labels=True)
        else:
            yield source.name, source.facts, of_relations(relations, encoder, options.pool)


def of_task(task: super_ni.Task, encoder: Encoder, labels: bool = False) -> Iterator[Relation]:
    """Mine the relations of a task: inputs that match by label, or by output.

    Inputs without a positive or a negative are left out. ``labels=True`` says that outputs are labels.
    """
    if len(task.inputs) < 3:
        return
    if labels or task.is_classification:
        positives, negatives = mine.classification(encoder.encode(task.inputs), task.outputs)
    else:
        vectors = encoder.encode([*task.inputs, *task.outputs])
        count = len(task.inputs)
        positives, negatives = mine.generation(vectors[:count], vectors[count:])
    for text, positive, negative in zip(task.inputs, positives.tolist(), negatives.tolist(), strict=True):
        if -1 not in (positive, negative) and positive != negative:
            yield Relation(text, task.inputs[positive], task.inputs[negative])


def of_relations(relations: list[Relation], encoder: Encoder, pool: int) -> Iterator[Relation]:
    """Give relations that lack a negative one of the other positives of their source, `pool` relations at a time."""
    for first in range(0, len(relations), pool):
        part = relations[first : first + pool]
        lacking = [relation for relation in part if not relation.neg]
        negatives = iter(_mined(lacking, encoder))
        for relation in part:
            negative = relation.neg or next(negatives)
            if negative:
                yield relation._replace(neg=negative)


def _mined(relations: list[Relation], encoder: Encoder) -> list[str]:
    """Return a hard negative for each relation, or any other positive, or ``""`` where there is none."""
    if not relations:
        return []
    numbers: dict[str, int] = {}
    queries = [numbers.setdefault(relation.query, len(numbers)) for relation in relations]
    positives = [numbers.setdefault(relation.pos, len(numbers)) for relation in relations]
    vectors = encoder.encode(list(numbers))
    places = mine.hard_negatives(vectors[np.array(queries)], vectors[np.array(positives)], queries, positives)
    matches: dict[int, set[int]] = {}
    for query, positive in zip(queries, positives, strict=True):
        matches.setdefault(query, set()).add(positive)
    found = []
    for row, place in enumerate(places.tolist()):
        if place < 0:  # any other, the same each time
            start = zlib.crc32(relations[row].query.encode()) % len(relations)
            order = ((start + step) % len(relations) for step in range(min(len(relations), 64)))
            place = next((other for other in order if positives[other] not in matches[queries[row]]), -1)
        found.append(relations[place].pos if place >= 0 else "")
    return found


def _instructed(
    relations: Iterator[Relation], facts: Facts, task: int, name: str, options: Options
) -> Iterator[Triple]:
    wordings = [sides(facts, wording) for wording in range(max(1, min(options.wordings, WORDINGS)))]
    for relation in relations:
        query, document = wordings[zlib.crc32(relation.query.encode()) % len(wordings)]
        if relation.neg not in (relation.pos, relation.query):
            yield Triple(
                Pair(query, relation.query), Pair(document, relation.pos), Pair(document, relation.neg), task, name
            )
