"""INSTRUCTOR: the class that most users meet, an `Embedder` with the original's methods."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from instructor_embedding.engine import pipeline
from instructor_embedding.engine.backend import Backend
from instructor_embedding.engine.backends.eager import EagerBackend
from instructor_embedding.engine.conversion import converted, normalized
from instructor_embedding.engine.encode_types import encode_method
from instructor_embedding.engine.features import attention_mask, features, inputs_of
from instructor_embedding.engine.options import (
    EncodeOptions,
    PeerModelOptions,
    PeerOptions,
    Truncate,
    check_output,
    check_peer_model,
)
from instructor_embedding.engine.request import prompts_of, request, side
from instructor_embedding.engine.runtime import Runtime
from instructor_embedding.errors import InputError, known_keywords
from instructor_embedding.extras import need
from instructor_embedding.instruction import Instruction, as_pairs, iter_pairs
from instructor_embedding.model import hub
from instructor_embedding.model.cosine import cosines
from instructor_embedding.model.device import device_of, dtype_of
from instructor_embedding.model.embedder import Embedder
from instructor_embedding.model.folder.read import read
from instructor_embedding.model.folder.write import write
from instructor_embedding.model.lowbit_layers import Quantized, without_quantization
from instructor_embedding.model.packed import Float32, Int32
from instructor_embedding.model.pooling import pooling_mask

if TYPE_CHECKING:
    from typing_extensions import Unpack


class INSTRUCTOR(Embedder):
    """One model that embeds any text for any task, as an instruction beside the text says.

    Use it wherever ``InstructorEmbedding.INSTRUCTOR`` was used: arguments and results are the same, vectors are equal
    to the original's within 1e-6, and ``docs/migrating.md`` lists what differs. It is an ordinary ``nn.Module``;
    `Encoder` gives the same vectors on CPUs without torch.

    Parameters
    ----------
    model_name_or_path : str or path
        A hub id (``"hkunlp/instructor-large"``) or a folder: any INSTRUCTOR, GTR, Sentence-T5 or plain T5 checkpoint.
        Default: ``"instructor-mini"``, the small English model that comes with the package.
    device : str or torch.device, optional
        Default: cuda if there is one, else mps, else cpu.
    cache_folder : path, optional
        Where downloads are stored.
    use_auth_token, token : str or bool, optional
        Hub token; the first is the older name.
    revision : str, optional
        Branch, tag or commit on the hub.
    local_files_only : bool
        Use the cache of downloads alone.
    dtype : str or torch.dtype, optional
        ``"float32"`` (default), ``"bfloat16"`` or ``"float16"``. Vectors come as float32 whatever it is.
    backend : str
        ``"torch"`` (default), or, on a CPU, ``"openvino"`` or ``"onnx"``; ``"auto"`` tries those that are installed and
        keeps the fastest.
    precision : str, optional
        ``"exact"``, or, faster on a CPU: ``"fast"`` computes in bfloat16, where the CPU has it (cosine to exact vectors
        about 0.99998), ``"int8"`` in 8 bits (about 0.9997). Default: ``"int8"`` for folders of quantized weights where
        that is fast, else ``"exact"``.
    prompts : dict of str to str, optional
        Instructions by name, see the attribute.

    Attributes
    ----------
    default_instruction : str or Instruction, optional
        The instruction of texts that have none, in calls without ``instruction=``; ``""`` says that there is none on
        purpose, for libraries that call `encode` with two documents like an unnested pair. Default: None.
    prompts : dict of str to str
        Instructions by name: ``"query"`` of `encode_query`, ``"document"`` of `encode_document`, and further ones for
        ``encode(..., prompt_name=NAME)``.

    Raises
    ------
    ModelNotFoundError
        No such folder, or no such model on the hub.
    CheckpointError
        The files are corrupt or of another kind of model.
    InputError
        An argument is not allowed.

    Examples
    --------
    >>> model = INSTRUCTOR("hkunlp/instructor-large")  # doctest: +SKIP
    >>> model.encode([["Represent the Science title:", "Parton energy loss in QCD matter"]]).shape  # doctest: +SKIP
    (1, 768)
    """

    @known_keywords
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
        prompts: Mapping[str, str | Instruction] | None = None,
        **options: Unpack[PeerModelOptions],
    ) -> None:
        check_peer_model(options)
        target, kind, runtime = device_of(device), dtype_of(dtype), Runtime(backend, precision)
        folder = hub.resolve(
            model_name_or_path,
            cache_folder=cache_folder,
            token=token if token is not None else use_auth_token,
            revision=revision,
            local_files_only=local_files_only,
            argument="model_name_or_path",
        )
        embedder = read(folder)
        super().__init__(embedder.encoder, embedder.head, embedder.tokens)
        self.runtime = runtime
        self.folder = folder
        self.default_instruction: str | Instruction | None = None
        self.prompts = prompts_of(prompts)
        self.to(device=target, dtype=kind)

    @encode_method
    @known_keywords
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
        truncate: Truncate = "warn",
        **options: Unpack[PeerOptions],
    ) -> Any:
        """Encode texts, each with its own instruction.

        Parameters
        ----------
        sentences : str, Pair, dict or iterable
            Most often a list of ``[instruction, text]``; `as_pairs` names every form. Instructions may differ from
            text to text at no cost.
        batch_size : int
            Sets memory: one run has at most ``batch_size * 32`` tokens, or one text. Results do not depend on it.
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
            Scale vectors to unit norm; published models do so anyway.
        instruction : str or Instruction, optional
            The instruction of all texts that come without one.
        truncate : str
            For texts longer than ``max_seq_length``: ``"warn"`` truncates them and warns once with their number,
            ``"error"`` refuses, ``"quiet"`` truncates. `count_tokens` gives the lengths.
        **options
            Of sentence-transformers: ``prompt`` is the same as `instruction`, ``prompt_name`` one of `prompts`, and
            ``truncate_dim`` keeps the first dimensions.

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
        check_output(output_value)
        call = request(self, sentences, batch_size, instruction, truncate, options, show_progress_bar)
        if output_value != "sentence_embedding" and call.dimensions is not None:
            raise InputError(f"truncate_dim has no meaning with output_value={output_value!r}; leave it out")
        self._prepare(device)
        results: Any
        if output_value == "sentence_embedding":
            vectors = call.vectors(self.tokens, self.backend)
            unit = self.head.normalize and call.dimensions is None
            vectors = normalized(vectors) if normalize_embeddings and not unit else vectors
            results = converted(vectors, convert_to_numpy, convert_to_tensor, self.device)
        else:
            windows = pipeline.encode_states(call.pairs, self.tokens, EagerBackend(self), call.budget, truncate)
            if output_value is None:
                results = features(windows, self, batch_size)
            else:
                results = [rows.clone() for window in windows for rows in window.states or []]
        return results[0] if call.single else results

    @encode_method
    @known_keywords
    def encode_query(self, sentences: Any, batch_size: int = 32, **options: Unpack[EncodeOptions]) -> Any:
        """Encode queries: `encode`, where texts without an instruction get ``prompts["query"]``."""
        pairs, others = side(self, "query", sentences, options)
        return self.encode(pairs, batch_size, **others)

    @encode_method
    @known_keywords
    def encode_document(self, sentences: Any, batch_size: int = 32, **options: Unpack[EncodeOptions]) -> Any:
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
        """Encode an iterable of any length, in order and in bounded memory.

        Vectors come one by one, float32 of shape (dim,), and `sentences` is read at most two windows ahead. Arguments
        and errors are those of `encode`; a warning about truncated texts comes once, when the stream ends or is closed.

        Examples
        --------
        >>> for vector in model.encode_stream(open("titles.txt"), instruction="Represent the title:"):  # doctest: +SKIP
        ...     store(vector)
        """
        self._prepare(None)
        pairs = iter_pairs(sentences, instruction, self.default_instruction)
        return pipeline.stream(pairs, self.tokens, self.backend, batch_size, truncate, window)

    @known_keywords
    def count_tokens(self, sentences: Any, instruction: str | Instruction | None = None) -> Int32:
        """Count the tokens of each text, instruction and EOS token included, before truncation: int32 of shape (n,)."""
        return self.tokens.count(as_pairs(sentences, instruction, self.default_instruction))

    def tokenize(self, texts: Any) -> dict[str, Tensor]:
        """Return the input of `forward`: ``input_ids``, ``attention_mask`` (n, L), ``context_masks`` (n,)."""
        pairs = as_pairs(texts, default=self.default_instruction)
        mask = attention_mask(self.tokens.pack(pairs), self.device)
        return inputs_of(pairs, self) | {"attention_mask": mask}

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Encode padded `features`, as `tokenize` makes them, with gradients.

        Use it to train. Adds ``token_embeddings`` (n, L, d_model) and ``sentence_embedding`` (n, dim), both float32.
        """
        ids, mask = features["input_ids"], features["attention_mask"]
        states = self.encoder(ids, mask)
        skip = features.get("context_masks", torch.zeros_like(ids[:, 0]))
        vectors = self.head(states, pooling_mask(mask, skip))
        return {**features, "token_embeddings": states, "sentence_embedding": vectors}

    def similarity(self, a: Any, b: Any) -> Tensor:
        """Return the cosines between two sets of vectors, shapes (n, dim) and (m, dim), as a tensor (n, m).

        Raises
        ------
        InputError
            They are not vectors of one width.
        """
        return cosines(a, b)

    @known_keywords
    def save(self, path: str | os.PathLike[str], *, layout: str = "sentence-transformers") -> None:
        """Write the model to a folder that `INSTRUCTOR` loads.

        ``layout="sentence-transformers"`` loads in sentence-transformers 5 and later too (pass the instruction as
        ``prompt=``), ``layout="legacy-1.0"`` in InstructorEmbedding 1.0.1.

        Raises
        ------
        InputError
            The layout is unknown or cannot hold quantized weights, the path is a file, or ``quantize_dynamic`` put
            in other layers than int8 linear ones.
        """
        if not os.fspath(path):
            raise InputError("path is empty; pass the folder to save to")
        write(self, Path(path).expanduser(), layout)

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
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / repo_id.rpartition("/")[2]
            self.save(folder, layout=layout)
            return hub.upload(folder, repo_id, message=commit_message, token=token, private=private, revision=revision)

    def as_sentence_transformer(self) -> Any:
        """Return the model as a ``sentence_transformers.SentenceTransformer``, for code that wants that class.

        It takes one instruction per call (``encode(texts, prompt=...)``), has float32 weights of its own, and gives the
        vectors of ``precision="exact"`` within 1e-5.
        """
        library = need("sentence_transformers", "as_sentence_transformer()")
        with tempfile.TemporaryDirectory() as scratch:
            write(
                Embedder(without_quantization(self.encoder), without_quantization(self.head), self.tokens),
                Path(scratch),
            )
            return library.SentenceTransformer(scratch, device=str(self.device))

    @property
    def max_seq_length(self) -> int:
        """Most tokens of a text that are encoded, instruction and EOS token included; settable."""
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

    def get_embedding_dimension(self) -> int:
        """Return ``dimension``."""
        return self.dimension

    get_sentence_embedding_dimension = get_embedding_dimension

    @property
    def backend(self) -> Backend:
        """What runs batches for this model, with its present weights."""
        return self.runtime.backend(self)

    @property
    def precision(self) -> str:
        """What the model computes in: ``"exact"``, ``"fast"`` or ``"int8"``."""
        return self.runtime.precision(self)

    def refresh(self) -> None:
        """Pack the weights again at the next call.

        Use it after writing to weights in a way that torch does not count: through ``.data``, a numpy view of them,
        or a file that is mapped. Changes by optimizers, ``load_state_dict``, operations under ``torch.no_grad()``,
        ``.to()``, and replaced parameters or layers are seen without it.
        """
        self.runtime.refresh()

    def train(self, mode: bool = True) -> INSTRUCTOR:
        """Switch between training and inference, as every module does; training frees what only inference needs."""
        if mode:
            if any(isinstance(layer, Quantized) for layer in self.modules()):
                raise InputError(
                    "weights in 8 or 4 bits cannot be trained; train instructor_embedding.quantize(model, 'float32')"
                )
            self.runtime.refresh()
        return super().train(mode)

    def _prepare(self, device: str | torch.device | None) -> None:
        if device is not None:
            self.to(device_of(device))
        self.eval()
