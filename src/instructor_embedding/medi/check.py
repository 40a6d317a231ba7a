"""Problems of a file of triples."""

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
    """Result of `check`.

    Attributes
    ----------
    triples : int
    tasks : Counter
        Triples of each task.
    invalid : int
        Records that are not triples.
    evaluation : Counter
        Triples that contain an evaluation text or a run of its words, by evaluation set.
    contaminated : list of str
        The first hundred such triples, by their number in the file.
    degenerate : int
        Triples whose negative is the positive or the query, or whose positive is the query: they teach nothing, or the
        wrong thing.
    outside_template : int
        Instructions that neither start with "Represent " nor are empty: the original's training refuses them.
    """

    triples: int = 0
    tasks: Counter[str] = field(default_factory=Counter)
    invalid: int = 0
    evaluation: Counter[str] = field(default_factory=Counter)
    contaminated: list[str] = field(default_factory=list)
    degenerate: int = 0
    outside_template: int = 0

    @property
    def clean(self) -> bool:
        """Whether there is no problem."""
        return not (self.invalid or self.evaluation or self.degenerate or self.outside_template)


def check(
    path: Path,
    against: Texts | None = None,
    reject: Callable[[Reject], None] | None = None,
    watched: Callable[[Iterable[Triple]], Iterable[Triple]] = lambda triples: triples,
) -> Findings:
    """Check a file, in bounded memory.

    Parameters
    ----------
    path : path
        See `triple.read`.
    against : Texts, optional
        Evaluation texts that must not be in it.
    reject : callable, optional
        Receives each record that is not a triple.
    watched : callable, optional
        Wraps the stream of triples, as a progress bar does.

    Raises
    ------
    InputError
        The file is missing, corrupt or truncated.
    """
    findings = Findings()

    def count(record: Reject) -> None:
        findings.invalid += 1
        if reject is not None:
            reject(record)

    pending = iter(watched(read(path, count)))
    while batch := list(islice(pending, _BATCH)):
        for triple in batch:
            _count(triple, findings)
        if against is not None:
            _compare(batch, against, findings)
        findings.triples += len(batch)
    return findings


def _count(triple: Triple, findings: Findings) -> None:
    findings.tasks[triple.task_name or str(triple.task)] += 1
    sides = (triple.query, triple.pos, triple.neg)
    findings.degenerate += len({side.text for side in sides}) < 3
    findings.outside_template += any(
        side.instruction and not side.instruction.startswith("Represent ") for side in sides
    )


def _compare(batch: list[Triple], against: Texts, findings: Findings) -> None:
    owners = against.found_in(getattr(triple, side).text for triple in batch for side in SIDES)
    for index, triple in enumerate(batch):
        owner = next(filter(None, owners[3 * index : 3 * index + 3]), "")
        if owner:
            findings.evaluation[owner] += 1
            if len(findings.contaminated) < _SHOWN:
                task = triple.task_name or triple.task
                findings.contaminated.append(f"triple {findings.triples + index + 1} ({task}): a text of {owner}")
