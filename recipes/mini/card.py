"""The card of the bundled model: what it is, its scores beside baselines, what instructions do, its data and limits.

    python -m recipes.mini.card TRIPLES.jsonl.manifest.json SCORES.jsonl MATRIX.json OUTPUT [--none NONE.jsonl]

SCORES and NONE are what ``instructor-embed evaluate mteb --result_file`` writes, with the recipe's instructions and
without any; MATRIX is what ``recipes.mini.matrix --json`` writes.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from instructor_embedding.evaluation.score import read

# measured on the same files, with the same protocol
TEACHER = {
    "STSBenchmark": 82.0, "SICK-R": 77.6, "Banking77Classification": 80.0, "EmotionClassification": 40.8,
    "TwitterURLCorpus": 77.1, "TrecQAReranking": 74.4, "TwentyNewsgroupsClustering": 47.1, "SciFact": 64.5,
}  # fmt: skip
BM25 = {"SciFact": 66.2}

FORM = Path(__file__).with_name("card.md")


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return the rows of a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def scores(own: Mapping[str, float], none: Mapping[str, float]) -> str:
    """Return a row for each task and one for the mean: this model, without instructions, the teacher, BM25."""
    rows = [
        (task, f"{own[task]:.1f}", f"{none[task]:.1f}" if task in none else "", str(theirs), str(BM25.get(task, "")))
        for task, theirs in TEACHER.items()
    ]
    means = [
        f"{sum(values[task] for task in TEACHER) / len(TEACHER):.1f}" if set(TEACHER) <= set(values) else ""
        for values in (own, none, TEACHER)
    ]
    return table([*rows, ("mean", *means, "")])


def obedience(matrix: Mapping[str, Any]) -> str:
    """Return a row for each set of labeled texts, and a sentence for the criteria."""
    rows = [
        (
            row["set"],
            row["kind"],
            *(f"{row['scores'][name][0]:.1f}" for name in (row["kind"], "(none)", "(topic)", "(ignoring)")),
            f"{min(row['by hand']):.1f} to {max(row['by hand']):.1f}",
        )
        for row in matrix["rows"]
    ]
    facts = matrix["criteria"]
    return table(rows) + (
        f"\n\nThe own instruction is the best or tied in {facts['own instruction best or tied']:.0%} of the sets, "
        f"and better than none beyond twice the standard error for {len(facts['kinds better than none'])} kinds."
    )


def licences(manifest: Mapping[str, Any]) -> str:
    """Return a row for each licence with the files or tasks under it."""
    by_licence: dict[str, set[str]] = defaultdict(set)
    for task in manifest["tasks"]:
        by_licence[task["licence"]].add(task["name"])
    return table([(licence, ", ".join(sorted(names))) for licence, names in sorted(by_licence.items())])


def main() -> None:
    """Write the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for path in ("manifest", "scores", "matrix", "output"):
        parser.add_argument(path, type=Path)
    parser.add_argument("--none", type=Path)
    arguments = parser.parse_args()
    own, none = (
        {score.task: score.value for score in read(path)} if path else {} for path in (arguments.scores, arguments.none)
    )
    manifest = json.loads(arguments.manifest.read_text(encoding="utf-8"))
    matrix = json.loads(arguments.matrix.read_text(encoding="utf-8"))
    text = FORM.read_text(encoding="utf-8").format(
        scores=scores(own, none), matrix=obedience(matrix), licences=licences(manifest),
        triples=f"{manifest['triples']:,}", tasks=len(manifest["tasks"]),
    )  # fmt: skip
    arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
