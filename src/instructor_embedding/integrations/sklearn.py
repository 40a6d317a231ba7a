"""scikit-learn: ``InstructorVectorizer``, a transformer from texts to vectors whose instruction can be searched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from instructor_embedding.errors import InputError
from instructor_embedding.integrations.lazy_model import DEFAULT, LazyModel
from instructor_embedding.vectors import Float32


class InstructorVectorizer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Texts to vectors, as ``TfidfVectorizer`` does, under an instruction.

    Nothing is learned. The model is loaded when it is needed, shared within the
    process, and not pickled.

    Parameters
    ----------
    model : str or INSTRUCTOR
    instruction : str
        A hyperparameter: ``GridSearchCV(pipeline, {"instructorvectorizer__instruction": [...]})``.
    device : str, optional
    batch_size : int
    """

    def __init__(
        self,
        model: Any = DEFAULT,
        instruction: str = "Represent the sentence: ",
        device: str | None = None,
        batch_size: int = 32,
    ) -> None:
        self.model = model
        self.instruction = instruction
        self.device = device
        self.batch_size = batch_size

    def fit(self, X: Iterable[str], y: Any = None) -> InstructorVectorizer:  # noqa: N803
        """Return the estimator, after a check of the texts.

        Parameters
        ----------
        X : iterable of str
        y : ignored

        Raises
        ------
        InputError
            `X` is not a collection of texts.
        """
        _texts(X)
        return self

    def transform(self, X: Iterable[str]) -> Float32:  # noqa: N803
        """Return the vectors of texts, float32 of shape (n, dimension)."""
        return self._lazy().vectors(_texts(X), self.instruction)

    def _lazy(self) -> LazyModel:
        return LazyModel(self.model, self.device, self.batch_size)

    @property
    def _n_features_out(self) -> int:
        return self._lazy().dimension()

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.requires_fit = False
        tags.no_validation = True
        return tags


def _texts(values: Any) -> list[str]:
    """Return a column of texts as a list."""
    if isinstance(values, str) or getattr(values, "ndim", 1) != 1:
        kind = "one text" if isinstance(values, str) else f"of shape {getattr(values, 'shape', None)}"
        raise InputError(f"X is {kind}; pass a list of texts, or one column: df['text']")
    texts = list(values)
    for number, text in enumerate(texts):
        if not isinstance(text, (str, np.str_)):
            raise InputError(f"X[{number}] is {text!r}, of type {type(text).__name__}; it must be a text")
    return list(map(str, texts))
