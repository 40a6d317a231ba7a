"""Optional libraries: one function, one message with the pip line."""

from __future__ import annotations

import importlib
from types import ModuleType

from instructor_embedding.errors import MissingExtraError

# library -> extra of this package that installs it
EXTRA_OF = {
    "torch": "torch",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "lancedb": "index",
    "pacmap": "pacmap",
    "sklearn": "viz",
    "umap": "umap",
    "usearch": "usearch",
    "pgvector": "postgres",
    "psycopg": "postgres",
    "pyarrow": "parquet",
    "qdrant_client": "qdrant-server",
    "ray": "ray",
    "qdrant_edge": "qdrant",
    "accelerate": "train",
    "peft": "train",
    "tomli": "train",
    "transformers": "train",
    "sentence_transformers": "sentence-transformers",
    "datasets": "eval",
    "mteb": "eval",
    "rouge_score": "eval",
    "scipy": "medi",
    "bm25s": "medi",
    "matplotlib": "medi",
    "zstandard": "zstd",
    "granian": "serve",
    "msgspec": "serve",
    "orjson": "serve",
    "prometheus_client": "serve",
    "starlette": "serve",
    "uvicorn": "serve",
}


def pip_name(library: str) -> str:
    """Return what to install for a library: an extra of this package, quoted for a shell, or the library itself."""
    root = library.partition(".")[0]
    return f'"instructor-embed[{EXTRA_OF[root]}]"' if root in EXTRA_OF else root


def need(library: str, purpose: str) -> ModuleType:
    """Import an optional `library` or say how to install it.

    Parameters
    ----------
    library : str
        Import name, possibly dotted, such as ``"pyarrow.parquet"``.
    purpose : str
        What it is needed for, as the start of a sentence: ``"reading parquet files"``.

    Raises
    ------
    MissingExtraError
        It is not installed; the message holds the pip line.

    Examples
    --------
    >>> need("json", "reading json").loads("[1]")
    [1]
    """
    root = library.partition(".")[0]
    try:
        return importlib.import_module(library)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != root:
            raise
        command = f"pip install {pip_name(root)}"
        raise MissingExtraError(f"{purpose} needs the library {root}; install it with: {command}") from None
