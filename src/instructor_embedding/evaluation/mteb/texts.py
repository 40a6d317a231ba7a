"""All texts that a task embeds, for baselines that learn their words from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from instructor_embedding.evaluation.mteb.run import load_data

# columns that are not embedded
_OTHER = ("id", "label", "labels", "label_text", "score", "title")


def texts_of(task: Any) -> list[str]:
    """Return the distinct texts of a task's evaluated splits; its data is loaded and stays so."""
    if not task.data_loaded:
        load_data(task)
    splits = [*task.eval_splits, *filter(None, [getattr(task, "train_split", None)])]
    texts: dict[str, None] = {}
    for subset in task.hf_subsets:
        data = task.dataset.get(subset, task.dataset)
        for split in splits:
            if split in data:
                texts.update(dict.fromkeys(_texts(data[split])))
    return list(texts)


def _texts(rows: Any) -> Iterator[str]:
    if isinstance(rows, dict):
        for name in ("corpus", "queries"):
            for row in rows[name]:
                yield f"{row.get('title') or ''} {row['text']}".strip()
        return
    for row in rows:
        for name, value in row.items():
            if name in _OTHER:
                continue
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str):
                    yield text
