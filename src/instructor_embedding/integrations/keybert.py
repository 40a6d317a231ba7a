"""KeyBERT: a backend, which embeds documents and candidate words."""

from __future__ import annotations

from typing import Any

from keybert.backend import BaseEmbedder

from instructor_embedding.integrations.lazy_model import DEFAULT, LazyModel
from instructor_embedding.vectors import Float32


class InstructorBackend(BaseEmbedder):
    """What to pass as ``KeyBERT(model=...)``.

    Documents and words are compared with each other, so that both have the same instruction.

    Parameters
    ----------
    model : str or INSTRUCTOR
    instruction : str
    device : str, optional
    """

    def __init__(
        self,
        model: Any = DEFAULT,
        instruction: str = "Represent the text for keyword extraction: ",
        device: str | None = None,
    ) -> None:
        super().__init__()
        self._lazy = LazyModel(model, device)
        self.instruction = instruction

    def embed(self, documents: list[str], verbose: bool = False) -> Float32:
        """Return the vectors of documents or words."""
        return self._lazy.vectors(documents, self.instruction)
