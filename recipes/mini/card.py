"""The card of the bundled model: what it is, its data with their licences, its scores, its limits.

    python recipes/mini/card.py MEDI.jsonl.manifest.json SCORES.jsonl OUTPUT

SCORES is what ``instructor-embed evaluate mteb --result_file`` writes.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

from instructor_embedding.evaluation.score import read

TEACHER = {  # all-MiniLM-L6-v2 on the same files
    "STSBenchmark": 82.0, "SICK-R": 77.6, "Banking77Classification": 80.0, "EmotionClassification": 40.8,
    "TwitterURLCorpus": 77.1, "TrecQAReranking": 74.4, "TwentyNewsgroupsClustering": 47.1, "SciFact": 64.5,
}  # fmt: skip

FORM = Path(__file__).with_name("card.md")


def table(rows: list[tuple[str, ...]]) -> str:
    """Return the rows of a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Write the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("scores", type=Path)
    parser.add_argument("output", type=Path)
    given = parser.parse_args()
    found = {score.task: score.value for score in read(given.scores)}
    rows = [(task, f"{found[task]:.1f}", str(theirs)) for task, theirs in TEACHER.items()]
    rows.append(("mean", f"{sum(found[task] for task in TEACHER) / len(TEACHER):.1f}", "68.0"))
    manifest = json.loads(given.manifest.read_text(encoding="utf-8"))
    by_licence: dict[str, list[str]] = defaultdict(list)
    for source in manifest["sources"]:
        by_licence[source["licence"]].append(source["file"].partition(".")[0])
    licences = [(licence, ", ".join(files)) for licence, files in sorted(by_licence.items())]
    text = FORM.read_text(encoding="utf-8").format(
        scores=table(rows), triples=f"{manifest['triples']:,}", tasks=len(manifest["tasks"]), licences=table(licences)
    )
    given.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
