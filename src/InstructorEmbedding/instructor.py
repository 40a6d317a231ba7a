"""The dotted names that old checkpoints and code refer to; each is the part that does the same work here."""

from instructor_embedding import INSTRUCTOR  # first: without torch it says how to install it
from instructor_embedding.model.pooling import Head as INSTRUCTOR_Pooling
from instructor_embedding.model.t5 import T5Encoder as INSTRUCTOR_Transformer

Instructor = INSTRUCTOR
INSTRUCTORPooling = INSTRUCTOR_Pooling
INSTRUCTORTransformer = INSTRUCTOR_Transformer

__all__ = [
    "INSTRUCTOR",
    "INSTRUCTORPooling",
    "INSTRUCTORTransformer",
    "INSTRUCTOR_Pooling",
    "INSTRUCTOR_Transformer",
    "Instructor",
]
