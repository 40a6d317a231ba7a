"""BM25 as sparse rows: the encoder of mining where no model is configured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from instructor_embedding.extras import need

_PURPOSE = "mining without an encoder"
# words of one letter count: options and labels often have just one
_WORD = r"(?u)\b\w+\b"


class BM25:
    """BM25 of the library bm25s, fitted to the texts of each call.

    Use it as the encoder of mining: fast, the same on every machine, and blind to synonyms.

    Examples
    --------
    >>> queries, documents = BM25().relate(["red cat"], ["the cat is red", "a dog"])
    >>> (queries @ documents.T).toarray().argmax()
    0
    """

    name = "bm25"

    def relate(self, queries: Sequence[str], documents: Sequence[str]) -> tuple[Any, Any]:
        """Return sparse rows of both, whose dot products are the BM25 scores of the documents (Lucene's variant).

        Returns
        -------
        queries : scipy sparse matrix, float32 of shape (n, words)
            Counts of words; English stop words are left out, here and below.
        documents : scipy sparse matrix, float32 of shape (m, words)
            Weights of words.

        Raises
        ------
        MissingExtraError
            bm25s or scipy is not installed.
        """
        library, sparse = need("bm25s", _PURPOSE), need("scipy.sparse", _PURPOSE)
        both = [*documents, *queries]
        words = library.tokenize(both, token_pattern=_WORD, stopwords="en", show_progress=False)
        count = len(documents)
        width = max(words.vocab.values(), default=0) + 1
        if not any(map(len, words.ids[:count])):  # no document has a word
            return tuple(sparse.csr_matrix((len(texts), width), dtype=np.float32) for texts in (queries, documents))
        index = library.BM25(method="lucene", backend="numpy")
        index.index((words.ids[:count], words.vocab), show_progress=False)
        weights = index.scores
        width = max(width, len(weights["indptr"]) - 1)
        pointers = np.pad(weights["indptr"], (0, width + 1 - len(weights["indptr"])), "edge")
        columns = (np.asarray(weights["data"], np.float32), weights["indices"], pointers)
        return _counts(words.ids[count:], width), sparse.csc_matrix(columns, shape=(count, width)).tocsr()

    def encode(self, texts: Sequence[str]) -> Any:
        """Return a scipy sparse matrix of weights, float32 of shape (n, words); of a text without words all 0."""
        return self.relate([], texts)[1]


def _counts(texts: list[list[int]], width: int) -> Any:
    """Return a sparse matrix of the count of each word in each text."""
    sparse = need("scipy.sparse", _PURPOSE)
    columns = np.fromiter((word for text in texts for word in text), np.int64)
    ends = np.cumsum([0, *map(len, texts)])
    counts = sparse.csr_matrix((np.ones(len(columns), np.float32), columns, ends), shape=(len(texts), width))
    counts.sum_duplicates()
    return counts
