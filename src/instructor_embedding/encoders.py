"""Encoders of any library behind one protocol: the one loader, and the one treatment of the instruction.

A model of this package reads instruction and text the way it was trained to. A model of sentence-transformers gets the
instruction as its ``prompt``. Any other object with ``encode(pairs)`` decides on its own.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from instructor_embedding import fingerprint
from instructor_embedding.errors import (
    CheckpointError,
    InputError,
    ModelNotFoundError,
    VectorError,
    choose,
    in_one_line,
)
from instructor_embedding.extras import need
from instructor_embedding.instruction import Pair
from instructor_embedding.vectors import Float32

LIBRARIES = ("instructor", "sentence-transformers")
_PREFIX = "sentence-transformers:"


@runtime_checkable
class PairEncoder(Protocol):
    """Any object whose `encode` takes a list of `Pair` and returns a row for each, (n, dim)."""

    def encode(self, pairs: list[Pair], /) -> Any:
        """Return a vector for each pair."""


class AnyEncoder:
    """A model of any library with a name and a fingerprint, whose vectors are checked.

    Use `load` for a name and `of` for an object.

    Parameters
    ----------
    model : object
        What has the weights.
    name : str
        What reports call it.
    run : callable
        Returns the vectors of a list of pairs.
    instructed : bool
        The model itself reads pairs; otherwise the instruction is a prompt in front of the text.

    Attributes
    ----------
    model, name, instructed
    """

    def __init__(self, model: Any, name: str, run: Callable[[list[Pair]], Any], *, instructed: bool = True) -> None:
        self.model, self.name, self.instructed = model, name, instructed
        self._run = run
        self._fingerprint = ""

    def encode(self, pairs: Sequence[Pair], /) -> Float32:
        """Return the vectors of pairs, float32 of shape (n, dim).

        Raises
        ------
        InputError
            There are no pairs.
        VectorError
            The model returned another number of rows, or values that are not finite.
        """
        batch = list(pairs)
        if not batch:
            raise InputError("there is nothing to encode")
        rows = np.asarray(self._run(batch), np.float32)
        if rows.ndim != 2 or len(rows) != len(batch):
            raise VectorError(f"{self.name} returned vectors of shape {rows.shape} for {len(batch)} texts")
        finite = np.isfinite(rows).all(1)
        if not finite.all():
            bad = batch[int(np.argmin(finite))].text
            raise VectorError(f"{self.name} returned values that are not finite, the first for {bad[:60]!r}")
        return rows

    def count_tokens(self, pairs: Sequence[Pair]) -> list[int]:
        """Return the tokens of each pair, instruction and EOS token included.

        Raises
        ------
        InputError
            The model cannot count them.
        """
        count = getattr(self.model, "count_tokens", None)
        if count is None:
            raise InputError(f"{self.name} cannot count tokens")
        return [int(tokens) for tokens in count(list(pairs))]

    @property
    def fingerprint(self) -> str:
        """The model's identity, computed once; see `fingerprint.of_model`."""
        if not self._fingerprint:
            readable = hasattr(self.model, "state_dict")
            self._fingerprint = fingerprint.of_model(self.model if readable else self)
        return self._fingerprint


class SentenceTransformerEncoder(AnyEncoder):
    """A ``SentenceTransformer`` as a `PairEncoder`: each instruction is the prompt of its texts.

    Parameters
    ----------
    model : SentenceTransformer
    name : str
    batch_size : int
    """

    def __init__(self, model: Any, name: str = "", batch_size: int = 32) -> None:
        def run(pairs: list[Pair]) -> Any:
            return _prompted(model, pairs, batch_size)

        super().__init__(model, name or type(model).__name__, run, instructed=False)


def load(
    name: str,
    library: str | None = None,
    *,
    device: str | None = None,
    dtype: str = "float32",
    backend: str = "torch",
    precision: str | None = None,
    cache_folder: str | None = None,
    batch_size: int = 32,
    truncate: str = "quiet",
) -> AnyEncoder:
    """Load a model of any library by its name.

    Parameters
    ----------
    name : str
        A folder, a hub id, ``"instructor-mini"``, or ``"sentence-transformers:NAME"``.
    library : str, optional
        ``"instructor"``: every T5 checkpoint that this package reads; ``"sentence-transformers"``: what that library
        reads. Default: what the checkpoint's config.json tells.
    device, dtype, backend, precision, cache_folder
        As for `INSTRUCTOR`; sentence-transformers has no `backend` and `precision`.
    batch_size, truncate
        As for ``INSTRUCTOR.encode``; sentence-transformers truncates without a report.

    Raises
    ------
    InputError
        The library is unknown.
    ModelNotFoundError
        There is no such model.
    CheckpointError
        Its files are corrupt, or not those of a model.
    MissingExtraError
        sentence-transformers is needed and not installed.
    """
    if name.startswith(_PREFIX):
        name, library = name.removeprefix(_PREFIX), "sentence-transformers"
    if library is None:
        library = library_of(name, cache_folder)
    if choose("library", library, LIBRARIES) == "instructor":
        from instructor_embedding.instructor import INSTRUCTOR

        model: Any = INSTRUCTOR(
            name, device=device, dtype=dtype, backend=backend, precision=precision, cache_folder=cache_folder
        )
    else:
        if backend != "torch" or precision not in (None, "exact"):
            raise InputError(f"backend={backend!r} and precision={precision!r} are for library='instructor'")
        peer = need("sentence_transformers", f"loading {name} with sentence-transformers")
        options = {"model_kwargs": {"dtype": dtype}} if dtype != "float32" else {}
        try:
            model = peer.SentenceTransformer(name, device=device, cache_folder=cache_folder, **options)
        except Exception as error:  # of transformers, of safetensors, of a module's own code
            raise CheckpointError(
                f"sentence-transformers cannot load {name}: {type(error).__name__}: {in_one_line(error)[:300]}"
            ) from None
    return of(model, name, batch_size=batch_size, truncate=truncate)


def of(model: Any, name: str = "", *, batch_size: int = 32, truncate: str = "quiet") -> AnyEncoder:
    """Return an object as an encoder: an INSTRUCTOR, a SentenceTransformer, or anything with ``encode(pairs)``.

    Raises
    ------
    InputError
        It has no `encode`.
    """
    if isinstance(model, AnyEncoder):
        return model
    encode = getattr(model, "encode", None)
    if not callable(encode):
        raise InputError(f"{type(model).__name__} is not an encoder: it has no encode(pairs)")
    name = name or str(getattr(model, "name", "") or type(model).__name__)
    if is_sentence_transformer(model):
        return SentenceTransformerEncoder(model, name, batch_size)
    if _is_instructor(model):
        return AnyEncoder(model, name, lambda pairs: encode(pairs, batch_size=batch_size, truncate=truncate))
    return AnyEncoder(model, name, encode)


def is_sentence_transformer(model: Any) -> bool:
    """Return True for a model of sentence-transformers, without importing that library."""
    return any(kind.__module__.startswith("sentence_transformers.") for kind in type(model).__mro__)


def library_of(name: str, cache_folder: str | None = None) -> str:
    """Return the library that reads a model, by the model type in its config.json.

    Of a hub id that file alone is downloaded.

    Raises
    ------
    ModelNotFoundError
        There is no such folder, and no such model on the hub.
    """
    from instructor_embedding.model.config import MODEL_TYPES
    from instructor_embedding.model.hub import BUNDLED

    if name == BUNDLED:
        return "instructor"
    folder = Path(name).expanduser()
    path = folder / "config.json"
    if not folder.exists():
        if name.startswith((".", "/", "~")) or name.count("/") > 1:
            raise ModelNotFoundError(f"there is no folder {name!r}; pass a folder or a hub id")
        path = _downloaded_config(name, cache_folder)
    try:
        config = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        # sentence-transformers has folders without this file; of all others our reader says what is wrong
        missing = not path.exists() and (path.parent / "modules.json").is_file()
        return "sentence-transformers" if missing else "instructor"
    kind = config.get("model_type") if isinstance(config, dict) else None
    return "instructor" if kind in MODEL_TYPES else "sentence-transformers"


def _downloaded_config(name: str, cache_folder: str | None) -> Path:
    import huggingface_hub

    repo = name if "/" in name else f"sentence-transformers/{name}"
    cache = cache_folder or os.environ.get("SENTENCE_TRANSFORMERS_HOME")
    try:
        return Path(huggingface_hub.hf_hub_download(repo, "config.json", cache_dir=cache, local_files_only=True))
    except Exception:  # not in the cache, or no hub id
        pass
    try:
        huggingface_hub.HfApi().model_info(repo)  # fails at once without a network; downloads try for 25 seconds
        return Path(huggingface_hub.hf_hub_download(repo, "config.json", cache_dir=cache))
    except Exception as error:  # the exceptions of the hub's HTTP client are not documented
        reason = str(error).strip().partition("\n")[0]
        raise ModelNotFoundError(f"there is no folder {name!r}, and no model {repo!r} can be read: {reason}") from None


def _is_instructor(model: Any) -> bool:
    """Return True for an INSTRUCTOR, without importing torch for other objects."""
    module = sys.modules.get("instructor_embedding.instructor")
    return module is not None and isinstance(model, module.INSTRUCTOR)


def _prompted(model: Any, pairs: list[Pair], batch_size: int) -> Float32:
    """Encode with a model that takes one instruction per call, as its prompt."""
    groups: dict[str, list[int]] = {}
    for index, pair in enumerate(pairs):
        groups.setdefault(pair.instruction, []).append(index)
    rows: Float32 | None = None
    for instruction, indices in groups.items():
        texts = [pairs[index].text for index in indices]
        vectors = model.encode(texts, prompt=instruction or None, batch_size=batch_size, show_progress_bar=False)
        vectors = np.asarray(vectors, np.float32)
        rows = np.empty((len(pairs), vectors.shape[1]), np.float32) if rows is None else rows
        rows[indices] = vectors
    assert rows is not None
    return rows
