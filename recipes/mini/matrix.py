"""Does an instruction do what it requests? Label kinds against instructions, on texts that training never saw.

For each set of texts with labels: the accuracy of a logistic regression (mean of five folds, with its standard error)
under the instructions of every label kind, in a wording that was not trained on, under the topic's, under none, and
under instructions to ignore the label. Then the criteria: in how many sets the own instruction is the best or tied with
it, for how many kinds it beats none beyond twice the standard error, whether ignoring helps, and the gap between the
best and the worst of five wordings written by hand.

    python -m recipes.mini.matrix DATA [--model instructor-mini] [--held-out] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from instructor_embedding import INSTRUCTOR
from instructor_embedding.vectors import nearest
from recipes.mini.labels import HELD_OUT, Labeled, labeled_sets
from recipes.mini.wording import FRAMES, IGNORING, INSTEAD, held_back

MOST, FEWEST = 1500, 5  # texts of a set, texts of a label that counts
FOLDS = 5
TOPIC = "Represent the text for clustering by topic: "
# written by hand, as users write; not from the frames of training
BY_HAND = (
    "Represent this text so that I can sort it by {}: ",
    "Represent the sentence, what matters is the {}: ",
    "Represent the text for a classifier of {}: ",
    "Represent the message for telling which {} it has: ",
    "Represent the document for organizing a collection by {}: ",
)


class Score(NamedTuple):
    """Accuracy of a logistic regression and its standard error, and how often the nearest text has the same label."""

    accuracy: float
    error: float
    nearest: float


def score(vectors: np.ndarray, labels: Sequence[str]) -> Score:
    """Return the score of vectors for labels, in percent."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    names = np.array(labels)
    often = np.isin(names, [name for name in set(labels) if np.sum(names == name) >= FEWEST])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    accuracy = cross_val_score(LogisticRegression(max_iter=300), vectors[often], names[often], cv=folds)
    neighbor = nearest(vectors, vectors, 1, exclude_self=True)[1][:, 0]
    same = 100 * float(np.mean(names == names[neighbor]))
    return Score(100 * float(accuracy.mean()), 100 * float(accuracy.std() / FOLDS**0.5), same)


def requesting(own: Labeled, words: Sequence[str], frame: str) -> str:
    """Return an instruction for the texts of a set that requests a label by the first of its words."""
    return f"Represent the {own.text_types[0]} {frame.format(words[0], other='topic')}: "


def instructions_of(own: Labeled, sets: Sequence[Labeled]) -> dict[str, str]:
    """Return the instructions of a row of the matrix by name: those of every kind, and the controls."""
    frame = held_back(FRAMES)[0]
    kinds = {other.kind: requesting(own, other.words, frame) for other in sets}
    controls = {"(none)": "", "(topic)": TOPIC}
    controls["(ignoring)"] = requesting(own, own.words, held_back(IGNORING)[0])
    controls["(topic, not own)"] = requesting(own, own.words, held_back(INSTEAD)[0])
    return {**kinds, **controls}


def measured(model: INSTRUCTOR, own: Labeled, sets: Sequence[Labeled]) -> dict[str, Any]:
    """Return the scores of one set under all instructions, and under the five wordings by hand."""

    def under(instruction: str) -> Score:
        return score(np.asarray(model.encode(own.texts, instruction=instruction, truncate="quiet")), own.labels)

    row = {name: under(instruction) for name, instruction in instructions_of(own, sets).items()}
    hand = [under(wording.format(own.words[0])).accuracy for wording in BY_HAND]
    return {"set": own.name, "kind": own.kind, "texts": len(own.texts), "scores": row, "by hand": hand}


def criteria(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what the scores of all sets amount to; a difference counts beyond twice its standard error."""
    best = better = ignoring = 0
    kinds: set[str] = set()
    for row in rows:
        scores: dict[str, Score] = row["scores"]
        own, none = scores[row["kind"]], scores["(none)"]
        others = [value for name, value in scores.items() if name != row["kind"]]
        best += all(own.accuracy >= other.accuracy - _twice(own, other) for other in others)
        better += own.accuracy > none.accuracy + _twice(own, none)
        kinds |= {row["kind"]} if own.accuracy > none.accuracy + _twice(own, none) else set()
        ignoring += (
            max(scores[name].accuracy - _twice(scores[name], none) for name in ("(ignoring)", "(topic, not own)"))
            <= none.accuracy
        )
    gaps = sorted(max(row["by hand"]) - min(row["by hand"]) for row in rows)
    count = max(1, len(rows))
    return {
        "sets": len(rows), "own instruction best or tied": best / count, "sets better than none": better,
        "kinds better than none": sorted(kinds), "ignoring does not help": ignoring / count,
        "median gap of five wordings": gaps[len(gaps) // 2] if gaps else 0.0,
    }  # fmt: skip


def _twice(a: Score, b: Score) -> float:
    return 2 * float(np.hypot(a.error, b.error))


def main() -> None:
    """Print a table, and what it amounts to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="instructor-mini")
    parser.add_argument("--held-out", action="store_true", help="kinds that no step of training saw, alone")
    parser.add_argument("--most", type=int, default=MOST, help="texts of a set")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model = INSTRUCTOR(arguments.model, device="cpu")
    sets = [own.subset(held_back=True).frequent() for own in labeled_sets(arguments.data)]
    sets = [own.of(list(zip(own.texts, own.labels, strict=True))[: arguments.most]) for own in sets]
    sets = [own for own in sets if len(set(own.labels)) > 1]
    kinds = list({own.kind: own for own in sets}.values())
    rows = []
    print("| set | texts | own | best other | none | topic | ignoring | not own | five wordings |")
    print("|---|---|---|---|---|---|---|---|---|")
    for own in sets:
        if arguments.held_out and own.kind not in HELD_OUT:
            continue
        row = measured(model, own, kinds)
        rows.append(row)
        scores: dict[str, Score] = row["scores"]
        other = max(
            (name for name in scores if name not in (own.kind, "(none)")), key=lambda name: scores[name].accuracy
        )
        cells = [
            f"{scores[own.kind].accuracy:.1f} (+-{scores[own.kind].error:.1f})",
            f"{scores[other].accuracy:.1f} {other}",
        ]
        cells += [f"{scores[name].accuracy:.1f}" for name in ("(none)", "(topic)", "(ignoring)", "(topic, not own)")]
        hand = row["by hand"]
        print(
            f"| {own.name} | {len(own.texts)} | {' | '.join(cells)} | {min(hand):.1f} to {max(hand):.1f} |", flush=True
        )
    result = criteria(rows)
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": rows, "criteria": result}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
