"""The triples of one source: its relations, cleaned, mined and given their instructions."""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np

from instructor_embedding.files.records import Reject
from instructor_embedding.instruction import Pair
from instructor_embedding.medi import mine, super_ni
from instructor_embedding.medi.contamination import Texts
from instructor_embedding.medi.encoders import Encoder
from instructor_embedding.medi.instructions import WORDINGS, Facts, sides
from instructor_embedding.medi.lexical import BM25
from instructor_embedding.medi.relation import Relation
from instructor_embedding.medi.source import Source
from instructor_embedding.medi.super_ni import Task
from instructor_embedding.medi.triple import Triple


class Rules(NamedTuple):
    """How triples are made of relations.

    Attributes
    ----------
    seed : int
        For the draw of `limit`.
    limit : int, optional
        Relations taken of each source or task, drawn at random.
    pool : int
        Negatives are looked for among so many relations of the source at once; time grows with its square.
    wordings : int
        Instructions of one source are drawn from so many wordings.
    skip : tuple of str
        Tasks that are left out, as patterns of their names.
    """

    seed: int = 0
    limit: int | None = None
    pool: int = 50_000
    wordings: int = WORDINGS
    skip: tuple[str, ...] = ()


@dataclass
class Tally:
    """What became of the relations of a source.

    Attributes
    ----------
    relations : int
        As read; duplicates counted.
    evaluation : Counter
        Relations left out since a text of theirs is in an evaluation set, by set.
    without_negative : int
        Relations left out since no negative was found, or inputs for which no positive was.
    """

    relations: int = 0
    evaluation: Counter[str] = field(default_factory=Counter)
    without_negative: int = 0


class Part(NamedTuple):
    """One task: what is known of it, and its triples, numbered 0; read them before the next part."""

    name: str
    facts: Facts
    licence: str
    tally: Tally
    triples: Iterator[Triple]


def parts(
    source: Source,
    encoder: Encoder,
    rules: Rules,
    against: Texts | None = None,
    reject: Callable[[Reject], None] | None = None,
) -> Iterator[Part]:
    """Yield the tasks of a source: one, or for Super-NaturalInstructions as many as the file has.

    Parameters
    ----------
    source : Source
    encoder : object with ``encode``
        Mines, without instructions.
    rules : Rules
    against : Texts, optional
        Evaluation texts; relations that hold one are left out and counted.
    reject : callable, optional
        Takes broken records; without it they are errors.

    Raises
    ------
    InputError
        A record is broken.
    """
    if source.facts is None:
        for task in super_ni.read(source.path, reject):
            if not any(fnmatchcase(task.name, pattern) for pattern in rules.skip):
                tally = Tally()
                pairs = [Relation(*pair) for pair in zip(task.inputs, task.outputs, strict=True)]
                relations = _of_task(_chosen(pairs, task.name, rules, against, tally), task.is_classification, encoder)
                yield _part(task.name, task.facts, task.licence or source.licence, tally, relations, rules)
        return
    tally = Tally()
    found = _chosen(list(source.reader(source.path, reject)), source.name, rules, against, tally)
    if source.facts.kind == "label":
        relations = _of_task(found, True, encoder)
    else:
        relations = _of_relations(found, encoder, rules.pool)
    yield _part(source.name, source.facts, source.licence, tally, relations, rules)


def _part(name: str, facts: Facts, licence: str, tally: Tally, relations: Iterator[Relation], rules: Rules) -> Part:
    wordings = [sides(facts, wording) for wording in range(rules.wordings)]

    def triples() -> Iterator[Triple]:
        for relation in relations:
            if not relation.neg:
                tally.without_negative += 1
                continue
            query, document = wordings[zlib.crc32(relation.query.encode()) % len(wordings)]
            texts = (Pair(query, relation.query), Pair(document, relation.pos), Pair(document, relation.neg))
            yield Triple(*texts, 0, name)

    return Part(name, facts, licence, tally, triples())


def _chosen(relations: list[Relation], name: str, rules: Rules, against: Texts | None, tally: Tally) -> list[Relation]:
    """Drop duplicates, relations of a text with itself and evaluation texts; draw what is to be taken, shuffled."""
    tally.relations = len(relations)
    distinct = {relation[:3]: relation for relation in relations if relation.query not in relation[1:3]}
    relations = list(distinct.values())
    if against is not None:
        found = against.found_in(text for relation in relations for text in relation[:3])
        marked = [next(filter(None, found[first : first + 3]), "") for first in range(0, len(found), 3)]
        tally.evaluation.update(filter(None, marked))
        relations = [relation for relation, mark in zip(relations, marked, strict=True) if not mark]
    random.Random(f"{rules.seed} {name}").shuffle(relations)
    return relations[: rules.limit]


def of_task(task: Task, encoder: Encoder) -> Iterator[Relation]:
    """Mine the relations of a task: inputs that match by label or, if it is no classification, by output as well.

    Inputs without a positive or a negative come with an empty ``neg``.
    """
    pairs = [Relation(*pair) for pair in zip(task.inputs, task.outputs, strict=True)]
    return _of_task(pairs, task.is_classification, encoder)


def _of_task(pairs: list[Relation], labels: bool, encoder: Encoder) -> Iterator[Relation]:
    if not pairs:
        return
    inputs, outputs = [pair.query for pair in pairs], [pair.pos for pair in pairs]
    if labels:
        positives, negatives = mine.classification(mine.unit(encoder.encode(inputs)), outputs)
    else:
        vectors = mine.unit(encoder.encode([*inputs, *outputs]))
        positives, negatives = mine.generation(vectors[: len(inputs)], vectors[len(inputs) :])
    for text, positive, negative in zip(inputs, positives.tolist(), negatives.tolist(), strict=True):
        mined = -1 not in (positive, negative) and len({text, inputs[positive], inputs[negative]}) == 3
        yield Relation(text, inputs[positive], inputs[negative]) if mined else Relation(text, "")


def _of_relations(relations: list[Relation], encoder: Encoder, pool: int) -> Iterator[Relation]:
    """Give relations that lack a negative one of the other positives of their source, `pool` relations at a time."""
    for first in range(0, len(relations), pool):
        block = relations[first : first + pool]
        lacking = [relation for relation in block if not relation.neg]
        negatives = iter(_negatives(lacking, encoder))
        for relation in block:
            yield relation if relation.neg else relation._replace(neg=next(negatives))


def _negatives(relations: list[Relation], encoder: Encoder) -> list[str]:
    """Return a hard negative for each relation, or any other positive, or ``""`` where there is none."""
    if not relations:
        return []
    queries, positives = [relation.query for relation in relations], [relation.pos for relation in relations]
    texts: dict[str, int] = {}
    numbers = [texts.setdefault(text, len(texts)) for text in positives]
    matches = _matches(relations, texts)
    if isinstance(encoder, BM25):
        places = mine.hard_negatives(*encoder.relate(queries, positives), numbers, matches)
    else:
        for query in queries:
            texts.setdefault(query, len(texts))
        vectors = mine.unit(encoder.encode(list(texts)))
        asked = vectors[np.array([texts[query] for query in queries])]
        places = mine.hard_negatives(asked, vectors[np.array(numbers)], numbers, matches)
    found = []
    for row, place in enumerate(places.tolist()):
        if place < 0:  # any other, the same each time
            start = zlib.crc32(queries[row].encode()) % len(relations)
            order = ((start + step) % len(relations) for step in range(min(len(relations), 64)))
            place = next((other for other in order if numbers[other] not in matches[row]), -1)
        found.append(positives[place] if place >= 0 else "")
    return found


def _matches(relations: list[Relation], numbers: dict[str, int]) -> list[set[int]]:
    """Return for each relation the numbers of the texts that are known to match its query, itself included."""
    known: dict[str, set[int]] = {}
    groups: dict[str, set[int]] = {}
    for query, pos, _, group in relations:
        own = {numbers[text] for text in (query, pos) if text in numbers}
        known.setdefault(query, set()).update(own)
        if group:
            groups.setdefault(group, set()).update(own)
    for query, _, _, group in relations:
        known[query] |= groups.get(group, set())
    return [known[relation.query] for relation in relations]
