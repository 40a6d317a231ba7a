"""Print the peak memory of one training step on 1,024 triples of the base shape, and its loss.

    python benchmarks/training_memory.py DATA [--triples 1024] [--init base] [flags of train.py ...]

DATA holds pair files (see training_data.py). The process's peak resident memory, weights and AdamW's state included.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from pathlib import Path

from training_data import triples


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--triples", type=int, default=1024)
    parser.add_argument("--init", default="base")
    chosen, extra = parser.parse_known_args()
    from instructor_embedding.training.run import train

    records = triples(chosen.data, 1000)
    random.Random(0).shuffle(records)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "triples.json"
        rows = [{**record, "task_id": 0} for record in records[: chosen.triples]]
        file.write_text(json.dumps(rows), encoding="utf-8")
        flags = ["--init", chosen.init, "--vocab_size", 32000, "--train_file", file, "--output_dir", f"{scratch}/out"]
        flags += ["--per_device_train_batch_size", chosen.triples, "--max_steps", 1, "--logging_steps", 1]
        flags += ["--save_strategy", "no", "--report_to", "none", "--disable_tqdm", "true", "--max_source_length", 128]
        start = time.perf_counter()
        train([*map(str, flags), *extra])
        line = json.loads((Path(scratch) / "out" / "history.jsonl").read_text(encoding="utf-8").splitlines()[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{chosen.triples} triples, {line['tokens']} tokens, shape {chosen.init}: peak {peak:.2f} GiB, "
        f"loss {line['loss']:.3f}, {time.perf_counter() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
