"""Fingerprints: one identity for files, texts and models, equal on every machine."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from instructor_embedding.errors import CheckpointError
from instructor_embedding.instruction import Pair

# what models whose weights cannot be read are distinguished by
PROBES = [
    Pair("", "a cat sits on the mat"),
    Pair("Represent the Science title: ", "Parton energy loss in QCD matter"),
    Pair("Represent the Wikipedia question for retrieving supporting documents: ", "where is the capital of France?"),
]
# what a model's folder computes with; cards, logs, training states and exports beside it are not part of the model
_SETTINGS = (
    "modules.json",
    "config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "spiece.model",
)
# the first kind that is there holds the weights
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_DIGITS = 16


def of_files(files: Iterable[str | os.PathLike[str]]) -> str:
    """Return a digest of the names and contents of some files, whatever their order: ``"sha256:..."``."""
    digest = hashlib.sha256()
    for file in sorted(map(Path, files)):
        _add_file(digest, file.name, file)
    return f"sha256:{digest.hexdigest()[:_DIGITS]}"


def of_texts(texts: Iterable[str]) -> str:
    """Return a digest of some texts in their order: ``"sha256:..."``."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return f"sha256:{digest.hexdigest()[:_DIGITS]}"


def of_model(model: Any) -> str:
    """Return the identity of a model, by which scores, stores of vectors and indexes name it.

    Use it wherever vectors are kept: they are those of this model as long as its fingerprint is the same.

    Parameters
    ----------
    model : path or object
        The folder of a checkpoint; or a module, whose weights, tokenizer, configuration and length limit are read;
        or any object with ``encode(pairs)``, of which three vectors are taken.

    Returns
    -------
    str
        ``"folder:..."``: every byte of weights, configuration and tokenizer; also of a module that is unchanged since
        it was loaded from the folder that its attribute ``folder`` names. ``"weights:..."``: every byte of another
        module's state; a module in another dtype is another model. ``"vectors:..."``: three vectors rounded to three
        decimals, for objects whose weights cannot be read.

    Raises
    ------
    CheckpointError
        The folder holds no weights.
    """
    if isinstance(model, (str, os.PathLike)):
        return _of_folder(Path(model))
    try:
        digest = _of_state(model)
    except _UnreadableError:
        vectors = np.round(np.asarray(model.encode(PROBES), np.float32), 3) + 0.0
        return f"vectors:{hashlib.sha256(vectors.tobytes()).hexdigest()[:_DIGITS]}"
    return _of_source(model, digest) or f"weights:{digest[:_DIGITS]}"


def _of_source(model: Any, digest: str) -> str:
    """Return the fingerprint of the folder that a module was loaded from, or "" if its state is not the folder's.

    The folder is loaded again for the comparison: weights are memory-mapped, and a change of any value, setting or
    token since then is seen.
    """
    folder = getattr(model, "folder", None)
    if not isinstance(folder, (str, os.PathLike)) or not Path(folder).is_dir():
        return ""
    try:
        same = _of_state(type(model)(folder, device="cpu")) == digest
        return _of_folder(Path(folder)) if same else ""
    except (CheckpointError, TypeError):
        return ""


def _of_state(model: Any) -> str:
    digest = hashlib.sha256()
    for chunk in _state(model):
        digest.update(chunk)
    return digest.hexdigest()


def _of_folder(folder: Path) -> str:
    if not folder.is_dir():
        raise CheckpointError(f"there is no folder {folder}")
    files = list(_model_files(folder))
    if not any(file.suffix in (".safetensors", ".bin") for file in files):
        raise CheckpointError(f"{folder} holds no weights (*.safetensors or pytorch_model.bin)")
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.relative_to(folder).as_posix()):
        _add_file(digest, file.relative_to(folder).as_posix(), file)
    return f"folder:{digest.hexdigest()[:_DIGITS]}"


def _model_files(folder: Path) -> Iterator[Path]:
    """Yield the files that a model is made of, in its folder and in those of its modules."""
    for home in dict.fromkeys([folder, *_module_folders(folder)]):
        yield from (home / name for name in _SETTINGS if (home / name).is_file())
        for pattern in _WEIGHTS:
            if weights := [file for file in home.glob(pattern) if file.is_file()]:
                yield from weights
                break


def _module_folders(folder: Path) -> Iterator[Path]:
    try:
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder / 'modules.json'} cannot be read: {error}") from None
    for module in modules if isinstance(modules, list) else []:
        name = module.get("path") if isinstance(module, dict) else None
        inside = isinstance(name, str) and name and ".." not in Path(name).parts and not Path(name).is_absolute()
        if inside and (folder / str(name)).is_dir():
            yield folder / str(name)


def _add_file(digest: Any, name: str, file: Path) -> None:
    digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)


class _UnreadableError(Exception):
    """The model's weights cannot be read."""


def _state(model: Any) -> Iterator[bytes | memoryview]:
    """Yield what a module computes with: state, configuration, tokenizer and length limit."""
    state = getattr(model, "state_dict", None)
    if state is None:
        raise _UnreadableError
    weights: Mapping[str, Any] = state()
    for name in sorted(weights):
        yield name.encode() + b"\0"
        yield from _bytes(weights[name])
    yield from _configurations(model)
    tokenizer = getattr(model, "tokenizer", None)
    backend: Any = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if hasattr(backend, "to_str"):
        yield backend.to_str().encode()
    yield str(getattr(model, "max_seq_length", "")).encode()


def _configurations(model: Any) -> Iterator[bytes]:
    """Yield the settings of a module and its submodules, which are not in its state: pooling, eps, activations."""
    for name, module in model.named_modules() if hasattr(model, "named_modules") else ():
        config = getattr(module, "config", None)
        if dataclasses.is_dataclass(config) and not isinstance(config, type):
            settings: Any = dataclasses.asdict(config)
        elif callable(getattr(module, "get_config_dict", None)):  # modules of sentence-transformers
            settings = module.get_config_dict()
        else:
            named = ("normalize", "activation_name")
            settings = {key: value for key in named if isinstance(value := getattr(module, key, None), (bool, str))}
        if settings:
            yield f"{name}:{json.dumps(settings, sort_keys=True, default=str)}\0".encode()


def _bytes(value: Any) -> Iterator[bytes | memoryview]:
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from _bytes(item)
        return
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        plain = value.int_repr() if value.is_quantized else value
        yield f"{value.dtype}{tuple(value.shape)}".encode()
        yield plain.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype}{value.shape}".encode()
        yield np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
    elif value is None or isinstance(value, (int, float, str)) or (torch and isinstance(value, torch.dtype)):
        yield str(value).encode()
    else:
        raise _UnreadableError
