"""A tokenizer of T5's kind, trained on texts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from instructor_embedding.errors import InputError

_ALPHABET_STEP = 0.0001  # between the scores that the trainer gives to characters of the alphabet


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
    except Exception as error:
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
