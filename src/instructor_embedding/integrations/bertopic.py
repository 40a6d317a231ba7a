"""BERTopic: a backend. An INSTRUCTOR passed directly is replaced by another model, silently."""

from __future__ import annotations

from typing import Any

from bertopic.backend import BaseEmbedder

from instructor_embedding.integrations.lazy_model import DEFAULT, LazyModel
from instructor_embedding.vectors import Float32


class InstructorBackend(BaseEmbedder):
    """What to pass as ``BERTopic(embedding_model=...)``.

    Parameters
    ----------
    model : str or INSTRUCTOR
    instruction, word_instruction : str
        Of documents, and of the words that topics are described by.
    device : str, optional
    """

    def __init__(
        self,
        model: Any = DEFAULT,
        instruction: str = "Represent the document for clustering: ",
        word_instruction: str = "Represent the word for clustering: ",
        device: str | None = None,
    ) -> None:
        super().__init__()
        self._lazy = LazyModel(model, device)
        self.instruction, self.word_instruction = instruction, word_instruction

    def embed(self, documents: list[str], verbose: bool = False) -> Float32:
        """Return the vectors of documents."""
        return self._lazy.vectors(documents, self.instruction)

    def embed_words(self, words: list[str], verbose: bool = False) -> Float32:
        """Return the vectors of words."""
        return self._lazy.vectors(words, self.word_instruction)
