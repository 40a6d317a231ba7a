"""INSTRUCTOR: text embeddings that follow an instruction (arXiv 2212.09741).

Importing this package loads neither torch nor any model; each name below is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from instructor_embedding.version import __version__ as __version__

if TYPE_CHECKING:
    from instructor_embedding.encoder import Encoder
    from instructor_embedding.engine.workers import Workers
    from instructor_embedding.errors import (
        CheckpointError,
        DivergenceError,
        InputError,
        InstructorError,
        LanguageModelError,
        MissingExtraError,
        ModelNotFoundError,
        OutputError,
        QualityError,
        TruncationError,
        TruncationWarning,
        VectorError,
        WorkerError,
    )
    from instructor_embedding.graph.export import export
    from instructor_embedding.instruction import Instruction, Pair, as_pairs
    from instructor_embedding.instructor import INSTRUCTOR
    from instructor_embedding.quantization.codes import VectorQuantizer, truncated
    from instructor_embedding.quantization.search import rescore, search_codes
    from instructor_embedding.quantization.weights import quantize

_HOME = {
    "Encoder": "encoder",
    "INSTRUCTOR": "instructor",
    "Instruction": "instruction",
    "Pair": "instruction",
    "as_pairs": "instruction",
    "CheckpointError": "errors",
    "DivergenceError": "errors",
    "InputError": "errors",
    "InstructorError": "errors",
    "LanguageModelError": "errors",
    "MissingExtraError": "errors",
    "ModelNotFoundError": "errors",
    "OutputError": "errors",
    "QualityError": "errors",
    "TruncationError": "errors",
    "TruncationWarning": "errors",
    "VectorError": "errors",
    "WorkerError": "errors",
    "Workers": "engine.workers",
    "VectorQuantizer": "quantization.codes",
    "export": "graph.export",
    "quantize": "quantization.weights",
    "rescore": "quantization.search",
    "search_codes": "quantization.search",
    "truncated": "quantization.codes",
}

__all__ = [
    "INSTRUCTOR",
    "CheckpointError",
    "DivergenceError",
    "Encoder",
    "InputError",
    "Instruction",
    "InstructorError",
    "LanguageModelError",
    "MissingExtraError",
    "ModelNotFoundError",
    "OutputError",
    "Pair",
    "QualityError",
    "TruncationError",
    "TruncationWarning",
    "VectorError",
    "VectorQuantizer",
    "WorkerError",
    "Workers",
    "as_pairs",
    "export",
    "quantize",
    "rescore",
    "search_codes",
    "truncated",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "torch":
            raise
        from instructor_embedding.extras import need

        need("torch", name)  # raises the one line that says how to install it
        raise
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, the ones not loaded yet included."""
    return sorted({*globals(), *__all__})
