"""Does an instruction steer? Labeled texts that training never saw, under fitting and other instructions.

Prints for each source the accuracy of a logistic regression (mean of five folds, with its standard error) and how often
the nearest text has the same label: under five wordings of the label's instruction, under the topic's, and under none.

    python recipes/mini/steered.py SOURCES [--model instructor-mini]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from labels import Labeled, labeled_sources
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from instructor_embedding import INSTRUCTOR

MOST, FEWEST = 1500, 5  # texts of a source, texts of a label that counts
TOPIC = "Represent the text for clustering by topic: "


def wordings(source: Labeled) -> list[str]:
    """Return five instructions that ask for the label."""
    kind, label, other = source.kinds[0], source.label_kinds[0], source.label_kinds[1]
    return [
        f"Represent the {kind} for classifying its {label}: ",
        f"Represent the {source.kinds[1]} for {label} classification: ",
        f"Represent the {source.kinds[-1]} for identifying the {other}: ",
        f"Represent the {kind} for retrieving texts of the same {label}: ",
        f"Represent a {kind} for clustering by {other}: ",
    ]


def scores(model: INSTRUCTOR, source: Labeled, instruction: str) -> tuple[float, float, float]:
    """Return accuracy, its standard error, and how often the nearest text has the same label, in percent."""
    labels = np.array(source.labels)
    vectors = model.encode(source.texts, instruction=instruction, truncate="quiet")
    often = np.isin(labels, [label for label in set(labels) if np.sum(labels == label) >= FEWEST])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    found = cross_val_score(LogisticRegression(max_iter=300), vectors[often], labels[often], cv=folds)
    nearest = (vectors @ vectors.T - 2 * np.eye(len(labels))).argmax(1)
    return 100 * found.mean(), 100 * found.std() / len(found) ** 0.5, 100 * np.mean(labels == labels[nearest])


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path)
    parser.add_argument("--model", default="instructor-mini")
    given = parser.parse_args()
    model = INSTRUCTOR(given.model, device="cpu")
    print("| texts | label's instruction | five wordings | topic's | none | nearest: label's | topic's | none |")  # noqa: T201
    print("|---|---|---|---|---|---|---|---|")  # noqa: T201
    for source in labeled_sources(given.sources):
        held = source.part(held=True)
        some = Labeled(held.name, held.kinds, held.label_kinds, held.texts[:MOST], held.labels[:MOST])
        asked = [scores(model, some, said) for said in wordings(some)]
        (first, error, near), topic, none = asked[0], scores(model, some, TOPIC), scores(model, some, "")
        span = f"{min(one[0] for one in asked):.1f} to {max(one[0] for one in asked):.1f}"
        cells = f"{first:.1f} (+-{error:.1f}) | {span} | {topic[0]:.1f} | {none[0]:.1f}"
        print(f"| {len(some.texts)} of {some.name} | {cells} | {near:.1f} | {topic[2]:.1f} | {none[2]:.1f} |")  # noqa: T201


if __name__ == "__main__":
    main()
