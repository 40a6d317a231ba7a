"""A model from scratch: a tokenizer trained on texts, random weights of a named shape."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn

from instructor_embedding.errors import InputError, nearest
from instructor_embedding.model.checkpoint import Checkpoint
from instructor_embedding.model.pooling import Dense, Head
from instructor_embedding.model.t5 import Attention, FeedForward, RMSNorm, T5Config, T5Encoder
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
_ALPHABET_STEP = 0.0001  # between the scores that the trainer gives to characters of the alphabet


def random_checkpoint(shape: str, tokenizer: Tokenizer, *, seed: int = 0, vocab_size: int | None = None) -> Checkpoint:
    """Return an untrained model of a named shape, the same for the same seed on every machine.

    Use it to train from scratch and to measure speed where no published weights are at hand.

    Parameters
    ----------
    shape : str
        One of ``SHAPES``.
    tokenizer : tokenizers.Tokenizer
        With ``<pad>`` as token 0 and ``</s>`` as token 1, as `train_tokenizer` makes it.
    seed : int
    vocab_size : int, optional
        Rows of the embedding; default: the tokenizer's size.

    Raises
    ------
    InputError
        The shape is unknown.
    """
    if shape not in SHAPES:
        raise InputError(f"shape={shape!r} is unknown{nearest(shape, SHAPES)}; known: {', '.join(SHAPES)}")
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
    return Checkpoint(encoder.eval(), Head([dense], normalize=True).eval(), TextTokenizer(tokenizer))


def train_tokenizer(texts: Iterable[str], size: int, *, uncased: bool = False) -> Tokenizer:
    """Train a tokenizer of T5's kind (unigram pieces of words) with at most `size` pieces on `texts`.

    Parameters
    ----------
    texts : iterable of str
    size : int
    uncased : bool
        Read all letters as small ones and each punctuation mark as a piece of its own, so that a word has one form:
        more words fit into the vocabulary of a small model.
    """
    tokenizer = Tokenizer(models.Unigram())
    common = [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")]
    if uncased:
        begin = normalizers.Replace(Regex(r"(?<![\w▁])(?=\w)"), "▁")  # marks where a word begins
        tokenizer.normalizer = normalizers.Sequence([*common, normalizers.Lowercase(), begin])
        split: list[Any] = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("isolated")]
    else:
        tokenizer.normalizer = normalizers.Sequence(common)
        split = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(split)
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=special, unk_token="<unk>", show_progress=False, shrinking_factor=0.75
    )
    try:
        tokenizer.train_from_iterator(texts, trainer)
    except Exception as error:  # noqa: BLE001 - the library raises Exception itself
        raise InputError(f"no tokenizer of {size} pieces can be trained on these texts: {error}") from None
    tokenizer = _in_order(tokenizer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return tokenizer


def _in_order(tokenizer: Tokenizer) -> Tokenizer:
    """Return a trained tokenizer whose pieces and scores are the same for the same texts.

    The trainer iterates over hash tables: pieces of one score come in any order, scores differ in their last digits,
    and characters that only the alphabet needs get rising scores from the lowest one up, in any order.
    """
    content = json.loads(tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    special, pieces = vocabulary[:3], [(piece, round(score, 7)) for piece, score in vocabulary[3:]]
    lowest = min((score for _, score in pieces), default=0.0)
    steps = {round(lowest + number * _ALPHABET_STEP, 7) for number in range(len(pieces))}
    alphabet = sorted(piece for piece, score in pieces if len(piece) == 1 and score in steps)
    scores = sorted((score for piece, score in pieces if len(piece) == 1 and score in steps), reverse=True)
    settled = dict(pieces) | dict(zip(alphabet, scores, strict=True))
    content["model"]["vocab"] = [*special, *sorted(map(list, settled.items()), key=lambda entry: (-entry[1], entry[0]))]
    return Tokenizer.from_str(json.dumps(content))


def fill(module: nn.Module, random: np.random.RandomState) -> None:
    """Draw weights with the standard deviations of T5's own initialization, in a fixed order."""
    for part in module.modules():
        if isinstance(part, RMSNorm):
            nn.init.ones_(part.weight)
        elif isinstance(part, nn.Embedding):
            _draw(part.weight, random, 1.0 if part.num_embeddings > 64 else part.embedding_dim**-0.5)
        elif isinstance(part, Attention):
            _draw(part.q.weight, random, (part.q.in_features * part.q.out_features / part.heads) ** -0.5)
            for linear in (part.k, part.v, part.o):
                _draw(linear.weight, random, linear.in_features**-0.5)
        elif isinstance(part, (FeedForward, Dense)):
            for product in part.children():
                if isinstance(product, nn.Linear):
                    _draw(product.weight, random, product.in_features**-0.5)


def _draw(weight: torch.Tensor, random: np.random.RandomState, deviation: float) -> None:
    values = random.standard_normal(tuple(weight.shape)) * deviation
    with torch.no_grad():
        weight.copy_(torch.from_numpy(values.astype(np.float32)))
