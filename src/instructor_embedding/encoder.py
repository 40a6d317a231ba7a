"""Encoder: vectors on a CPU without torch, from the compiled engine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from instructor_embedding import vectors as arithmetic
from instructor_embedding.engine import native_library, pipeline
from instructor_embedding.engine.backends.native import NativeBackend, supports
from instructor_embedding.engine.options import PeerOptions, Truncate, VectorOptions
from instructor_embedding.engine.request import prompts_of, request, side
from instructor_embedding.errors import InputError, MissingExtraError, choose, known_keywords
from instructor_embedding.instruction import Instruction, as_pairs, iter_pairs
from instructor_embedding.model import hub
from instructor_embedding.model.folder.contents import read_contents
from instructor_embedding.model.packed import Float32, Int32

if TYPE_CHECKING:
    from typing_extensions import Unpack

PRECISIONS = ("exact", "fast", "int8")


class Encoder:
    """A model that encodes on a CPU, without torch: what commands and services need, light to install and to load.

    Use it where vectors are all that is wanted. It reads every folder that `INSTRUCTOR` reads, in a fraction of the
    time, and its vectors are those of `INSTRUCTOR` bit for bit, as both run the same engine. For training, GPUs, token
    states or other backends use `INSTRUCTOR`.

    Parameters
    ----------
    model : str or path
        As for `INSTRUCTOR`: a folder, a hub id, or by default the model that comes with the package.
    precision : str, optional
        ``"exact"``: float32; ``"fast"``: bfloat16; ``"int8"``. Default: ``"int8"`` for folders of 8- or 4-bit weights,
        else ``"exact"``.
    threads : int, optional
        Default: as many as CPUs that this process may use.
    cache_folder, token, revision, local_files_only, prompts
        As for `INSTRUCTOR`.

    Raises
    ------
    ModelNotFoundError
        No such folder, or no such model on the hub.
    CheckpointError
        The files are corrupt or of another kind of model.
    InputError
        An argument is not allowed, or this CPU does not compute in that precision.
    MissingExtraError
        This installation has no compiled engine.

    Attributes
    ----------
    tokens : TextTokenizer
    default_instruction : str or Instruction, optional
        The instruction of texts that have none, unless a call passes one; ``""`` says that there is none on
        purpose. Default: None.
    prompts : dict of str to str
        Instructions by name, as of `INSTRUCTOR`.

    Examples
    --------
    >>> encoder = Encoder()
    >>> encoder.encode([["Represent the Science title: ", "Parton energy loss in QCD matter"]]).shape
    (1, 384)
    """

    @known_keywords
    def __init__(
        self,
        model: str | os.PathLike[str] = hub.BUNDLED,
        precision: str | None = None,
        threads: int | None = None,
        *,
        cache_folder: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        prompts: Mapping[str, str | Instruction] | None = None,
    ) -> None:
        if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
            raise InputError(f"threads must be an integer of at least 1, got {threads!r}")
        if precision is not None:
            choose("precision", precision, PRECISIONS)
        folder = hub.resolve(
            model, cache_folder=cache_folder, token=token, revision=revision, local_files_only=local_files_only
        )
        weights, self.tokens = read_contents(folder)
        self.precision = precision or ("int8" if weights.is_quantized else "exact")
        if not supports(weights.config, self.precision):
            raise _unsupported(self.precision)
        self.backend = NativeBackend(weights, self.precision, threads)
        self.default_instruction: str | Instruction | None = None
        self.prompts = prompts_of(prompts)

    @known_keywords
    def encode(
        self,
        sentences: Any,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        normalize_embeddings: bool = False,
        *,
        instruction: str | Instruction | None = None,
        truncate: Truncate = "warn",
        **options: Unpack[PeerOptions],
    ) -> Float32:
        """Encode texts, each with its own instruction; arguments and errors are those of ``INSTRUCTOR.encode``.

        Returns
        -------
        float32 of shape (n, dim); (dim,) for a single text (a str, `Pair` or dict).
        """
        call = request(self, sentences, batch_size, instruction, truncate, options, show_progress_bar)
        vectors: Float32 = call.vectors(self.tokens, self.backend)
        if normalize_embeddings:
            vectors = arithmetic.unit(vectors)
        return vectors[0] if call.single else vectors

    @known_keywords
    def encode_query(self, sentences: Any, batch_size: int = 32, **options: Unpack[VectorOptions]) -> Float32:
        """Encode queries: `encode`, where texts without an instruction get ``prompts["query"]``."""
        pairs, others = side(self, "query", sentences, options)
        return self.encode(pairs, batch_size, **others)

    @known_keywords
    def encode_document(self, sentences: Any, batch_size: int = 32, **options: Unpack[VectorOptions]) -> Float32:
        """Encode documents: `encode`, where texts without an instruction get ``prompts["document"]``."""
        pairs, others = side(self, "document", sentences, options)
        return self.encode(pairs, batch_size, **others)

    @known_keywords
    def encode_stream(
        self,
        sentences: Iterable[Any],
        batch_size: int = 32,
        *,
        instruction: str | Instruction | None = None,
        truncate: Truncate = "warn",
        window: int = pipeline.WINDOW,
    ) -> Iterator[Float32]:
        """Encode an iterable of any length, in order and in bounded memory; see ``INSTRUCTOR.encode_stream``."""
        pairs = iter_pairs(sentences, instruction, self.default_instruction)
        return pipeline.stream(pairs, self.tokens, self.backend, batch_size, truncate, window)

    @known_keywords
    def count_tokens(self, sentences: Any, instruction: str | Instruction | None = None) -> Int32:
        """Count the tokens of each text, instruction and EOS token included, before truncation: int32 of shape (n,)."""
        return self.tokens.count(as_pairs(sentences, instruction, self.default_instruction))

    def similarity(self, a: Any, b: Any) -> Float32:
        """Return the cosines between two sets of vectors, shapes (n, dim) and (m, dim), as an array (n, m).

        Raises
        ------
        InputError
            They are not vectors of one width.
        """
        left = arithmetic.checked(_rows(a), "the first vectors")
        right = arithmetic.checked(_rows(b), "the second vectors")
        if left.shape[1] != right.shape[1]:
            raise InputError(f"the first vectors have {left.shape[1]} dimensions, the second {right.shape[1]}")
        return arithmetic.cosines(left, right)

    @property
    def dimension(self) -> int:
        """Dimensions of a vector."""
        return self.backend.dimension

    @property
    def max_seq_length(self) -> int:
        """Most tokens of a text that are encoded, instruction and EOS token included; settable."""
        return self.tokens.max_length

    @max_seq_length.setter
    def max_seq_length(self, value: int) -> None:
        self.tokens.max_length = value


def _rows(vectors: Any) -> Any:
    """Return a single vector as a set of one."""
    return [vectors] if getattr(vectors, "ndim", 2) == 1 else vectors


def _unsupported(precision: str) -> InputError | MissingExtraError:
    """Say what is missing: the engine as a whole, or instructions of this CPU."""
    kernels = native_library.kernels()
    if not kernels:
        return MissingExtraError(
            "encoding without torch needs the compiled engine, which this installation does not have; install a wheel "
            "of this platform, or a C compiler and then the package again, or use INSTRUCTOR after: "
            'pip install "instructor-embed[torch]"'
        )
    known = ", ".join(dict.fromkeys(kind for kinds in kernels.values() for kind in kinds))
    return InputError(f"precision={precision!r} is not supported by this CPU and model; this CPU computes in: {known}")
