"""Print what a model from scratch scores before and while it is trained: STS-B and Banking77, which it never sees.

    python benchmarks/training_curve.py DATA EVAL OUT [--steps 400] [--init mini]

DATA holds pair files (see training_data.py), EVAL the folders STSBenchmark and Banking77Classification. STS-B: Spearman
correlation on the test set. Banking77: accuracy of a logistic regression on eight texts a label, mean of ten draws, as
MTEB does it. The training is the one of docs/training.md; other flags of train.py may follow.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from training_data import triples

BANKING = "Represent the utterance for the intent: "
SENTENCE = "Represent the sentence: "


def rows(file: Path) -> list[dict]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def scores(folder: Path, evaluation: Path) -> dict[str, float]:
    """STS-B and Banking77 of a model."""
    from scipy.stats import spearmanr
    from sklearn.linear_model import LogisticRegression

    from instructor_embedding import INSTRUCTOR

    model = INSTRUCTOR(folder, device="cpu")
    sts = rows(evaluation / "STSBenchmark" / "test.jsonl.gz")
    first, second = (
        model.encode([row[name] for row in sts], instruction=SENTENCE) for name in ("sentence1", "sentence2")
    )
    splits = [rows(evaluation / "Banking77Classification" / f"{name}.jsonl.gz") for name in ("train", "test")]
    seen, unseen = (model.encode([row["text"] for row in split], instruction=BANKING) for split in splits)
    labels, expected = (np.array([row["label"] for row in split]) for split in splits)
    accuracies = [
        LogisticRegression(max_iter=100).fit(seen[few], labels[few]).score(unseen, expected) for few in draws(labels)
    ]
    correlation = spearmanr(np.einsum("nd,nd->n", first, second), [row["score"] for row in sts]).statistic
    return {"sts-b": round(float(correlation), 4), "banking77": round(float(np.mean(accuracies)), 4)}


def draws(labels: np.ndarray) -> list[np.ndarray]:
    """Ten draws of eight texts a label, as indices of texts."""
    random = np.random.default_rng(0)
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return [np.concatenate([random.permutation(group)[:8] for group in groups]) for _ in range(10)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--init", default="mini")
    chosen, extra = parser.parse_known_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    file = chosen.out / "triples.json"
    file.write_text(json.dumps(triples(chosen.data, 3000)), encoding="utf-8")
    flags = ["--init", chosen.init, "--vocab_size", 8192, "--train_file", file, "--output_dir", chosen.out / "model"]
    flags += ["--max_steps", chosen.steps, "--per_device_train_batch_size", 64, "--max_source_length", 64, "--bf16"]
    flags += ["--learning_rate", 5e-4, "--warmup_ratio", 0.1, "--cl_temperature", 0.05, "--dropout", 0]
    flags += ["--loss_form", "in-batch", "--mask_duplicates", "--save_steps", max(1, chosen.steps // 4)]
    flags += ["--save_total_limit", 9, "--dev_files", chosen.evaluation / "STSBenchmark" / "test.jsonl.gz"]
    flags += ["--logging_steps", 25, "--save_only_model", "true", "--overwrite_output_dir", "--disable_tqdm", "true"]
    subprocess.run([sys.executable, "train.py", *map(str, flags), *extra], check=True, stdout=sys.stderr)
    folders = [chosen.out / "model" / "init"]
    folders += sorted(
        (chosen.out / "model").glob("checkpoint-*"), key=lambda folder: int(folder.name.partition("-")[2])
    )
    print("| step | STS-B | Banking77 |\n|---|---|---|")
    for folder in folders:
        values = scores(folder, chosen.evaluation)
        step = folder.name.removeprefix("checkpoint-").replace("init", "0")
        print(f"| {step} | {values['sts-b']:.4f} | {values['banking77']:.4f} |", flush=True)


if __name__ == "__main__":
    main()
