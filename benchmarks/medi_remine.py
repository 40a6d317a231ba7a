"""Are re-mined negatives false ones? Classification tasks, whose labels tell, with and without the guards of `remine`.

For each task: the share of negatives that have the query's label, as built (by label), re-mined without guards, with
them, and drawn at random.

    python benchmarks/medi_remine.py SUPER_NI_FILE... [--encoder instructor-mini] [--tasks 10] [--write]

With --write into results/medi_remine.json.
"""

import argparse
import json
import math
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from instructor_embedding.instruction import Pair
from instructor_embedding.medi import encoders, super_ni
from instructor_embedding.medi.compose import mined_relations
from instructor_embedding.medi.remine import remine
from instructor_embedding.medi.triple import Triple, read, write

RESULTS = Path(__file__).parent / "results" / "medi_remine.json"
GUARDS = {"re-mined, no guard": (2.0, math.inf), "re-mined, guarded": (0.9, 0.95)}


def main():
    """Print a line for each task, and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, nargs="+")
    parser.add_argument("--encoder", default="instructor-mini")
    parser.add_argument("--tasks", type=int, default=10)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    encoder = encoders.load(arguments.encoder)
    tasks = [
        task
        for file in arguments.sources
        for task in super_ni.read(file, reject=lambda record: None)
        if task.is_classification
    ]
    drawn = [tasks[index] for index in sorted(np.random.default_rng(0).permutation(len(tasks))[: arguments.tasks])]
    columns = ["as built", *GUARDS, "at random"]
    print(f"| task | {' | '.join(columns)} |\n|---|---|---|---|---|")
    rows = []
    for task in drawn:
        label = dict(zip(task.inputs, task.outputs, strict=True))
        triples = [
            Triple(*(Pair("", text) for text in relation[:3]), 0, task.name)
            for relation in mined_relations(task, encoder)
            if relation.neg
        ]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "triples.jsonl")
            write(path, triples)
            shares = [share(triples, label)]
            for same, guard in GUARDS.values():
                output = Path(folder, "mined.jsonl")
                remine(path, output, encoder, same=same, guard=guard)
                shares.append(share(list(read(output)), label))
        counts = Counter(task.outputs)
        shares.append(sum((count / len(task.outputs)) ** 2 for count in counts.values()))
        rows.append(shares)
        print(f"| {task.name} | {' | '.join(f'{100 * value:.1f} %' for value in shares)} |", flush=True)
    print(f"| mean of {len(rows)} | {' | '.join(f'{100 * value:.1f} %' for value in np.mean(rows, 0))} |")
    if arguments.write:
        shares = {task.name: dict(zip(columns, row, strict=True)) for task, row in zip(drawn, rows, strict=True)}
        content = {"encoder": arguments.encoder, "share of negatives with the query's label": shares}
        RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def share(triples, label):
    """Return the share of triples whose negative has the query's label."""
    return float(np.mean([label[triple.query.text] == label[triple.neg.text] for triple in triples]))


if __name__ == "__main__":
    main()
