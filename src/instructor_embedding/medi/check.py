"""What is wrong with a file of triples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from instructor_embedding.files.records import Reject
from instructor_embedding.medi.contamination import Texts
from instructor_embedding.medi.triple import SIDES, Triple, read

_BATCH = 4096
_SHOWN = 100


@dataclass
class Findings:
    """What `check` found.

    Attributes
    ----------
    triples : int
    tasks : Counter
        Triples of each task.
    broken : int
        Records that are no triples.
    evaluation : Counter
        Triples that hold an evaluation text or a run of its words, by evaluation set.
    contaminated : list of str
        Places of such triples, the first hundred.
    useless : int
        Triples whose negative is the positive or the query, or whose positive is the query: they teach nothing or the
        wrong thing.
    outside : int
        Instructions that neither start with "Represent " nor are empty: the original's training refuses them.
    """

    triples: int = 0
    tasks: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    evaluation: Counter[str] = field(default_factory=Counter)
    contaminated: list[str] = field(default_factory=list)
    useless: int = 0
    outside: int = 0

    @property
    def clean(self) -> bool:
        """Whether there is nothing to complain about."""
        return not (self.broken or self.evaluation or self.useless or self.outside)


def check(
    path: Path,
    against: Texts | None = None,
    reject: Callable[[Reject], None] | None = None,
    watched: Callable[[Iterable[Triple]], Iterable[Triple]] = lambda triples: triples,
) -> Findings:
    """Read a whole file, in bounded memory.

    Parameters
    ----------
    path : path
        See `triple.read`.
    against : Texts, optional
        Evaluation texts that must not be there.
    reject : callable, optional
        Takes each record that is no triple.
    watched : callable, optional
        Wraps the triples as they are read: a progress bar.

    Raises
    ------
    InputError
        The file is missing or cannot be read on.
    """
    found = Findings()

    def broken(record: Reject) -> None:
        found.broken += 1
        if reject is not None:
            reject(record)

    pending = iter(watched(read(path, broken)))
    while batch := list(islice(pending, _BATCH)):
        for triple in batch:
            _look_at(triple, found)
        if against is not None:
            _compare(batch, against, found)
        found.triples += len(batch)
    return found


def _look_at(triple: Triple, found: Findings) -> None:
    found.tasks[triple.task_name or str(triple.task)] += 1
    sides = (triple.query, triple.pos, triple.neg)
    found.useless += len({side.text for side in sides}) < 3
    found.outside += any(side.instruction and not side.instruction.startswith("Represent ") for side in sides)


def _compare(batch: list[Triple], against: Texts, found: Findings) -> None:
    owners = against.found_in(getattr(triple, side).text for triple in batch for side in SIDES)
    for place, triple in enumerate(batch):
        owner = next(filter(None, owners[3 * place : 3 * place + 3]), "")
        if owner:
            found.evaluation[owner] += 1
            if len(found.contaminated) < _SHOWN:
                task = triple.task_name or triple.task
                found.contaminated.append(f"triple {found.triples + place + 1} ({task}): a text of {owner}")
