"""Makes the checkpoints that the golden vectors were computed with, in the original package's layout.

`python -m tests.golden.make_checkpoints FOLDER`; with ``--tokenizer`` also trains the tokenizer again, which makes the
committed golden vectors invalid.
"""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from instructor_embedding.model.embedder import Embedder
from instructor_embedding.model.folder.write import write
from instructor_embedding.model.pooling import Dense, Head
from instructor_embedding.model.scratch import fill, random_embedder
from instructor_embedding.model.t5 import RMSNorm, T5Encoder
from instructor_embedding.training.tokenizer import train_tokenizer
from tests.golden import KINDS

HERE = Path(__file__).parent


def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(HERE / "tokenizer.json"))


def golden_model(kind: str) -> Embedder:
    changes, (dimension, bias, activation) = KINDS[kind]
    template = random_embedder("tiny", tokenizer())
    encoder = T5Encoder(dataclasses.replace(template.encoder.config, **changes)).eval()
    dense = Dense(encoder.config.d_model, dimension, bias, activation)
    random = np.random.RandomState(len(kind))
    for module in (encoder, dense):
        fill(module, random)
        for layer in module.modules():
            if isinstance(layer, RMSNorm):
                layer.weight.data += torch.from_numpy(random.standard_normal(len(layer.weight)) * 0.1).float()
    if bias:
        dense.linear.bias.data = torch.from_numpy(random.standard_normal(dimension) * 0.1).float()
    encoder.relative_bias.weight.data *= 8
    return Embedder(encoder, Head([dense], normalize=True), template.tokens).eval()


def main(folder: Path) -> None:
    for kind in KINDS:
        write(golden_model(kind), folder / kind, "legacy-1.0")


if __name__ == "__main__":
    if "--tokenizer" in sys.argv:
        inputs = json.loads((HERE / "inputs.json").read_text(encoding="utf-8"))
        words = [text for pair in inputs["pairs"] for text in pair] + inputs["texts"]
        train_tokenizer(words, 400).save(str(HERE / "tokenizer.json"))
    main(Path(sys.argv[1]))
