"""The two instructions of a field: that of stored texts and that of queries."""

from __future__ import annotations

from instructor_embedding.instruction import DOCUMENTS, QUERIES, Instruction


def instructions(instruction: str | Instruction, query_instruction: str | Instruction | None = None) -> tuple[str, str]:
    """Return the instruction of stored texts and that of queries, which is the same unless one is given."""
    document = str(instruction)
    if query_instruction is None:
        return document, QUERIES if document == DOCUMENTS else document
    return document, str(query_instruction)
