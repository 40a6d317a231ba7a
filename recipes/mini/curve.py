"""The curve of a training: a line for each report in a file beside the model, and their picture.

    python -m recipes.mini.curve OUTPUT.png STUDENT.history.jsonl MODEL.history.jsonl

needs matplotlib; each file becomes a panel, each loss a line.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from instructor_embedding.files.records import read_records

Losses = dict[str, float]


def note(model: Path, step: int, losses: Losses) -> None:
    """Append the losses at a step to the history of the model that will be in this folder."""
    with open(model.with_suffix(".history.jsonl"), "a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step} | {name: round(value, 4) for name, value in losses.items()}) + "\n")


def noted(history: Path) -> list[Losses]:
    """Return the lines of a history by step; the last line where a resumed training repeated a step."""
    lines = {line["step"]: line for _, line in read_records(history)}
    return [lines[step] for step in sorted(lines)]


def draw(histories: list[Path], output: Path) -> None:
    """Draw a panel for each history."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(histories), 4), layout="constrained")
    for axes, history in zip(figure.subplots(1, len(histories), squeeze=False)[0], histories, strict=True):
        lines = noted(history)
        for name in lines[0]:
            if name != "step":
                axes.plot([line["step"] for line in lines], [line[name] for line in lines], label=name)
        axes.set_title(history.name.partition(".")[0])
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(output, dpi=100)


def main() -> None:
    """Draw histories."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("histories", type=Path, nargs="+")
    arguments = parser.parse_args()
    draw(arguments.histories, arguments.output)


if __name__ == "__main__":
    main()
