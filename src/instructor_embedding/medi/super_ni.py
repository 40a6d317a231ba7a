"""Super-NaturalInstructions: tasks with inputs and outputs, in the three schemas that its releases have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from instructor_embedding.errors import InputError
from instructor_embedding.medi.instructions import Facts, of_task
from instructor_embedding.medi.records import RecordError, Reject, read_records

_LABELS = 30  # a task with more distinct outputs is no classification


class Task(NamedTuple):
    """One task.

    Attributes
    ----------
    name : str
    facts : Facts
        For its instruction.
    inputs, outputs : list of str
        Of the same length; of several outputs the first.
    """

    name: str
    facts: Facts
    inputs: list[str]
    outputs: list[str]

    @property
    def is_classification(self) -> bool:
        """Whether outputs are labels: few, and most of them often."""
        counts = Counter(self.outputs)
        repeated = sum(count for count in counts.values() if count > 1)
        return 1 < len(counts) <= min(_LABELS, len(self.outputs) // 4) and repeated >= 0.95 * len(self.outputs)


def read(path: Path, reject: Callable[[Reject], None] | None = None) -> Iterator[Task]:
    """Yield the tasks of a folder of task files, of one such file, or of json lines with a task each.

    ``Definition`` may be a string or a list, ``output`` too, and the first release calls ``Instances`` the same but
    keeps examples in ``Examples``; instances without an input or output are left out, equal inputs are taken once.

    Raises
    ------
    InputError
        With file and place of the first record that is no task.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    for file in files:
        plain = file.name.removesuffix(".gz").endswith(".json")
        for (what, number), record in _single(file) if plain else read_records(file, reject):
            try:
                yield _task(record, file.name.partition(".")[0] if plain else "")
            except RecordError as error:
                if reject is None:
                    raise InputError(f"{file}, {what} {number}: {error}") from None
                reject(Reject(str(file), f"{what} {number}", str(error), record))


def _single(file: Path) -> Iterator[tuple[tuple[str, int], Any]]:
    import json

    from instructor_embedding.medi.records import opened

    with opened(str(file)) as content:
        try:
            yield ("item", 1), json.loads(content.read().decode("utf-8-sig"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise InputError(f"{file} is no task file: {error}") from None


def _task(record: Any, file_name: str) -> Task:
    if not isinstance(record, dict) or not isinstance(record.get("Instances"), list):
        raise RecordError("a task is an object with a list of Instances")
    name = str(record.get("task_name") or file_name)
    if not name:
        raise RecordError("the task has no task_name")
    found: dict[str, str] = {}
    for instance in record["Instances"]:
        if not isinstance(instance, dict):
            raise RecordError("an instance is an object with input and output")
        given, answer = instance.get("input"), instance.get("output")
        answer = next(iter(answer), None) if isinstance(answer, list) else answer
        if isinstance(given, str) and given.strip() and isinstance(answer, str) and answer.strip():
            found.setdefault(given.strip(), answer.strip())
    facts = of_task(name, _listed(record.get("Categories")), _listed(record.get("Domains")))
    return Task(name, facts, list(found), list(found.values()))


def _listed(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)] if value else []
