"""Tasks and benchmarks of mteb by name, with their data from the hub or from a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from instructor_embedding.errors import InputError, nearest
from instructor_embedding.evaluation.mteb import folder
from instructor_embedding.extras import need

ENGLISH = "MTEB(eng, v1)"  # the 56 data sets of the paper
# what measures whether a retriever follows the instruction of each query, in mteb 2.26
FOLLOWING = (
    "Core17InstructionRetrieval",
    "News21InstructionRetrieval",
    "Robust04InstructionRetrieval",
    "InstructIR",
    "IFIRAila",
    "IFIRCds",
    "IFIRFiQA",
    "IFIRFire",
    "IFIRNFCorpus",
    "IFIRPm",
    "IFIRScifact",
    "NevIR",
)
# names that users type -> benchmark of mteb, or tasks
_BENCHMARKS: dict[str, Sequence[str]] = {
    "instruction-following": (*FOLLOWING, "BRIGHT(v1.1)"),
    "IFIR": tuple(name for name in FOLLOWING if name.startswith("IFIR")),
}
_PURPOSE = "evaluation on MTEB"


def tasks_named(
    names: Sequence[str] = (),
    categories: Sequence[str] = (),
    data_dir: str | os.PathLike[str] | None = None,
    split: str | None = None,
) -> list[Any]:
    """Return mteb tasks, in English, with their data from a folder or, when they run, from the hub.

    Parameters
    ----------
    names : list of str
        Task names, ``"MTEB(eng, v1)"``, ``"MTEB(eng, v2)"``, ``"BRIGHT(v1.1)"``, ``"FollowIR"`` or another benchmark of
        mteb, ``"IFIR"``, ``"instruction-following"``. Empty: all tasks in the folder, or, without one, the 56 data sets
        of the paper. An aggregate such as CQADupstackRetrieval stands for its parts. With a folder, the tasks of a
        benchmark that the folder holds.
    categories : list of str
        Keep only these task types: ``"STS"``, ``"Retrieval"``.
    data_dir : path, optional
        A folder of tasks; see `mteb.folder`.
    split : str, optional
        Default: what mteb evaluates.

    Raises
    ------
    InputError
        A name or category is unknown.
    """
    if data_dir is not None:
        tasks = [folder.load(data_dir, name, split) for name in _names_in_folder(data_dir, names)]
    else:
        tasks = [task for name in names or [ENGLISH] for task in _named(name, split)]
    tasks = list({task.metadata.name: task for task in tasks}.values())
    known = sorted({task.metadata.type for task in tasks})
    for category in categories:
        if category not in known:
            raise InputError(
                f"no task of category {category!r}{nearest(category, known)}; there are {', '.join(known)}"
            )
    return [task for task in tasks if not categories or task.metadata.type in categories]


def _names_in_folder(data_dir: str | os.PathLike[str], names: Sequence[str]) -> list[str]:
    present = folder.names_in(data_dir)
    chosen: list[str] = []
    for name in names or present:
        if name in present or not _is_group(name):
            chosen.append(name)
            continue
        members = [task.metadata.name for task in _named(name, None) if task.metadata.name in present]
        if not members:
            raise InputError(f"{data_dir} holds no task of {name}; it holds {', '.join(present)}")
        chosen += members
    return chosen


def _is_group(name: str) -> bool:
    mteb = need("mteb", _PURPOSE)
    if name in _BENCHMARKS:
        return True
    try:
        with _quiet_lookup():
            return bool(getattr(mteb.get_task(name), "is_aggregate", False))
    except KeyError:
        return name in {benchmark.name for benchmark in mteb.get_benchmarks()}


def _named(name: str, split: str | None) -> Iterator[Any]:
    """Return the tasks of a name, the parts of an aggregate in its place."""
    if name in _BENCHMARKS:
        for member in _BENCHMARKS[name]:
            yield from _named(member, split)
        return
    with _quiet_lookup():
        tasks = _from_mteb(name, split)
    for task in tasks:
        # mteb cannot run an aggregate: its score is the mean of its parts, which the report computes
        yield from (task.metadata.tasks if getattr(task, "is_aggregate", False) else [task])


def _from_mteb(name: str, split: str | None) -> list[Any]:
    mteb = need("mteb", _PURPOSE)
    benchmarks = {benchmark.name: benchmark for benchmark in mteb.get_benchmarks()}
    if name in benchmarks:
        return list(benchmarks[name].tasks)
    try:
        english = next((task for task in mteb.get_benchmark(ENGLISH).tasks if task.metadata.name == name), None)
        if english is not None and split is None:
            return [english]
        return [mteb.get_task(name, eval_splits=[split] if split else None, languages=["eng"])]
    except KeyError:
        known = [task.metadata.name for task in mteb.get_benchmark(ENGLISH).tasks]
        known += [*FOLLOWING, *_BENCHMARKS, *benchmarks]
        raise InputError(f"mteb has no task or benchmark {name!r}{nearest(name, known)}") from None


@contextmanager
def _quiet_lookup() -> Iterator[None]:
    """Silence what mteb logs while it looks up names that it may not have."""
    import logging

    logger = logging.getLogger("mteb")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
