"""The history of a run: ``history.jsonl``, one line per log, and its picture ``history.png``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from instructor_embedding.files import picture

HISTORY = "history.jsonl"
PICTURE = "history.png"

Line = dict[str, float]


class History(TrainerCallback):
    """Writes what is logged as it comes; a run that resumes begins with the lines up to its checkpoint."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / HISTORY

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the lines that the checkpoint holds."""
        if state.is_world_process_zero:
            write_history(self.file.parent, state.log_history)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Append a line."""
        if state.is_world_process_zero and state.log_history and self.file.parent.is_dir():
            with open(self.file, "a", encoding="utf-8") as file:
                file.write(json.dumps(state.log_history[-1]) + "\n")

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Draw the picture again."""
        if state.is_world_process_zero:
            plot(self.file.parent)

    on_train_end = on_save


def write_history(folder: Path, lines: Sequence[Line]) -> None:
    """Write all lines of a run's history."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / HISTORY).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def read_history(folder: Path) -> list[Line]:
    """Return the lines of a run's history."""
    return [json.loads(line) for line in (folder / HISTORY).read_text(encoding="utf-8").splitlines() if line]


def plot(folder: Path) -> Path | None:
    """Draw loss and scores over steps to ``history.png``; None where matplotlib is not installed."""
    lines = read_history(folder)
    if find_spec("matplotlib") is None or not any("loss" in line for line in lines):
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    losses = [line for line in lines if "loss" in line]
    axes.plot([line["step"] for line in losses], [line["loss"] for line in losses], color="tab:gray", label="loss")
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    names = sorted({name for line in lines for name in line if name.startswith("eval_")} - {"eval_mean"})
    if names:
        scores = axes.twinx()
        scores.set_ylabel("score")
        for name in names:
            points = [(line["step"], line[name]) for line in lines if name in line]
            scores.plot(*zip(*points, strict=True), marker=".", label=name.removeprefix("eval_"))
    figure.legend(loc="outside lower center", ncols=3)
    picture.write(figure, folder / PICTURE, dpi=120)
    return folder / PICTURE
