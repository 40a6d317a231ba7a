"""A tokenizer of T5's kind, trained on texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers


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
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return tokenizer
