"""The model card of a trained model: what it learned from, how, and what it scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from instructor_embedding.training.history import Line

_LISTED = 40


@dataclass(frozen=True)
class Facts:
    """What the card tells.

    Attributes
    ----------
    base : str
        What training started from.
    data : mapping of str to str
        Kind of data to the file's name and its count.
    tasks : mapping of str to int
        Records of each task.
    settings : mapping
        Settings that were not left at their defaults.
    weights : (int, int)
        Trained and all.
    """

    base: str
    data: Mapping[str, str]
    tasks: Mapping[str, int]
    settings: Mapping[str, Any]
    weights: tuple[int, int]


def card(name: str, dimension: int, facts: Facts, history: list[Line]) -> str:
    """Return the card as Markdown with the front matter that the hub reads."""
    parts = [_HEAD.format(name=name, dimension=dimension, base=facts.base)]
    parts.append("## Data\n\n" + "".join(f"- {kind}: {what}\n" for kind, what in facts.data.items()))
    if facts.tasks:
        common = Counter(facts.tasks).most_common(_LISTED)
        rows = "".join(f"| {task} | {count} |\n" for task, count in common)
        more = f"\n{len(facts.tasks) - _LISTED} more tasks are not listed.\n" if len(facts.tasks) > _LISTED else ""
        parts.append(f"| task | records |\n|---|---|\n{rows}{more}")
    trained, total = facts.weights
    rows = "".join(f"| {key} | {value} |\n" for key, value in facts.settings.items())
    parts.append(f"## Training\n\n{trained} of {total} weights were trained.\n\n| setting | value |\n|---|---|\n{rows}")
    parts.append(_results(history))
    return "\n".join(part for part in parts if part)


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
        lines.append("| dev set | first | last | best |\n|---|---|---|---|\n")
        for name in names:
            cells = " | ".join(f"{line[name]:.4f}" for line in (evaluated[0], evaluated[-1], best) if name in line)
            lines.append(f"| {name.removeprefix('eval_')} | {cells} |\n")
    return "## Results\n\n" + "".join(lines) if lines else ""


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

With sentence-transformers, one instruction a call:
`SentenceTransformer("{name}").encode(texts, prompt="Represent the Science title: ")`.
"""
