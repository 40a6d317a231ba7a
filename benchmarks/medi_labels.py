"""Do mined positives share their label? Classification tasks of Super-NaturalInstructions, drawn from a built file.

For each task: the share of triples whose positive has the query's label, the same for the hard negative, and what two
texts drawn at random would share. The labels are read from the sources again, not from the triples.

    python benchmarks/medi_labels.py TRIPLES.jsonl SUPER_NI_FILE... [--tasks 20]
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from instructor_embedding.medi import super_ni
from instructor_embedding.medi.triple import Triple, read


def labels_of(files: list[Path]) -> dict[str, dict[str, str]]:
    """Return the label of each text of each classification task."""
    return {
        task.name: dict(zip(task.inputs, task.outputs, strict=True))
        for file in files
        for task in super_ni.read(file, reject=lambda _: None)
        if task.is_classification
    }


def agreement(triples: list[Triple], labels: dict[str, str]) -> tuple[float, float, float]:
    """Return the shares of positives and of negatives with the query's label, and that of texts drawn at random."""
    rows = [[labels[side.text] for side in triple[:3]] for triple in triples]
    counts = Counter(label for label, _, _ in rows)
    chance = sum((count / len(rows)) ** 2 for count in counts.values())
    return (
        float(np.mean([query == pos for query, pos, _ in rows])),
        float(np.mean([query == neg for query, _, neg in rows])),
        chance,
    )


def main() -> None:
    """Print a line for each task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("triples", type=Path)
    parser.add_argument("sources", type=Path, nargs="+")
    parser.add_argument("--tasks", type=int, default=20)
    arguments = parser.parse_args()
    labels = labels_of(arguments.sources)
    by_task: dict[str, list[Triple]] = defaultdict(list)
    for triple in read(arguments.triples):
        if triple.task_name in labels:
            by_task[triple.task_name].append(triple)
    names = sorted(by_task)
    drawn = sorted(np.random.default_rng(0).permutation(names)[: arguments.tasks])
    print("| task | triples | labels | positive shares the label | negative | by chance |\n|---|---|---|---|---|---|")
    totals = []
    for name in drawn:
        shares = agreement(by_task[name], labels[name])
        totals.append(shares)
        cells = " | ".join(f"{100 * share:.1f} %" for share in shares)
        print(f"| {name} | {len(by_task[name])} | {len(set(labels[name].values()))} | {cells} |")
    mean = " | ".join(f"{100 * share:.1f} %" for share in np.mean(totals, 0))
    print(f"| mean of {len(drawn)} of {len(names)} | | | {mean} |")


if __name__ == "__main__":
    main()
