"""A report as text for a terminal, as Markdown, csv or json."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from instructor_embedding.errors import InputError, choose
from instructor_embedding.evaluation.following import matrix as following
from instructor_embedding.evaluation.report import averages
from instructor_embedding.evaluation.report.comparison import differing
from instructor_embedding.evaluation.report.runs import Run
from instructor_embedding.evaluation.report.sections import Section, speed_of

FORMATS = ("terminal", "markdown", "csv", "json")
_ENDINGS = {"txt": "terminal", "md": "markdown", "csv": "csv", "json": "json"}


def format_of(output: str | None, format: str | None) -> str:
    """Return the format given, else that of the file's extension, else ``"terminal"``."""
    if format is not None:
        return choose("format", format, FORMATS)
    ending = (output or "-.txt").rpartition(".")[2] if output not in (None, "-") else "txt"
    if ending not in _ENDINGS:
        raise InputError(
            f"{output}: the extension tells no format; allowed: {', '.join(f'.{name}' for name in _ENDINGS)}"
        )
    return _ENDINGS[ending]


def render(runs: Sequence[Run], sections: Sequence[Section], format: str) -> str:
    """Return the text of a report; csv has one row per score, json everything."""
    if format == "csv":
        return _csv(runs)
    if format == "json":
        return json.dumps(_json(runs), indent=1, ensure_ascii=False) + "\n"
    texts = [_markdown(section) if format == "markdown" else _terminal(section) for section in sections]
    return "\n".join(texts)


def _markdown(section: Section) -> str:
    header, *rows = section.rows
    lines = [f"### {section.title}", "", _row(header), "|" + "---|" * len(header)]
    lines += [_row(row) for row in rows]
    return "\n".join([*lines, "", *section.notes, ""])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _terminal(section: Section) -> str:
    widths = [max(map(len, column)) for column in zip(*section.rows, strict=True)]
    lines = [section.title, ""]
    for row in section.rows:
        # names to the left, figures to the right
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*lines, *section.notes, ""])


def _csv(runs: Sequence[Run]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = ["run", "task", "category", "metric", "value", "error", "n", "data", "seconds", "texts_per_second"]
    writer.writerow([*names, "published"])
    for run in runs:
        for task, entry in sorted(run.entries.items()):
            values = [getattr(entry, name) for name in names[2:]]
            writer.writerow([run.label, task, *("" if value is None else value for value in values), run.published])
        for matrix in following.of_scores(run.following):
            for (row, column), cell in matrix.cells.items():
                task = f"{matrix.name}: {column} under {row}"
                figures = [matrix.metric, round(cell.value, 4), round(cell.error, 4)]
                writer.writerow([run.label, task, "InstructionFollowing", *figures, "", "", "", "", False])
    return file.getvalue()


def _json(runs: Sequence[Run]) -> dict[str, Any]:
    return {
        "runs": [
            {
                "label": run.label,
                "published": run.published,
                "settings": dict(run.settings),
                "size": dict(run.size),
                "texts_per_second": speed_of(run),
                "averages": asdict(averages.of_run(run)),
                "scores": {task: asdict(entry) | {"error": entry.error} for task, entry in sorted(run.entries.items())},
                "following": [_matrix(matrix) for matrix in following.of_scores(run.following)],
            }
            for run in runs
        ],
        "differing_settings": differing(runs),
    }


def _matrix(matrix: following.Matrix) -> dict[str, Any]:
    return {
        "set": matrix.name,
        "metric": matrix.metric,
        "cells": [
            {"instruction_for": row, "labeling": column, "value": cell.value, "error": cell.error}
            for (row, column), cell in matrix.cells.items()
        ],
        "chance": matrix.chance,
        "own_minus_others": {name: asdict(figure) for name, figure in matrix.gains.items()},
        "own_minus_none": {name: asdict(figure) for name, figure in matrix.over_none.items()},
        "all_wordings": matrix.paraphrases,
        "gain": asdict(matrix.gain),
        "wins": matrix.wins,
    }
