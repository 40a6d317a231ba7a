"""LangChain: ``InstructorEmbeddings``, with one instruction for documents and one for queries."""

from __future__ import annotations

from typing import Any

from langchain_core.embeddings import Embeddings
from pydantic import BaseModel, ConfigDict, PrivateAttr

from instructor_embedding.instruction import DOCUMENTS, QUERIES
from instructor_embedding.integrations.lazy_model import DEFAULT, LazyModel


class InstructorEmbeddings(BaseModel, Embeddings):
    """Embeddings for LangChain's vector stores and retrievers.

    Parameters
    ----------
    model : str
        Hub id or folder; loaded with the first text.
    embed_instruction, query_instruction : str
        Of documents and of queries.
    device : str, optional
    batch_size : int

    Examples
    --------
    >>> InstructorEmbeddings(query_instruction="Represent the query: ").query_instruction
    'Represent the query: '
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: str = DEFAULT
    embed_instruction: str = DOCUMENTS
    query_instruction: str = QUERIES
    device: str | None = None
    batch_size: int = 32
    _model: LazyModel = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Name the model; it is loaded later."""
        self._model = LazyModel(self.model, self.device, self.batch_size)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors of documents."""
        return self._model.lists(texts, self.embed_instruction)

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a query."""
        return self._model.lists([text], self.query_instruction)[0]

    def with_instructions(
        self, embed_instruction: str | None = None, query_instruction: str | None = None
    ) -> InstructorEmbeddings:
        """Return a copy with other instructions; the loaded model is shared."""
        changes = {"embed_instruction": embed_instruction, "query_instruction": query_instruction}
        return self.model_copy(update={name: value for name, value in changes.items() if value is not None})
