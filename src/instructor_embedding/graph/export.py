"""A model as files for ONNX Runtime or OpenVINO, which run it without torch."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from instructor_embedding.errors import InputError, choose
from instructor_embedding.extras import need
from instructor_embedding.files.scratch import flush, scratch_folder
from instructor_embedding.graph import t5
from instructor_embedding.model.embedder import Embedder

FILES = {"onnx": "model.onnx", "openvino": "openvino_model.xml"}
WEIGHTS = {"onnx": ("float32", "float16", "bfloat16", "int8"), "openvino": ("float32", "float16", "int8")}


def export(model: Embedder, folder: str | os.PathLike[str], library: str = "onnx", weights: str = "float32") -> Path:
    """Write a model for a runtime that needs no torch: the complete graph, from token ids to normalized vectors.

    Use it to run a model where torch is too large; ``examples/without_torch.py`` shows how. Inputs are ``input_ids``
    and ``attention_mask`` (n, L) and ``context_masks`` (n,), the tokens of each text's instruction, all int64; the
    output is ``sentence_embedding``, float32 (n, dim). Batch and length are free.

    Parameters
    ----------
    model : INSTRUCTOR
    folder : path
        Gets ``model.onnx`` and ``model.onnx.data``, or ``openvino_model.xml`` and ``.bin``; with them
        ``tokenizer.json`` and ``sentence_bert_config.json``, which holds ``max_seq_length``.
    library : str
        ``"onnx"`` or ``"openvino"``.
    weights : str
        ``"float32"``; ``"float16"`` or, for ONNX, ``"bfloat16"``: files of half the size, computed in float32;
        ``"int8"``: a quarter, one scale per channel, computed as the runtime sees fit.

    Returns
    -------
    Path
        Of the graph.

    Raises
    ------
    InputError
        A name is unknown, or `folder` is a file.
    MissingExtraError
        The library is not installed.
    """
    choose("library", library, FILES)
    choose("weights", weights, WEIGHTS[library])
    home = Path(folder).expanduser()
    if home.exists() and not home.is_dir():
        raise InputError(f"{home} is a file; pass a folder to export to")
    openvino = need("openvino", "an export for OpenVINO") if library == "openvino" else None
    need("onnx", "an export")
    home.mkdir(parents=True, exist_ok=True)
    with scratch_folder(home, ".exporting-") as draft:
        # OpenVINO folds float16 of a graph back to float32, and makes its own from float32
        form = "float32" if openvino is not None and weights == "float16" else weights
        t5.write(model, draft / FILES["onnx"], form)
        if openvino is not None:
            _convert(openvino, draft, half=weights == "float16")
        # the tokenizer's own save raises bare exceptions
        (draft / "tokenizer.json").write_text(model.tokens.tokenizer.to_str(pretty=True), encoding="utf-8")
        limits = {"max_seq_length": model.tokens.max_length, "do_lower_case": model.tokens.lower}
        (draft / "sentence_bert_config.json").write_text(json.dumps(limits, indent=2) + "\n", encoding="utf-8")
        flush(draft)
        # the graph goes first and comes last: a file of its name is complete, and fits the weights beside it
        (home / FILES[library]).unlink(missing_ok=True)
        for path in sorted(draft.iterdir(), key=lambda path: path.name == FILES[library]):
            os.replace(path, home / path.name)
    return home / FILES[library]


def _convert(openvino: Any, folder: Path, half: bool) -> None:
    """Turn the ONNX graph in `folder` into OpenVINO's own files, in the dtypes it has or in float16."""
    source = folder / FILES["onnx"]
    openvino.save_model(openvino.convert_model(str(source)), str(folder / FILES["openvino"]), compress_to_fp16=half)
    source.unlink()
    source.with_name(source.name + ".data").unlink(missing_ok=True)
