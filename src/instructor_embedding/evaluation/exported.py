"""The folder of an export for ONNX Runtime or OpenVINO as an encoder, so that what is deployed can be scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from instructor_embedding import fingerprint
from instructor_embedding.engine import pipeline
from instructor_embedding.engine.backends.onnx import OnnxBackend
from instructor_embedding.engine.backends.openvino import OpenVINOBackend
from instructor_embedding.errors import CheckpointError, choose
from instructor_embedding.files.records import read_json
from instructor_embedding.graph.export import FILES
from instructor_embedding.instruction import Pair
from instructor_embedding.model.tokens import TextTokenizer
from instructor_embedding.vectors import Float32

_BACKENDS: dict[str, Any] = {"onnx": OnnxBackend, "openvino": OpenVINOBackend}
_SETTINGS = ("tokenizer.json", "sentence_bert_config.json")
_WEIGHTS = {"onnx": "model.onnx.data", "openvino": "openvino_model.bin"}
# an export has the precision that it was written with; ONNX Runtime's int8 would write another graph beside it
_PRECISIONS = {"onnx": ("exact",), "openvino": ("exact", "fast")}


def library_of(folder: str | Path) -> str | None:
    """Return the library that the files of an export are for, or None for a folder of another kind."""
    home = Path(folder)
    return next((library for library, name in FILES.items() if (home / name).is_file()), None)


class ExportedModel:
    """An exported graph with its tokenizer.

    Parameters
    ----------
    folder : path
        What ``instructor-embed export`` wrote.
    precision : str
        ``"exact"``: as the export was written; ``"fast"``: bfloat16, with OpenVINO.
    batch_size : int
        As for ``INSTRUCTOR.encode``.

    Raises
    ------
    CheckpointError
        A file of the export is missing or corrupt.
    InputError
        The library does not run exports in that precision.
    MissingExtraError
        The library is not installed.
    """

    def __init__(self, folder: str | Path, precision: str = "exact", batch_size: int = 32) -> None:
        home = Path(folder)
        library = library_of(home)
        if library is None:
            raise CheckpointError(f"{home} is not an export: it has none of {', '.join(FILES.values())}")
        self.tokens = _tokens(home)
        self.max_seq_length = self.tokens.max_length
        self._budget = pipeline.budget_of(batch_size)
        self._graph = [path for path in (home / FILES[library], home / _WEIGHTS[library]) if path.is_file()]
        choose("precision", precision, _PRECISIONS[library])
        self._backend = _BACKENDS[library](home / FILES[library], 0, precision)
        # the graph states its dimension only by what it returns
        self._backend.dimension = self.dimension = self._backend.run(self.tokens.pack([Pair("", "a")])).shape[1]
        self.fingerprint = f"export:{fingerprint.of_files([*self._graph, *(home / name for name in _SETTINGS)])}"

    @property
    def size(self) -> dict[str, int]:
        """``bytes`` of the graph's files."""
        return {"bytes": sum(file.stat().st_size for file in self._graph)}

    def encode(self, pairs: list[Pair]) -> Float32:
        """Return the vectors of pairs, float32 of shape (n, dimension)."""
        windows = pipeline.encode(pairs, self.tokens, self._backend, self._budget, "quiet")
        return np.concatenate([np.asarray(window.vectors, np.float32) for window in windows])

    def count_tokens(self, pairs: list[Pair]) -> list[int]:
        """Return the tokens of each pair, instruction and EOS token included."""
        return [int(count) for count in self.tokens.count(pairs)]


def _tokens(home: Path) -> TextTokenizer:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(home / "tokenizer.json"))
    except Exception as error:  # the library raises bare Exception
        raise CheckpointError(f"{home / 'tokenizer.json'} cannot be read: {error}") from None
    limits = read_json(home / "sentence_bert_config.json")
    return TextTokenizer(tokenizer, limits.get("max_seq_length", 512), bool(limits.get("do_lower_case", False)))
