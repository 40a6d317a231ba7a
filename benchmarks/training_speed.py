"""Print how many examples a second the original's training recipe and ours take, and how their losses compare.

    python benchmarks/training_speed.py DATA [--steps 10] [--batch 8] [--peer PYTHON]

DATA holds pair files (see training_data.py). Both train the same model of the mini shape with random weights on the
same batches in the same order, without dropout, in float32 on one thread; then ours again in bfloat16. The original's
recipe runs in its own environment, which is made on first use, or in that of --peer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from peers import python_of
from training_data import triples

RATE, TEMPERATURE = 1e-4, 0.1
WARM = 2  # steps left out of the times


def ours(folder: Path, out: Path, data: Path, steps: int, batch: int, *extra: str) -> tuple[list[float], list[float]]:
    """Losses and seconds of each step of a run of the command."""
    command = [sys.executable, "train.py"]
    flags = ["--model_name_or_path", folder, "--output_dir", out, "--train_file", data, "--batches", "original"]
    flags += ["--max_steps", steps, "--per_device_train_batch_size", batch, "--learning_rate", RATE, "--dropout", 0]
    flags += ["--cl_temperature", TEMPERATURE, "--logging_steps", 1, "--save_strategy", "no", "--report_to", "none"]
    subprocess.run([*command, *map(str, flags), *extra, "--disable_tqdm", "true"], check=True, capture_output=True)
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if "loss" in line]
    tokens = np.diff([0, *(line["tokens"] for line in lines)])
    seconds = [count / line["tokens_per_second"] for count, line in zip(tokens, lines, strict=True)]
    return [line["loss"] for line in lines], seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--peer", type=Path)
    chosen = parser.parse_args()
    from instructor_embedding.medi.batches import original_windows
    from instructor_embedding.model.folder.write import write
    from instructor_embedding.model.scratch import random_embedder
    from instructor_embedding.training.tokenizer import train_tokenizer

    records = triples(chosen.data, 1000)
    order = original_windows([record["task_id"] for record in records], chosen.batch)
    batches = [[records[number] for number in numbers] for numbers in list(order)[: chosen.steps]]
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        texts = [chunk for record in records for side in ("query", "pos", "neg") for chunk in record[side]]
        chunks = random_embedder("mini", train_tokenizer(texts, 8000))
        write(chunks, scratch / "model", "legacy-1.0")
        (scratch / "data.json").write_text(json.dumps(records), encoding="utf-8")
        (scratch / "batches.json").write_text(json.dumps(batches), encoding="utf-8")
        pairs = [record[side] for batch in batches for record in batch for side in ("query", "pos", "neg")]
        lengths = [len(chunks.tokens.tokenizer.encode("".join(pair)).ids) for pair in pairs]
        peer = chosen.peer or python_of("original")
        script = Path(__file__).with_name("training_original.py")
        line = [peer, script, scratch / "model", scratch / "batches.json", TEMPERATURE, RATE]
        alone = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run(list(map(str, line)), check=True, stdout=subprocess.PIPE, env=alone)
        theirs = json.loads(done.stdout)
        runs = {"the original's recipe": (theirs["losses"], theirs["seconds"])}
        for title, extra in (("ours, float32", ()), ("ours, bfloat16", ("--bf16",))):
            out = scratch / title.replace(" ", "-")
            runs[title] = ours(scratch / "model", out, scratch / "data.json", chosen.steps, chosen.batch, *extra)
    print(
        f"{np.mean(lengths):.1f} tokens a text on average, {max(lengths)} the longest; "
        f"batches of {chosen.batch} triples, one thread"
    )
    base = chosen.batch / np.mean(runs["the original's recipe"][1][WARM:])
    for title, (losses, seconds) in runs.items():
        rate = chosen.batch / np.mean(seconds[WARM:])
        away = max(abs(a - b) for a, b in zip(losses, theirs["losses"], strict=True))
        print(f"{rate:8.2f} examples/s  {rate / base:6.1f}x  largest difference of a loss {away:.1e}  {title}")


if __name__ == "__main__":
    main()
