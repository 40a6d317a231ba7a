"""LanceDB's embedding registry: ``instructor-embedding``, with one instruction for rows and one for queries.

Import this module before a table is opened that uses it: LanceDB stores the alias and knows the functions that are
imported.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from lancedb.embeddings import TextEmbeddingFunction, register

from instructor_embedding.instruction import DOCUMENTS, QUERIES
from instructor_embedding.integrations.lazy_model import DEFAULT, LazyModel


@register("instructor-embedding")
class InstructorTextEmbeddings(TextEmbeddingFunction):
    """Embeds source columns and queries of a table.

    Parameters
    ----------
    model : str
        Hub id or folder; loaded with the first text.
    instruction, query_instruction : str
        Of rows and of queries.
    device : str, optional
    """

    model: str = DEFAULT
    instruction: str = DOCUMENTS
    query_instruction: str = QUERIES
    device: str | None = None

    def ndims(self) -> int:
        """Return the number of dimensions of a vector."""
        return self._dimension

    def compute_query_embeddings(self, query: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Return the vector of a query, in a list."""
        return list(self._lazy.vectors([query], self.query_instruction))

    def generate_embeddings(self, texts: Any, *args: Any, **kwargs: Any) -> list[Any]:
        """Return the vectors of rows."""
        return list(self._lazy.vectors(map(str, texts), self.instruction))

    @cached_property
    def _lazy(self) -> LazyModel:
        return LazyModel(self.model, self.device)

    @cached_property
    def _dimension(self) -> int:
        return self._lazy.dimension()
