"""Random weights: models of a named shape before any training."""

from __future__ import annotations

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

from instructor_embedding.errors import choose
from instructor_embedding.model.config import T5Config
from instructor_embedding.model.embedder import Embedder
from instructor_embedding.model.pooling import Dense, Head
from instructor_embedding.model.t5 import Attention, FeedForward, RMSNorm, T5Encoder
from instructor_embedding.model.tokens import TextTokenizer

# d_model, d_kv, d_ff, layers, heads, gated, dimensions of the vectors; base, large and xl are hkunlp/instructor-*
SHAPES = {
    "tiny": (64, 16, 128, 2, 4, False, 48),
    "micro": (384, 64, 1024, 1, 4, False, 384),
    "mini": (384, 64, 1024, 3, 4, False, 384),
    "small": (512, 64, 1024, 6, 8, True, 512),
    "base": (768, 64, 3072, 12, 12, False, 768),
    "large": (1024, 64, 4096, 24, 16, False, 768),
    "xl": (1024, 128, 16384, 24, 32, False, 768),
}
_IDENTITY = "torch.nn.modules.linear.Identity"


def random_embedder(shape: str, tokenizer: Tokenizer, *, seed: int = 0, vocab_size: int | None = None) -> Embedder:
    """Return an untrained model of a named shape, the same for the same seed on every machine.

    Use it to train from scratch and to measure speed where no published weights are at hand.

    Parameters
    ----------
    shape : str
        One of ``SHAPES``.
    tokenizer : tokenizers.Tokenizer
        With ``<pad>`` as token 0 and ``</s>`` as token 1, as `training.tokenizer.train_tokenizer` makes it.
    seed : int
    vocab_size : int, optional
        Rows of the embedding; default: the tokenizer's size.

    Raises
    ------
    InputError
        The shape is unknown.
    """
    choose("shape", shape, SHAPES)
    d_model, d_kv, d_ff, layers, heads, gated, dimension = SHAPES[shape]
    config = T5Config(
        vocab_size=vocab_size or tokenizer.get_vocab_size(),
        d_model=d_model,
        d_kv=d_kv,
        d_ff=d_ff,
        num_layers=layers,
        num_heads=heads,
        activation="gelu_new" if gated else "relu",
        gated=gated,
    )
    with torch.device("meta"):
        encoder, dense = T5Encoder(config), Dense(d_model, dimension, False, _IDENTITY)
    random = np.random.RandomState(seed)
    for module in (encoder, dense):
        module.to_empty(device="cpu")
        fill(module, random)
    return Embedder(encoder, Head([dense], normalize=True), TextTokenizer(tokenizer)).eval()


def fill(module: nn.Module, random: np.random.RandomState) -> None:
    """Draw weights with the standard deviations of T5's own initialization, in a fixed order."""
    for layer in module.modules():
        if isinstance(layer, RMSNorm):
            nn.init.ones_(layer.weight)
        elif isinstance(layer, nn.Embedding):
            _draw(layer.weight, random, 1.0 if layer.num_embeddings > 64 else layer.embedding_dim**-0.5)
        elif isinstance(layer, Attention):
            _draw(layer.q.weight, random, (layer.q.in_features * layer.q.out_features / layer.heads) ** -0.5)
            for linear in (layer.k, layer.v, layer.o):
                _draw(linear.weight, random, linear.in_features**-0.5)
        elif isinstance(layer, (FeedForward, Dense)):
            for product in layer.children():
                if isinstance(product, nn.Linear):
                    _draw(product.weight, random, product.in_features**-0.5)


def _draw(weight: torch.Tensor, random: np.random.RandomState, deviation: float) -> None:
    values = random.standard_normal(tuple(weight.shape)) * deviation
    with torch.no_grad():
        weight.copy_(torch.from_numpy(values.astype(np.float32)))
