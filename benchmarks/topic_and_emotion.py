"""Clusters under a topic and an emotion instruction, compared with labels: V-measure of each for each labelling.

``python benchmarks/topic_and_emotion.py ../shared/data/eval [MODEL]``
"""

import json
import sys
from pathlib import Path

import numpy as np
from sklearn.metrics import v_measure_score

from instructor_embedding import INSTRUCTOR
from instructor_embedding.analysis.clusters import clustered
from instructor_embedding.files.records import read_records

INSTRUCTIONS = {
    "topic": "Represent the text for topic clustering: ",
    "emotion": "Represent the comment for emotion classification: ",
}
SAMPLE = 600


def emotion(folder):
    rows = [row for _, row in read_records(folder / "EmotionClassification" / "test.jsonl.gz")]
    return [row["text"] for row in rows], [row["label_text"] for row in rows]


def topic(folder):
    _, row = next(iter(read_records(folder / "TwentyNewsgroupsClustering" / "test.jsonl.gz")))
    return row["sentences"], row["labels"]


def main():
    folder, model = Path(sys.argv[1]), INSTRUCTOR(*sys.argv[2:3])
    results = {}
    for labelling, read in {"topic (20 Newsgroups)": topic, "emotion (EmotionClassification)": emotion}.items():
        texts, labels = read(folder)
        sample = np.random.default_rng(0).permutation(len(texts))[:SAMPLE]
        texts, labels = [texts[i] for i in sample], [labels[i] for i in sample]
        for name, instruction in INSTRUCTIONS.items():
            vectors = model.encode(texts, instruction=instruction)
            scores = [
                v_measure_score(labels, clustered(vectors, len(set(labels)), seed=seed).labels) for seed in range(5)
            ]
            results.setdefault(labelling, {})[name] = [
                round(float(np.mean(scores)), 3),
                round(float(np.std(scores)), 3),
            ]
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
