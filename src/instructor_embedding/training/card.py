"""The model card of a trained model: what it learned from, how, and what it scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from instructor_embedding.training.history import Line

_LISTED = 40
_COLUMNS = ("task", "records", "used", "drawn", "share", "batches of")


@dataclass(frozen=True)
class Facts:
    """What the card reports.

    Attributes
    ----------
    base : str
        What training started from.
    data : mapping of str to str
        Kind of data to its files and count.
    tasks : sequence of tuple
        Rows of the table of tasks, see `task_rows`.
    left_out : mapping of str to str
        Task to why some or all of its records were not used.
    settings : mapping
        Settings that differ from their defaults.
    weights : (int, int)
        Trained and all.
    """

    base: str
    data: Mapping[str, str]
    tasks: Sequence[tuple[str, ...]]
    left_out: Mapping[str, str]
    settings: Mapping[str, Any]
    weights: tuple[int, int]


def task_rows(used: Mapping[int, Any], names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return one row per task, the largest first: records, how many were used, draws, share, sizes of batches."""
    total = sum(counts.drawn for counts in used.values()) or 1
    rows: list[tuple[str, ...]] = []
    for task, counts in sorted(used.items(), key=lambda entry: -entry[1].records):
        sizes = f"{counts.smallest}" if counts.smallest == counts.largest else f"{counts.smallest} to {counts.largest}"
        share = f"{100 * counts.drawn / total:.1f} %"
        rows.append((names[task] or "texts", str(counts.records), str(counts.used), str(counts.drawn), share, sizes))
    return rows


def task_table(rows: Sequence[tuple[str, ...]], markdown: bool = True) -> str:
    """Return the table of tasks, as Markdown or as aligned columns."""
    shown = list(rows[:_LISTED])
    more = f"\n{len(rows) - _LISTED} more tasks are not listed.\n" if len(rows) > _LISTED else ""
    if markdown:
        lines = "".join(f"| {' | '.join(row)} |\n" for row in (_COLUMNS, ("---",) * len(_COLUMNS), *shown))
        return lines + more
    widths = [max(len(row[column]) for row in (_COLUMNS, *shown)) for column in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (_COLUMNS, *shown)
    ) + more.rstrip("\n")


def card(name: str, dimension: int, facts: Facts, history: list[Line]) -> str:
    """Return the card as Markdown with the front matter that the hub reads."""
    sections = [_HEAD.format(name=name, dimension=dimension, base=facts.base)]
    sections.append("## Data\n\n" + "".join(f"- {kind}: {what}\n" for kind, what in facts.data.items()))
    if facts.tasks:
        sections.append(task_table(facts.tasks) + f"\n{_LEGEND}\n")
    if facts.left_out:
        reasons = "".join(f"- {task}: {why}\n" for task, why in facts.left_out.items())
        sections.append(f"Not trained on:\n\n{reasons}")
    trained, total = facts.weights
    rows = "".join(f"| {key} | {value} |\n" for key, value in facts.settings.items())
    sections.append(
        f"## Training\n\n{trained} of {total} weights were trained.\n\n| setting | value |\n|---|---|\n{rows}"
    )
    sections.append(_results(history))
    return "\n".join(section for section in sections if section)


def _results(history: list[Line]) -> str:
    losses = [line for line in history if "loss" in line]
    lines = []
    if losses:
        lines.append(f"Loss: {losses[0]['loss']:.4f} at step {losses[0]['step']}, ")
        lines[-1] += f"{losses[-1]['loss']:.4f} at step {losses[-1]['step']}.\n"
    evaluated = [line for line in history if any(name.startswith("eval_") for name in line)]
    if evaluated:
        names = [name for name in evaluated[-1] if name.startswith("eval_")]
        best = max(evaluated, key=lambda line: line.get("eval_mean", 0))
        lines.append("\n| dev set | first | last | best |\n|---|---|---|---|\n")
        for name in names:
            cells = " | ".join(f"{line[name]:.4f}" for line in (evaluated[0], evaluated[-1], best) if name in line)
            lines.append(f"| {name.removeprefix('eval_')} | {cells} |\n")
    return "## Results\n\n" + "".join(lines) if lines else ""


_LEGEND = """`used` counts the records that were in some batch, `drawn` those in all batches, repetitions included.
`share` is that of all draws."""
_HEAD = """---
library_name: instructor-embedding
pipeline_tag: sentence-similarity
tags:
- sentence-transformers
- feature-extraction
- text-embedding
- instructor
- t5
---

# {name}

A T5 encoder that embeds a text for the task which an instruction names; vectors have {dimension} dimensions.
It was trained from {base}.

```python
from instructor_embedding import INSTRUCTOR

model = INSTRUCTOR("{name}")
vectors = model.encode([["Represent the Science title:", "Parton energy loss in QCD matter"]])
```

With sentence-transformers, one instruction per call:
`SentenceTransformer("{name}").encode(texts, prompt="Represent the Science title: ")`.
"""
