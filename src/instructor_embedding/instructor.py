"""INSTRUCTOR: the class users meet. Nothing is computed here."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from instructor_embedding.engine import encode as pipeline
from instructor_embedding.engine import states
from instructor_embedding.engine.backend import Backend
from instructor_embedding.engine.choice import Choice
from instructor_embedding.engine.report import Report
from instructor_embedding.errors import InputError, nearest, refuse_unknown
from instructor_embedding.extras import need
from instructor_embedding.instruction import Instruction, as_pairs, is_single, iter_pairs
from instructor_embedding.model import checkpoint, hub
from instructor_embedding.model.layout import write
from instructor_embedding.model.packed import Float32, Int32
from instructor_embedding.model.placement import device_of, dtype_of
from instructor_embedding.model.quantized import Quantized, plain

OUTPUTS = ("sentence_embedding", "token_embeddings", None)


class INSTRUCTOR(nn.Module):
    """One model that embeds any text for any task, told by an instruction that comes with the text.

    Use it wherever ``InstructorEmbedding.INSTRUCTOR`` was used: arguments and results are the same, vectors are equal
    to the original's within 1e-6, and ``docs/migrating.md`` lists what differs. It is an ordinary ``nn.Module``.

    Parameters
    ----------
    model_name_or_path : str or path
        A hub id (``"hkunlp/instructor-large"``) or a folder: any INSTRUCTOR, GTR, Sentence-T5 or plain T5 checkpoint.
        Default: ``"instructor-mini"``, the small English model that comes with the package.
    device : str or torch.device, optional
        Default: cuda if there is one, else mps, else cpu.
    cache_folder : path, optional
        Where downloads are kept.
    use_auth_token, token : str or bool, optional
        Hub token; the first is the older name.
    revision : str, optional
        Branch, tag or commit on the hub.
    local_files_only : bool
        Take hub models from the cache alone.
    dtype : str or torch.dtype, optional
        ``"float32"`` (default), ``"bfloat16"`` or ``"float16"``. Vectors come as float32 whatever it is.
    backend : str
        ``"torch"`` (default), or, on a CPU, ``"openvino"`` or ``"onnx"``; ``"auto"`` tries those that are installed and
        keeps the fastest.
    precision : str, optional
        ``"exact"``, or, on a CPU, about twice or four times as fast: ``"fast"`` computes in bfloat16, which the CPU
        must know (cosine to exact vectors about 0.99998), ``"int8"`` in 8 bits (about 0.9997). Default: ``"exact"``,
        and for folders of quantized weights ``"int8"`` where the CPU has products of 8 bits.

    Raises
    ------
    ModelNotFoundError
        No such folder, or no such model on the hub.
    CheckpointError
        The files are broken or of another kind of model.
    InputError
        An argument is not allowed.

    Examples
    --------
    >>> model = INSTRUCTOR("hkunlp/instructor-large")  # doctest: +SKIP
    >>> model.encode([["Represent the Science title:", "Parton energy loss in QCD matter"]]).shape  # doctest: +SKIP
    (1, 768)
    """

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] = hub.BUNDLED,
        device: str | torch.device | None = None,
        cache_folder: str | os.PathLike[str] | None = None,
        use_auth_token: str | bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        dtype: str | torch.dtype | None = None,
        backend: str = "torch",
        precision: str | None = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown("INSTRUCTOR", unknown, _LOAD_OPTIONS)
        if not isinstance(model_name_or_path, (str, os.PathLike)) or not os.fspath(model_name_or_path):
            raise InputError(f"model_name_or_path must be a folder or a hub id, got {model_name_or_path!r}")
        target, kind, choice = device_of(device), dtype_of(dtype), Choice(backend, precision)
        super().__init__()
        folder = hub.resolve(
            model_name_or_path,
            cache_folder=cache_folder,
            token=token if token is not None else use_auth_token,
            revision=revision,
            local_files_only=local_files_only,
        )
        self._choice = choice
        self._choice.folder = self.folder = folder
        parts = checkpoint.read(folder)
        self.encoder = parts.encoder
        self.head = parts.head
        self.tokens = parts.tokens
        self.to(device=target, dtype=kind)

    def encode(
        self,
        sentences: Any,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: str | None = "sentence_embedding",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | torch.device | None = None,
        normalize_embeddings: bool = False,
        *,
        instruction: str | Instruction | None = None,
        truncate: Literal["warn", "error", "quiet"] = "warn",
        **unknown: Any,
    ) -> Any:
        """Encode texts, each with its own instruction.

        Parameters
        ----------
        sentences : str, Pair, dict or iterable
            Most often a list of ``[instruction, text]``; `as_pairs` names every form. Instructions may differ from
            text to text at no cost.
        batch_size : int
            Sets memory: one run holds at most ``batch_size * 32`` tokens, or one text. Results do not depend on it.
        show_progress_bar : bool, optional
            Show progress on stderr; default no.
        output_value : str or None
            ``"sentence_embedding"``; ``"token_embeddings"``: a list of tensors (tokens, d_model), the instruction's
            tokens included; ``None``: a list of dicts of all the model read and computed.
        convert_to_numpy, convert_to_tensor : bool
            An array (default), one tensor (wins over numpy), or, both false, a list of tensors.
        device : str or torch.device, optional
            Move the model there first.
        normalize_embeddings : bool
            Scale vectors to length 1; published models do so anyway.
        instruction : str or Instruction, optional
            The instruction of all texts that come without one.
        truncate : str
            What happens when texts are longer than ``max_seq_length``: ``"warn"`` cuts them and says how many,
            ``"error"`` refuses, ``"quiet"`` cuts. `count_tokens` gives the lengths.

        Returns
        -------
        float32 array of shape (n, dim), or as `output_value` and the conversions say; for a single text (a str, `Pair`
        or dict) its bare element.

        Raises
        ------
        InputError
            An argument or, with its index, a text is not allowed; nothing was computed.
        TruncationError
            With ``truncate="error"``.
        VectorError
            The model's weights give a vector that is zero or not finite.
        """
        refuse_unknown("encode", unknown, _ENCODE_OPTIONS)
        if output_value not in OUTPUTS:
            hint = nearest(str(output_value), [choice for choice in OUTPUTS if choice])
            raise InputError(f"output_value={output_value!r} is unknown{hint}; known: {', '.join(map(repr, OUTPUTS))}")
        budget = pipeline.budget_of(batch_size)
        pairs = as_pairs(sentences, instruction)
        progress = bool(show_progress_bar) and output_value == "sentence_embedding"
        report = Report(truncate, self.max_seq_length, len(pairs), progress)
        self._prepare(device)
        if output_value == "sentence_embedding":
            found = self._vectors(self._windows(pairs, budget, report), len(pairs), report)
            report.warn()
            vectors = self._convert(found, normalize_embeddings, convert_to_numpy, convert_to_tensor)
        elif output_value is None:
            vectors = states.features(pairs, self.tokens, self.encoder, self.head, batch_size)
        else:
            vectors = states.token_embeddings(pairs, self.tokens, self.encoder, budget)
        return vectors[0] if is_single(sentences) else vectors

    def encode_stream(
        self,
        sentences: Iterable[Any],
        batch_size: int = 32,
        *,
        instruction: str | Instruction | None = None,
        truncate: Literal["warn", "error", "quiet"] = "quiet",
        window: int = pipeline.WINDOW,
    ) -> Iterator[Float32]:
        """Encode an iterable of any length, in order and in bounded memory.

        Use it for what does not fit in memory: vectors come one by one, float32 of shape (dim,), and `sentences` is
        read at most two windows ahead. Arguments and errors are those of `encode`.

        Examples
        --------
        >>> for vector in model.encode_stream(open("titles.txt"), instruction="Represent the title:"):  # doctest: +SKIP
        ...     store(vector)
        """
        budget = pipeline.budget_of(batch_size)
        if not isinstance(window, int) or window < 1:
            raise InputError(f"window must be a whole number of at least 1, got {window!r}")
        self._prepare(None)
        report = Report(truncate, self.max_seq_length, None, False)
        windows = self._windows(iter_pairs(sentences, instruction), budget, report, window)
        return (row for part in windows for row in part.vectors)

    def count_tokens(self, sentences: Any, instruction: str | Instruction | None = None) -> Int32:
        """Count the tokens of each text, instruction and end mark included, before truncation.

        Use it to see what ``max_seq_length`` would cut. Takes what `encode` takes; returns int32 of shape (n,).
        """
        return self.tokens.count(as_pairs(sentences, instruction))

    def tokenize(self, texts: Any) -> dict[str, Tensor]:
        """Turn texts into what `forward` takes: ``input_ids``, ``attention_mask`` (n, L), ``context_masks`` (n,)."""
        pairs = as_pairs(texts)
        batch = self.tokens.pack(pairs)
        inputs = states.inputs_of(batch, self.tokens.context(pairs), self.encoder)
        inputs["attention_mask"] = torch.from_numpy(batch.padded()[1].astype(np.int64)).to(self.device)
        return inputs

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Encode padded `features`, as `tokenize` makes them, with gradients.

        Use it to train. Adds ``token_embeddings`` (n, L, d_model) and ``sentence_embedding`` (n, dim), both float32.
        """
        ids, mask = features["input_ids"], features["attention_mask"]
        token_states = self.encoder(ids, mask)
        context = features.get("context_masks")
        skip = torch.zeros_like(ids[:, 0]) if context is None else torch.minimum(context, mask.sum(1) - 1)
        pooled = mask * (torch.arange(ids.shape[1], device=ids.device) >= skip[:, None])
        vectors = self.head(token_states, pooled)
        return {**features, "token_embeddings": token_states, "sentence_embedding": vectors}

    def similarity(self, a: Any, b: Any) -> Tensor:
        """Return the cosines between two sets of vectors, shapes (n, dim) and (m, dim), as a tensor (n, m)."""
        rows, columns = (F.normalize(torch.atleast_2d(torch.as_tensor(part)).float(), dim=1) for part in (a, b))
        return rows @ columns.T

    def save(self, path: str | os.PathLike[str], *, layout: str = "sentence-transformers") -> None:
        """Write the model to a folder that `INSTRUCTOR` loads.

        Use ``layout="sentence-transformers"`` for folders that sentence-transformers 5 and later load too (pass the
        instruction as ``prompt=``), ``layout="legacy-1.0"`` for InstructorEmbedding 1.0.1.

        Raises
        ------
        InputError
            The layout is unknown or cannot hold quantized weights, the path is a file, or ``quantize_dynamic`` put
            in other layers than int8 linear ones.
        """
        parts = checkpoint.Checkpoint(self.encoder, self.head, self.tokens)
        write(parts, Path(path).expanduser(), layout)

    save_pretrained = save

    def push_to_hub(
        self,
        repo_id: str,
        *,
        token: str | bool | None = None,
        private: bool | None = None,
        revision: str | None = None,
        commit_message: str = "Add an INSTRUCTOR model",
        layout: str = "sentence-transformers",
    ) -> str:
        """Save the model and upload it to the hub, where it is created if missing; returns the commit's address."""
        import huggingface_hub

        api = huggingface_hub.HfApi(token=token)
        api.create_repo(repo_id, private=private, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / repo_id.rpartition("/")[2]
            self.save(folder, layout=layout)
            done = api.upload_folder(
                repo_id=repo_id, folder_path=folder, commit_message=commit_message, revision=revision
            )
        return str(done.commit_url)

    def as_sentence_transformer(self) -> Any:
        """Return the model as a ``sentence_transformers.SentenceTransformer``, for code that wants that class.

        It holds weights of its own, takes one instruction a call (``encode(texts, prompt=...)``) and needs
        sentence-transformers 5 or later.
        """
        library = need("sentence_transformers", "as_sentence_transformer()")
        with tempfile.TemporaryDirectory() as scratch:
            write(checkpoint.Checkpoint(plain(self.encoder), plain(self.head), self.tokens), Path(scratch))
            return library.SentenceTransformer(scratch, device=str(self.device))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.encoder.device

    @property
    def max_seq_length(self) -> int:
        """Tokens kept of each text, instruction and end mark included; settable."""
        return self.tokens.max_length

    @max_seq_length.setter
    def max_seq_length(self, value: int) -> None:
        self.tokens.max_length = value

    def get_max_seq_length(self) -> int:
        """Return ``max_seq_length``."""
        return self.max_seq_length

    @property
    def tokenizer(self) -> Any:
        """The checkpoint's ``tokenizers.Tokenizer``."""
        return self.tokens.tokenizer

    def get_sentence_embedding_dimension(self) -> int:
        """Return the number of dimensions of a vector."""
        dense = self.head.dense_layers()
        return dense[-1].linear.out_features if dense else self.encoder.config.d_model

    @property
    def backend(self) -> Backend:
        """What runs batches for this model, as it is now."""
        return self._choice.backend(self.encoder, self.head, self.get_sentence_embedding_dimension())

    @property
    def precision(self) -> str:
        """What the model computes in: ``"exact"``, ``"fast"`` or ``"int8"``."""
        return self._choice.precision(self.encoder)

    def train(self, mode: bool = True) -> INSTRUCTOR:
        """Switch between training and inference, as every module does; training frees what only inference needs."""
        if mode:
            if any(isinstance(layer, Quantized) for layer in self.modules()):
                raise InputError(
                    "weights in 8 or 4 bits cannot be trained; train instructor_embedding.quantize(model, 'float32')"
                )
            self._choice.drop()
        return super().train(mode)

    def _prepare(self, device: str | torch.device | None) -> None:
        if device is not None:
            self.to(device_of(device))
        self.eval()

    def _windows(
        self, pairs: Iterable[Any], budget: int, report: Report, window: int = pipeline.WINDOW
    ) -> Iterator[pipeline.Window]:
        return pipeline.encode(pairs, self.tokens, self.backend, budget, report.check, window)

    def _vectors(self, windows: Iterator[pipeline.Window], count: int, report: Report) -> Float32:
        vectors = np.empty((count, self.get_sentence_embedding_dimension()), np.float32)
        first = 0
        with report:
            for part in windows:
                vectors[first : first + len(part.vectors)] = part.vectors
                first += len(part.vectors)
                report.advance(len(part.vectors))
        return vectors

    def _convert(self, vectors: Float32, normalize: bool, numpy: bool, tensor: bool) -> Any:
        """Give vectors the type the flags ask for."""
        if normalize and not self.head.normalize:
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        if numpy and not tensor:
            return vectors
        rows = torch.from_numpy(vectors).to(self.device)
        return rows if tensor else list(rows)


_LOAD_OPTIONS = [name for name in signature(INSTRUCTOR.__init__).parameters if name not in ("self", "unknown")]
_ENCODE_OPTIONS = [name for name in signature(INSTRUCTOR.encode).parameters if name not in ("self", "unknown")]
