"""Baseline encoders that put scores in context: random vectors, and words weighted by their rarity."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from instructor_embedding.errors import choose
from instructor_embedding.extras import need
from instructor_embedding.instruction import Pair
from instructor_embedding.vectors import Float32

BASELINES = ("random", "tf-idf")


class RandomVectors:
    """Maps every distinct text to a random direction, the same on every machine; instructions are ignored.

    Parameters
    ----------
    dimension : int
        Of the vectors.
    """

    def __init__(self, dimension: int = 256) -> None:
        self.dimension = dimension
        self.fingerprint = f"baseline:random-{dimension}"

    def encode(self, pairs: list[Pair]) -> Float32:
        """Return float32 of shape (n, dimension)."""
        rows = np.empty((len(pairs), self.dimension), np.float32)
        for row, pair in zip(rows, pairs, strict=True):
            seed = hashlib.blake2b(pair.text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            row[:] = np.random.default_rng(int.from_bytes(seed, "little")).standard_normal(self.dimension)
        return rows


class TfIdf:
    """Words weighted by their rarity in the evaluated texts; instructions are ignored.

    Parameters
    ----------
    texts : iterable of str
        All texts of the evaluation: the source of the words and their rarity.
    words : int
        Use at most this many words, the most frequent ones; the vectors have as many dimensions.
    """

    def __init__(self, texts: Iterable[str], words: int = 8192) -> None:
        library = need("sklearn.feature_extraction.text", "the TF-IDF baseline")
        # of the rule, not of the words: those of each task's texts are the same model
        self.fingerprint = f"baseline:tf-idf-{words}"
        self._vectorizer = library.TfidfVectorizer(max_features=words, sublinear_tf=True).fit(texts)

    def encode(self, pairs: list[Pair]) -> Float32:
        """Return float32 of shape (n, words); a text without a known word gets a zero vector."""
        rows: Float32 = self._vectorizer.transform([pair.text for pair in pairs]).toarray().astype(np.float32)
        return rows


def baseline(name: str, texts: Iterable[str]) -> RandomVectors | TfIdf:
    """Return the baseline of a name for an evaluation on some texts.

    Raises
    ------
    InputError
        There is no such baseline.
    """
    return RandomVectors() if choose("baseline", name, BASELINES) == "random" else TfIdf(texts)
