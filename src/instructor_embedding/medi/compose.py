"""The triples of a source: its relations without duplicates, with mined texts and with instructions."""

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
from instructor_embedding.medi import encoders, mine, super_ni
from instructor_embedding.medi.contamination import Texts
from instructor_embedding.medi.encoders import Miner
from instructor_embedding.medi.lexical import BM25
from instructor_embedding.medi.relation import Relation
from instructor_embedding.medi.source import Source, allowed
from instructor_embedding.medi.super_ni import Task
from instructor_embedding.medi.triple import Triple
from instructor_embedding.medi.wording import WORDINGS, Facts, sides

_TRIES = 64  # texts tried as a random negative


class Rules(NamedTuple):
    """How triples are composed.

    Attributes
    ----------
    seed : int
        Of the draw of `limit`.
    limit : int, optional
        Relations taken of each source or task, drawn at random.
    pool : int
        Relations of a source among which negatives are searched; time grows with its square.
    wordings : int
        Wordings among which the instruction of each triple is drawn.
    skip : tuple of str
        Tasks that are left out, as patterns of their names.
    licences : tuple of str
        Tasks whose stated licence fits none of these patterns are left out; empty for no such rule.
    """

    seed: int = 0
    limit: int | None = None
    pool: int = 50_000
    wordings: int = WORDINGS
    skip: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()


@dataclass
class TaskTriples:
    """The triples of one task, and what was left out of it.

    Attributes
    ----------
    name : str
    facts : Facts
    licence : str
    mined : str
        What positives and negatives were selected by: ``"label"``, ``"output"``, or ``"positives"`` of other queries.
    relations : int
        As read, duplicates counted.
    evaluation : Counter
        Relations left out because they contain a text of an evaluation set, by set.
    without_negative : int
        Relations without a negative and inputs without a positive, which are left out; complete when `triples` is
        exhausted.
    triples : iterator of Triple
        Task number 0. Read them before the next task.
    """

    name: str
    facts: Facts
    licence: str
    mined: str = "positives"
    relations: int = 0
    evaluation: Counter[str] = field(default_factory=Counter)
    without_negative: int = 0
    triples: Iterator[Triple] = field(default_factory=lambda: iter(()))


def tasks_of(
    source: Source,
    encoder: Miner,
    rules: Rules,
    against: Texts | None = None,
    reject: Callable[[Reject], None] | None = None,
) -> Iterator[TaskTriples]:
    """Yield the tasks of a source: one, or one for each task that its records or its format name.

    Parameters
    ----------
    source : Source
    encoder : BM25 or AnyEncoder
        Mines, without instructions.
    rules : Rules
    against : Texts, optional
        Evaluation texts; relations that contain one are left out and counted.
    reject : callable, optional
        Receives invalid records; without it they are errors.

    Raises
    ------
    InputError
        A record is invalid.
    """
    if source.facts is not None:
        by_task: dict[str, list[Relation]] = {}
        for relation in source.relations(reject):
            by_task.setdefault(relation.task or source.name, []).append(relation)
        for name, relations in by_task.items():
            if name != source.name and any(fnmatchcase(name, pattern) for pattern in rules.skip):
                continue
            task = TaskTriples(name, source.facts, source.licence)
            selected = _selected(relations, task, rules, against)
            if source.facts.kind == "label":
                task.mined = "label"
                mined = _by_output(selected, True, encoder)
            else:
                mined = _with_negatives(selected, encoder, rules.pool)
            task.triples = _triples(mined, task, rules)
            yield task
        return
    for instructions in super_ni.read(source.path, reject):
        if any(fnmatchcase(instructions.name, pattern) for pattern in rules.skip):
            continue
        if rules.licences and not allowed(instructions.licence, rules.licences):
            continue
        task = TaskTriples(instructions.name, instructions.facts, instructions.licence or source.licence)
        task.mined = "label" if instructions.is_classification else "output"
        relations = _selected(_pairs(instructions), task, rules, against)
        task.triples = _triples(_by_output(relations, instructions.is_classification, encoder), task, rules)
        yield task


def mined_relations(task: Task, encoder: Miner) -> Iterator[Relation]:
    """Mine the relations of a task: inputs that match by label or, if it is not a classification, by output as well.

    Inputs without a positive or a negative come with an empty ``neg``.
    """
    return _by_output(_pairs(task), task.is_classification, encoder)


def _pairs(task: Task) -> list[Relation]:
    return [Relation(*pair) for pair in zip(task.inputs, task.outputs, strict=True)]


def _triples(relations: Iterator[Relation], task: TaskTriples, rules: Rules) -> Iterator[Triple]:
    wordings = [sides(task.facts, wording) for wording in range(rules.wordings)]
    for relation in relations:
        if not relation.neg:
            task.without_negative += 1
            continue
        # by the query's hash, not at random: the same relation has the same instruction in every build
        query, document = relation.instructions or wordings[zlib.crc32(relation.query.encode()) % len(wordings)]
        texts = (Pair(query, relation.query), Pair(document, relation.pos), Pair(document, relation.neg))
        yield Triple(*texts, 0, task.name)


def _selected(relations: list[Relation], task: TaskTriples, rules: Rules, against: Texts | None) -> list[Relation]:
    """Drop duplicates, relations of a text with itself and evaluation texts; shuffle the rest and apply the limit."""
    task.relations = len(relations)
    distinct = {relation[:3]: relation for relation in relations if relation.query not in relation[1:3]}
    relations = list(distinct.values())
    if against is not None:
        owners = against.found_in(text for relation in relations for text in relation[:3])
        sets = [next(filter(None, owners[first : first + 3]), "") for first in range(0, len(owners), 3)]
        task.evaluation.update(filter(None, sets))
        relations = [relation for relation, owner in zip(relations, sets, strict=True) if not owner]
    random.Random(f"{rules.seed} {task.name}").shuffle(relations)
    return relations[: rules.limit]


def _by_output(pairs: list[Relation], labels: bool, encoder: Miner) -> Iterator[Relation]:
    """Pair inputs with inputs, by the outputs in ``pos``: equal ones if they are labels, else near ones."""
    if not pairs:
        return
    inputs, outputs = [pair.query for pair in pairs], [pair.pos for pair in pairs]
    if labels:
        positives, negatives = mine.classification(encoders.vectors(encoder, inputs), outputs)
    else:
        vectors = encoders.vectors(encoder, [*inputs, *outputs])
        positives, negatives = mine.generation(vectors[: len(inputs)], vectors[len(inputs) :])
    for pair, positive, negative in zip(pairs, positives.tolist(), negatives.tolist(), strict=True):
        complete = -1 not in (positive, negative) and len({pair.query, inputs[positive], inputs[negative]}) == 3
        pos, neg = (inputs[positive], inputs[negative]) if complete else ("", "")
        yield pair._replace(pos=pos, neg=neg)


def _with_negatives(relations: list[Relation], encoder: Miner, pool: int) -> Iterator[Relation]:
    """Give relations without a negative one of the other positives of their source, `pool` relations at a time."""
    for first in range(0, len(relations), pool):
        block = relations[first : first + pool]
        lacking = [relation for relation in block if not relation.neg]
        negatives = iter(hard_negatives(lacking, encoder))
        for relation in block:
            yield relation if relation.neg else relation._replace(neg=next(negatives))


def hard_negatives(
    relations: list[Relation], encoder: Miner, *, same: float = mine.SAME, guard: float = mine.GUARD
) -> list[str]:
    """Return a hard negative for each relation, or any other positive, or ``""`` where there is none.

    Parameters
    ----------
    relations : list of Relation
        Negatives are taken from their positives; their own ``neg`` is ignored.
    encoder : BM25 or AnyEncoder
    same, guard : float
        As in `mine.hard_negatives`.
    """
    if not relations:
        return []
    queries, positives = [relation.query for relation in relations], [relation.pos for relation in relations]
    numbers: dict[str, int] = {}
    ids = [numbers.setdefault(text, len(numbers)) for text in positives]
    matches = _matches(relations, numbers)
    if isinstance(encoder, BM25):
        vectors = encoder.relate(queries, positives)
    else:
        for query in queries:
            numbers.setdefault(query, len(numbers))
        rows = encoders.vectors(encoder, list(numbers))
        vectors = rows[np.array([numbers[query] for query in queries])], rows[np.array(ids)]
    nearest = mine.hard_negatives(*vectors, ids, matches, same=same, guard=guard).tolist()
    negatives = []
    for row, index in enumerate(nearest):
        if index < 0:  # any other positive; the order starts at a hash so that it is the same in every build
            start = zlib.crc32(queries[row].encode()) % len(relations)
            order = ((start + step) % len(relations) for step in range(min(len(relations), _TRIES)))
            index = next((other for other in order if ids[other] not in matches[row]), -1)
        negatives.append(positives[index] if index >= 0 else "")
    return negatives


def _matches(relations: list[Relation], numbers: dict[str, int]) -> list[set[int]]:
    """Return for each relation the ids of the texts that are known to match its query, the query included."""
    by_query: dict[str, set[int]] = {}
    by_group: dict[str, set[int]] = {}
    for query, pos, _, group, *_ in relations:
        own = {numbers[text] for text in (query, pos) if text in numbers}
        by_query.setdefault(query, set()).update(own)
        if group:
            by_group.setdefault(group, set()).update(own)
    for query, _, _, group, *_ in relations:
        by_query[query] |= by_group.get(group, set())
    return [by_query[relation.query] for relation in relations]
