"""Super-NaturalInstructions: tasks with inputs and outputs, in the three schemas that its releases have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from instructor_embedding.errors import InputError
from instructor_embedding.files.records import RecordError, Reject, read_json, read_records
from instructor_embedding.medi.wording import Facts, of_task

_LABELS = 30  # a task with more distinct outputs is not a classification


class Task(NamedTuple):
    """One task.

    Attributes
    ----------
    name : str
    facts : Facts
        For its instruction.
    inputs, outputs : list of str
        Of the same length; the first of several outputs.
    licence : str
        Of its instances, ``""`` where the record has none.
    definition : str
        The task in words, as its authors wrote it.
    """

    name: str
    facts: Facts
    inputs: list[str]
    outputs: list[str]
    licence: str = ""
    definition: str = ""

    @property
    def is_classification(self) -> bool:
        """Whether outputs are labels: few, and most of them frequent."""
        counts = Counter(self.outputs)
        repeated = sum(count for count in counts.values() if count > 1)
        return 1 < len(counts) <= min(_LABELS, len(self.outputs) // 4) and repeated >= 0.95 * len(self.outputs)


def read(path: Path, reject: Callable[[Reject], None] | None = None) -> Iterator[Task]:
    """Yield the tasks of a folder of task files, of one such file, or of json lines with a task each.

    ``Definition`` may be a string or a list, ``output`` too, and the first release calls ``Instances`` the same but
    has examples in ``Examples``. Equal inputs are taken once; instances with an empty input or output are left out.

    Parameters
    ----------
    path : path
    reject : callable, optional
        Receives records and instances of another form, as a `Reject`; without it they are errors.

    Raises
    ------
    InputError
        With file and line of the first record or instance of another form.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    for file in files:
        plain = file.name.removesuffix(".gz").endswith(".json")
        for (unit, number), record in _single(file) if plain else read_records(file, reject):

            def refuse(value: Any, why: RecordError, where: str = f"{unit} {number}", file: str = str(file)) -> None:
                if reject is None:
                    raise InputError(f"{file}, {where}: {why}") from None
                reject(Reject(file, where, str(why), value))

            try:
                yield _task(record, file.name.partition(".")[0] if plain else "", refuse)
            except RecordError as error:
                refuse(record, error)


def _single(file: Path) -> Iterator[tuple[tuple[str, int], Any]]:
    yield ("item", 1), read_json(file)


def _task(record: Any, file_name: str, refuse: Callable[[Any, RecordError], None]) -> Task:
    if not isinstance(record, dict) or not isinstance(record.get("Instances"), list):
        raise RecordError("a task is an object with a list of Instances")
    name = str(record.get("task_name") or file_name)
    if not name:
        raise RecordError("the task has no task_name")
    answers: dict[str, str] = {}
    for number, instance in enumerate(record["Instances"], 1):
        try:
            text, answer = _instance(instance)
        except RecordError as error:
            refuse(instance, RecordError(f"instance {number} of {name}: {error}"))
            continue
        if text and answer:
            answers.setdefault(text, answer)
    facts = of_task(name, _listed(record.get("Categories")), _listed(record.get("Domains")))
    licence = ", ".join(_listed(record.get("Instance License")))
    definition = " ".join(_listed(record.get("Definition")))
    return Task(name, facts, list(answers), list(answers.values()), licence, definition)


def _instance(instance: Any) -> tuple[str, str]:
    if not isinstance(instance, dict):
        raise RecordError("it must be an object with input and output")
    text, answer = instance.get("input"), instance.get("output")
    answer = next(iter(answer), "") if isinstance(answer, list) else answer
    for field, value in (("input", text), ("output", answer)):
        if not isinstance(value, str):
            raise RecordError(f"{field} is {value!r:.60}; it must be a string")
    return str(text).strip(), str(answer).strip()


def _listed(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)] if value else []
