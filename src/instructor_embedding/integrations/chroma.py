"""Chroma: an embedding function with one instruction for documents and one for queries.

Import this module before ``get_collection``: Chroma stores the function's name and knows the functions that are
imported.
"""

from __future__ import annotations

from typing import Any

from chromadb import Documents, EmbeddingFunction, Embeddings
from chromadb.api.types import Space
from chromadb.utils.embedding_functions import register_embedding_function

from instructor_embedding.errors import InputError
from instructor_embedding.instruction import DOCUMENTS, QUERIES
from instructor_embedding.integrations.lazy_model import DEFAULT, LazyModel


@register_embedding_function
class InstructorEmbeddingFunction(EmbeddingFunction[Documents]):
    """Embeds the documents and the queries of a collection.

    Parameters
    ----------
    model : str
        Hub id or folder; loaded with the first text.
    instruction, query_instruction : str
        Of documents and of queries.
    device : str, optional
    """

    def __init__(
        self,
        model: str = DEFAULT,
        instruction: str = DOCUMENTS,
        query_instruction: str = QUERIES,
        device: str | None = None,
    ) -> None:
        self._config = {
            "model": model,
            "instruction": instruction,
            "query_instruction": query_instruction,
            "device": device,
        }
        self._model = LazyModel(model, device)

    def __call__(self, input: Documents) -> Embeddings:
        """Return the vectors of documents."""
        return list(self._model.vectors(input, str(self._config["instruction"])))

    def embed_query(self, input: Documents) -> Embeddings:
        """Return the vectors of queries."""
        return list(self._model.vectors(input, str(self._config["query_instruction"])))

    @staticmethod
    def name() -> str:
        """Return the name under which collections store the function."""
        return "instructor-embedding"

    def default_space(self) -> Space:
        """Return the distance of collections that name none."""
        return "cosine"

    def supported_spaces(self) -> list[Space]:
        """Return the distances that are meaningful."""
        return ["cosine", "l2", "ip"]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, for the collection."""
        return dict(self._config)

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> InstructorEmbeddingFunction:
        """Return the function that a collection describes."""
        return InstructorEmbeddingFunction(**config)

    @staticmethod
    def validate_config(config: dict[str, Any]) -> None:
        """Raise InputError if a configuration has unknown keys."""
        if unknown := set(config) - {"model", "instruction", "query_instruction", "device"}:
            raise InputError(f"the embedding function has no argument {min(unknown)!r}")

    def validate_config_update(self, old_config: dict[str, Any], new_config: dict[str, Any]) -> None:
        """Raise InputError if the stored vectors would not be comparable with new ones."""
        for name in ("model", "instruction"):
            if name in new_config and new_config[name] != old_config.get(name):
                raise InputError(
                    f"the collection's vectors were made with {name}={old_config.get(name)!r}, and vectors with "
                    f"{new_config[name]!r} cannot be compared with them; make another collection"
                )
