"""Texts and the model that speed is measured with.

Real texts where a corpus lies beside the project (``../shared/data/corpus``), random words of the same lengths
elsewhere; the model has the base shape and random weights, as speed does not depend on weights.
"""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

from peers import BENCH, ROOT

CORPUS = ROOT.parent / "shared" / "data" / "corpus"
FILES = {"short": ("short.jsonl.gz", 16), "mixed": ("passages.jsonl.gz", 80)}  # name: file, words of a built-in text


def workload(name: str, count: int, seed: int = 0) -> list[list[str]]:
    """Return `count` pairs [instruction, text]; ``"short"`` or ``"mixed"``."""
    file, words = FILES[name]
    if not (CORPUS / file).is_file():
        from instructor_embedding.engine.measure import built_in_texts

        return [list(pair) for pair in built_in_texts(count, words, seed)]
    with gzip.open(CORPUS / file, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [[row["instruction"], row["text"]] for row in random.Random(seed).sample(rows, count)]


def checkpoint(shape: str = "base") -> Path:
    """Return the folder of a model with random weights, made on first use."""
    folder = BENCH / f"checkpoint-{shape}"
    if not (folder / "modules.json").is_file():
        from instructor_embedding.model.folder.write import write
        from instructor_embedding.model.scratch import random_embedder
        from instructor_embedding.training.tokenizer import train_tokenizer

        texts = [text for name in FILES for _, text in workload(name, 2000)]
        write(random_embedder(shape, train_tokenizer(texts, 16_000), vocab_size=32_128), folder, "legacy-1.0")
    return folder
