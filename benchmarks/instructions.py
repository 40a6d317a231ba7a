"""Scores of tasks under different instructions, as a table in docs/instructions.md.

``python benchmarks/instructions.py ../shared/data/eval [MODEL]`` appends to results/instructions.jsonl and prints the
table; scores that are in the file are not computed again.
"""

import json
import sys
from pathlib import Path

from instructor_embedding import encoders
from instructor_embedding.evaluation.cached_encoder import CachedEncoder
from instructor_embedding.evaluation.instructions import Instructions
from instructor_embedding.evaluation.mteb.run import evaluate
from instructor_embedding.evaluation.mteb.tasks import tasks_named
from instructor_embedding.evaluation.score import Results, read

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "instructions.jsonl"
TASKS = ("STSBenchmark", "EmotionClassification", "TrecQAReranking", "Banking77Classification")
MATCHING = json.loads((ROOT / "recipes" / "mini" / "instructions.json").read_text(encoding="utf-8"))


def of_the_task(change):
    """Return the table of the tasks' own instructions, each changed by a function."""
    return {
        name: {side: change(text) for side, text in sides.items()} if isinstance(sides, dict) else change(sides)
        for name, sides in MATCHING.items()
    }


def swapped():
    sides = MATCHING["TrecQAReranking"]
    return {"TrecQAReranking": {"query": sides["document"], "document": sides["query"]}}


KINDS = {
    "none": {"*": ""},
    "the task's own": of_the_task(str),
    "the same, without the blank at its end": of_the_task(str.rstrip),
    "what the text is, no objective": of_the_task(lambda text: text.partition(" for ")[0] + ": "),
    "`Represent the sentence: `": {"*": "Represent the sentence: "},
    "other words: `Please embed ...`": of_the_task(lambda text: text.replace("Represent", "Please embed", 1)),
    "another objective: topic": {"*": "Represent the text for clustering by topic: "},
    "another objective: emotion": {"*": "Represent the text for classifying its emotion: "},
    "sides exchanged": swapped(),
}


def measure(folder, model):
    loaded = encoders.load(model, "instructor", device="cpu", dtype="float32", backend="torch", precision=None)
    encoder, results = CachedEncoder(loaded, model, progress=True), Results(RESULTS)
    for task in tasks_named(list(TASKS), [], folder):
        for kind, table in KINDS.items():
            if kind != "sides exchanged" or task.metadata.name in table:
                chosen = {name: sides for name, sides in table.items() if name in ("*", task.metadata.name)}
                evaluate(encoder, [task], instructions=Instructions(chosen, name=kind), results=results)


def table():
    """Return the table in Markdown: one row per kind of instruction."""
    values = {}
    for score in read(RESULTS):
        source = next(iter(score.config["sources"].values()))
        kind = source.rpartition(" (")[0] or source
        values[kind, score.task] = score.value
    tasks = [name for name in TASKS if any(task == name for _, task in values)]
    lines = [f"| instruction | {' | '.join(tasks)} |", "|---" * (len(tasks) + 1) + "|"]
    for kind in KINDS:
        row = [f"{values[kind, name]:.1f}" if (kind, name) in values else "" for name in tasks]
        if any(row):
            lines.append(f"| {kind} | {' | '.join(row)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], *(sys.argv[2:3] or ["instructor-mini"]))
    print(table())
