"""The import path of existing code: ``from InstructorEmbedding import INSTRUCTOR``."""

from InstructorEmbedding.instructor import (
    INSTRUCTOR,
    Instructor,
    INSTRUCTOR_Pooling,
    INSTRUCTOR_Transformer,
    INSTRUCTORPooling,
    INSTRUCTORTransformer,
)

__all__ = [
    "INSTRUCTOR",
    "INSTRUCTORPooling",
    "INSTRUCTORTransformer",
    "INSTRUCTOR_Pooling",
    "INSTRUCTOR_Transformer",
    "Instructor",
]
