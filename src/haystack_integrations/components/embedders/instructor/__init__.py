"""Haystack: ``InstructorTextEmbedder`` and ``InstructorDocumentEmbedder``.

They are in this namespace because Haystack loads saved pipelines from the packages ``haystack`` and
``haystack_integrations`` alone.
"""

from haystack_integrations.components.embedders.instructor.document_embedder import InstructorDocumentEmbedder
from haystack_integrations.components.embedders.instructor.text_embedder import InstructorTextEmbedder

__all__ = ["InstructorDocumentEmbedder", "InstructorTextEmbedder"]
