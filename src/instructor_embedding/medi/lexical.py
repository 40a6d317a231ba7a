"""An encoder that needs no model: TF-IDF of words, as sparse rows. Mining takes it where no encoder is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from instructor_embedding.extras import need


class Lexical:
    """TF-IDF with scikit-learn, fitted anew to the texts of each call.

    Use it as the encoder of mining: quick, the same on every machine, and blind to meaning.
    """

    name = "tfidf"

    def encode(self, texts: Sequence[str]) -> Any:
        """Return a scipy sparse matrix, float32 of shape (n, words), rows of length 1; a text without words is zero.

        Raises
        ------
        MissingExtraError
            scikit-learn is not installed.
        """
        library = need("sklearn.feature_extraction.text", "mining without an encoder")
        # words of one letter stay: options and labels are often no more
        vectorizer = library.TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", sublinear_tf=True, dtype=np.float32)
        try:
            return vectorizer.fit_transform(texts)
        except ValueError:  # no text has a word
            sparse = need("scipy.sparse", "mining without an encoder")
            return sparse.csr_matrix((len(texts), 1), dtype="float32")
