"""Writes a model as a folder: the layout that sentence-transformers reads, or the one of the original package."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from instructor_embedding.errors import InputError, OutputError, choose
from instructor_embedding.files.scratch import flush, scratch_folder
from instructor_embedding.model.config import T5Config
from instructor_embedding.model.embedder import Embedder
from instructor_embedding.model.folder.names import file_tensors
from instructor_embedding.model.folder.tensors import SAFE, TORCH
from instructor_embedding.model.lowbit_layers import stored_tensors
from instructor_embedding.model.pooling import Dense

_MODULES = "modules.json"
LAYOUTS = ("sentence-transformers", "legacy-1.0")

_CARD = """---
library_name: instructor-embedding
pipeline_tag: sentence-similarity
tags:
- feature-extraction
- text-embedding
- instructor
- t5
---

# {name}

A T5 encoder that embeds a text for the task which an instruction names; vectors have {dimension} dimensions.

```python
from instructor_embedding import INSTRUCTOR

model = INSTRUCTOR("{name}")
vectors = model.encode([["Represent the Science title:", "Parton energy loss in QCD matter"]])
```
"""
_ELSEWHERE = """
With sentence-transformers, one instruction per call:
`SentenceTransformer("{name}").encode(texts, prompt="Represent the Science title: ")`.
"""
_HERE_ALONE = """
The weights are quantized in this library's own format, which other libraries do not load.
"""


def write(model: Embedder, folder: Path, layout: str = LAYOUTS[0]) -> None:
    """Write a model to `folder`; a kill at any moment leaves a complete model or one that does not load.

    Parameters
    ----------
    model : Embedder
    folder : Path
        Created if missing; files of the same name are replaced, others are left alone.
    layout : str
        ``"sentence-transformers"`` loads here and in sentence-transformers 5 and later (older ones refuse its pooling
        config); ``"legacy-1.0"`` loads here and in InstructorEmbedding 1.0.1. Weights in 8 or 4 bits load here alone:
        other libraries would misread them, so ``modules.json`` names types that they do not have.

    Raises
    ------
    InputError
        The layout is unknown or cannot hold quantized weights, `folder` is a file, or layers were replaced by others.
    OutputError
        The folder cannot be written, or the disk is full.
    """
    choose("layout", layout, LAYOUTS)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; pass a folder to save to")
    try:
        state, dense = stored_tensors(model.encoder), [stored_tensors(layer) for layer in model.head.dense_layers()]
    except ValueError as error:
        raise InputError(
            f"a layer of this model was replaced by a quantized one that no file can hold: {error}; "
            "quantize linear layers alone, with dtype=torch.qint8"
        ) from None
    tensors = [file_tensors(state, model.encoder.config.num_layers), *dense]
    if layout == "legacy-1.0" and _is_quantized(tensors):
        raise InputError(
            "layout='legacy-1.0' cannot hold quantized weights; save with layout='sentence-transformers', "
            "or save instructor_embedding.quantize(model, 'float32')"
        )
    try:
        _replace(model, tensors, folder, layout)
    except (OSError, SafetensorError, RuntimeError) as error:  # of files, of safetensors, of torch.save
        why = getattr(error, "strerror", None) or (str(error).splitlines() or [""])[0][:120]
        raise OutputError(f"cannot save to {folder}: {why}") from None


def _replace(model: Embedder, tensors: list[dict[str, Tensor]], folder: Path, layout: str) -> None:
    """Write all files to a folder beside the old ones, then put them in place."""
    folder.mkdir(parents=True, exist_ok=True)
    with scratch_folder(folder, ".saving-") as scratch:
        _write_all(model, tensors, scratch, layout, folder.resolve().name)
        flush(scratch)
        # without modules.json a folder with modules does not load: it goes first and comes last, so that a kill in
        # between leaves no mixture of old and new weights that looks complete
        (folder / _MODULES).unlink(missing_ok=True)
        for path in sorted(scratch.rglob("*")):
            target = folder / path.relative_to(scratch)
            if path.is_dir():
                target.mkdir(exist_ok=True)
            elif path.name != _MODULES:
                os.replace(path, target)
        _remove_other_weights(folder, layout)
        os.replace(scratch / _MODULES, folder / _MODULES)


def _is_quantized(tensors: list[dict[str, Tensor]]) -> bool:
    return any(name.endswith("_scale") for state in tensors for name in state)


def _remove_other_weights(folder: Path, layout: str) -> None:
    """Remove weights of another format, which a reader might take for the ones just written."""
    stale = {SAFE, TORCH} - {_weight_name(layout)} | {f"{SAFE}.index.json", f"{TORCH}.index.json"}
    for home in (folder, *folder.glob("*_Dense")):
        for name in stale:
            (home / name).unlink(missing_ok=True)


def _write_all(model: Embedder, tensors: list[dict[str, Tensor]], folder: Path, layout: str, name: str) -> None:
    config, head, legacy = model.encoder.config, model.head, layout == "legacy-1.0"
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    modules += [(f"{2 + index}_Dense", "Dense") for index in range(len(head.dense))]
    if head.normalize:
        modules.append((f"{len(modules)}_Normalize", "Normalize"))
    quantized = _is_quantized(tensors)
    library = "instructor_embedding" if quantized else "sentence_transformers.models"
    entries = [
        {"idx": index, "name": str(index), "path": path, "type": f"{library}.{kind}"}
        for index, (path, kind) in enumerate(modules)
    ]
    for path, _ in modules:
        (folder / path).mkdir(exist_ok=True)
    dtype = model.encoder.dtype
    _json(folder / _MODULES, entries)
    _json(folder / "config.json", _config(config, dtype) | _quantization(tensors[0]))
    _json(folder / "sentence_bert_config.json", _limits(model))
    _json(folder / "config_sentence_transformers.json", {"prompts": {}, "similarity_fn_name": "cosine"})
    _json(folder / "1_Pooling" / "config.json", _pooling(config.d_model, legacy))
    _tensors(folder, layout, tensors[0])
    dimension = config.d_model
    for index, dense in enumerate(head.dense_layers()):
        dimension = _dense(folder / f"{2 + index}_Dense", layout, dense, tensors[1 + index])
    _tokenizer(folder, model, legacy)
    card = _CARD + (_HERE_ALONE if quantized else _ELSEWHERE)
    (folder / "README.md").write_text(card.format(name=name, dimension=dimension), encoding="utf-8")


def _limits(model: Embedder) -> dict[str, Any]:
    return {"max_seq_length": model.tokens.max_length, "do_lower_case": model.tokens.lower}


def _pooling(width: int, legacy: bool) -> dict[str, Any]:
    flags = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    config: dict[str, Any] = {"word_embedding_dimension": width}
    config |= {f"pooling_mode_{flag}": flag == "mean_tokens" for flag in flags}
    # InstructorEmbedding 1.0.1 fails on this key; sentence-transformers pools the instruction without it
    return config if legacy else config | {"include_prompt": False}


def _quantization(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Say in config.json that weights are quantized, so that a library that cannot read them refuses the folder."""
    kinds = {torch.int8: "int8", torch.uint8: "int4"}
    formats = sorted({kinds[tensor.dtype] for tensor in tensors.values() if tensor.dtype in kinds})
    return {"quantization_config": {"quant_method": "instructor", "weights": formats}} if formats else {}


def _dense(folder: Path, layout: str, dense: Dense, tensors: Mapping[str, Tensor]) -> int:
    linear = dense.linear
    config = {"in_features": linear.in_features, "out_features": linear.out_features}
    _json(
        folder / "config.json",
        config | {"bias": "linear.bias" in tensors, "activation_function": dense.activation_name},
    )
    _tensors(folder, layout, tensors)
    return linear.out_features


def _config(config: T5Config, dtype: torch.dtype) -> dict[str, Any]:
    gate = "gated-" if config.gated else ""
    activation = "gelu" if config.gated and config.activation == "gelu_new" else config.activation
    return {
        "architectures": ["T5EncoderModel"],
        "model_type": "t5",
        "is_encoder_decoder": True,
        "use_cache": False,
        "decoder_start_token_id": config.pad_token_id,
        "pad_token_id": config.pad_token_id,
        "eos_token_id": config.eos_token_id,
        "vocab_size": config.vocab_size,
        "d_model": config.d_model,
        "d_kv": config.d_kv,
        "d_ff": config.d_ff,
        "num_layers": config.num_layers,
        "num_decoder_layers": config.num_layers,
        "num_heads": config.num_heads,
        "feed_forward_proj": gate + activation,
        "dense_act_fn": config.activation,
        "is_gated_act": config.gated,
        "relative_attention_num_buckets": config.relative_attention_num_buckets,
        "relative_attention_max_distance": config.relative_attention_max_distance,
        "layer_norm_epsilon": config.layer_norm_epsilon,
        "dropout_rate": config.dropout_rate,
        "n_positions": 512,
        "torch_dtype": str(dtype).removeprefix("torch."),
    }


def _tokenizer(folder: Path, model: Embedder, legacy: bool) -> None:
    tokenizer, config = model.tokens.tokenizer, model.encoder.config
    content = json.loads(tokenizer.to_str())
    _json(folder / "tokenizer.json", _older(content) if legacy else content)
    # the generic class reads tokenizer.json unchanged; T5's own classes would build another normalizer
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model.tokens.max_length,
        "model_input_names": ["input_ids", "attention_mask"],
        "eos_token": tokenizer.id_to_token(config.eos_token_id),
        "pad_token": tokenizer.id_to_token(config.pad_token_id),
        "clean_up_tokenization_spaces": False,
    }
    if tokenizer.token_to_id("<unk>") is not None:
        settings["unk_token"] = "<unk>"
    _json(folder / "tokenizer_config.json", settings)
    special = {key: settings[key] for key in ("eos_token", "pad_token", "unk_token") if key in settings}
    _json(folder / "special_tokens_map.json", special)


def _older(content: Any) -> Any:
    """Rewrite the settings of word breaks as tokenizers before 0.19 knew them."""
    if isinstance(content, list):
        return [_older(entry) for entry in content]
    if not isinstance(content, dict):
        return content
    settings = {key: value if key == "vocab" else _older(value) for key, value in content.items()}
    if settings.get("type") == "Metaspace":
        settings = {
            "type": "Metaspace",
            "replacement": settings["replacement"],
            "add_prefix_space": settings.get("prepend_scheme") != "never",
        }
    return settings


def _weight_name(layout: str) -> str:
    return TORCH if layout == "legacy-1.0" else SAFE


def _tensors(folder: Path, layout: str, tensors: Mapping[str, Tensor]) -> None:
    half = any(tensor.dtype == torch.float16 for name, tensor in tensors.items() if not name.endswith("_scale"))
    plain = {
        name: (_narrow(tensor) if half else tensor).detach().cpu().contiguous() for name, tensor in tensors.items()
    }
    path = folder / _weight_name(layout)
    if path.suffix == ".safetensors":
        path.touch()
        mode = path.stat().st_mode  # safetensors would leave a file that only its owner may read
        save_file(plain, str(path), metadata={"format": "pt"})
        path.chmod(mode)
    else:
        torch.save(plain, path)


def _narrow(tensor: Tensor) -> Tensor:
    """Return a float32 tensor of a float16 model as float16, where that loses nothing: some layers compute wider."""
    half = tensor.half()
    return half if tensor.dtype == torch.float32 and torch.equal(half.float(), tensor) else tensor


def _json(path: Path, content: Any) -> None:
    indent = 2 if path.name != "tokenizer.json" else None
    path.write_text(json.dumps(content, indent=indent) + "\n", encoding="utf-8")
