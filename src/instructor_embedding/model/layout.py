"""Writes a model as a folder: the layout that sentence-transformers reads, or the one of the original package."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from instructor_embedding.errors import InputError, nearest
from instructor_embedding.model.checkpoint import Checkpoint
from instructor_embedding.model.names import file_tensors
from instructor_embedding.model.pooling import Dense
from instructor_embedding.model.t5 import T5Config
from instructor_embedding.model.weights import SAFE, TORCH

_MODULES = "modules.json"
LAYOUTS = ("sentence-transformers", "legacy-1.0")

_CARD = """---
library_name: instructor-embedding
pipeline_tag: sentence-similarity
tags:
- sentence-transformers
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

With sentence-transformers, one instruction a call:
`SentenceTransformer("{name}").encode(texts, prompt="Represent the Science title: ")`.
"""


def write(parts: Checkpoint, folder: Path, layout: str = LAYOUTS[0]) -> None:
    """Write a model to `folder`; a kill at any moment leaves one that is whole or that no reader takes for whole.

    Parameters
    ----------
    parts : Checkpoint
    folder : Path
        Created if missing; files of the same name are replaced, others are left alone.
    layout : str
        ``"sentence-transformers"`` loads here and in sentence-transformers 5 and later (older ones refuse its pooling
        config); ``"legacy-1.0"`` loads here and in InstructorEmbedding 1.0.1.

    Raises
    ------
    InputError
        The layout is unknown, `folder` is a file, or the model's layers were replaced by quantized ones.
    """
    if layout not in LAYOUTS:
        raise InputError(f"layout={layout!r} is unknown{nearest(str(layout), LAYOUTS)}; known: {', '.join(LAYOUTS)}")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; pass a folder to save to")
    state = parts.encoder.state_dict()
    if any(not isinstance(value, Tensor) or value.is_quantized for value in state.values()):
        raise InputError("this model's layers were replaced by quantized ones, which have no plain weights to save")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as scratch:
        _write_all(parts, Path(scratch), layout, folder.resolve().name)
        # without modules.json a folder with modules does not load: it goes first and comes last, so that a kill in
        # between leaves no mixture of old and new weights that looks whole
        (folder / _MODULES).unlink(missing_ok=True)
        for path in sorted(Path(scratch).rglob("*")):
            target = folder / path.relative_to(scratch)
            if path.is_dir():
                target.mkdir(exist_ok=True)
            elif path.name != _MODULES:
                os.replace(path, target)
        _remove_other_weights(folder, layout)
        os.replace(Path(scratch) / _MODULES, folder / _MODULES)


def _remove_other_weights(folder: Path, layout: str) -> None:
    """Remove weights of another format, which a reader might take for the ones just written."""
    stale = {SAFE, TORCH} - {_weight_name(layout)} | {f"{SAFE}.index.json", f"{TORCH}.index.json"}
    for home in (folder, *folder.glob("*_Dense")):
        for name in stale:
            (home / name).unlink(missing_ok=True)


def _write_all(parts: Checkpoint, folder: Path, layout: str, name: str) -> None:
    config, head, legacy = parts.encoder.config, parts.head, layout == "legacy-1.0"
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    modules += [(f"{2 + index}_Dense", "Dense") for index in range(len(head.dense))]
    if head.normalize:
        modules.append((f"{len(modules)}_Normalize", "Normalize"))
    entries = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(modules)
    ]
    for path, _ in modules:
        (folder / path).mkdir(exist_ok=True)
    dtype = parts.encoder.embedding.weight.dtype
    _json(folder / _MODULES, entries)
    _json(folder / "config.json", _config(config, dtype))
    _json(folder / "sentence_bert_config.json", _limits(parts))
    _json(folder / "config_sentence_transformers.json", {"prompts": {}, "similarity_fn_name": "cosine"})
    _json(folder / "1_Pooling" / "config.json", _pooling(config.d_model, legacy))
    _tensors(folder, layout, file_tensors(parts.encoder.state_dict(), config.num_layers))
    dimension = config.d_model
    for index, dense in enumerate(head.dense_layers()):
        dimension = _dense(folder / f"{2 + index}_Dense", layout, dense)
    _tokenizer(folder, parts, legacy)
    (folder / "README.md").write_text(_CARD.format(name=name, dimension=dimension), encoding="utf-8")


def _limits(parts: Checkpoint) -> dict[str, Any]:
    return {"max_seq_length": parts.tokens.max_length, "do_lower_case": parts.tokens.lower}


def _pooling(width: int, legacy: bool) -> dict[str, Any]:
    flags = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    config: dict[str, Any] = {"word_embedding_dimension": width}
    config |= {f"pooling_mode_{flag}": flag == "mean_tokens" for flag in flags}
    # InstructorEmbedding 1.0.1 fails on this key; sentence-transformers pools the instruction without it
    return config if legacy else config | {"include_prompt": False}


def _dense(folder: Path, layout: str, dense: Dense) -> int:
    linear = dense.linear
    config = {"in_features": linear.in_features, "out_features": linear.out_features}
    _json(
        folder / "config.json",
        config | {"bias": linear.bias is not None, "activation_function": dense.activation_name},
    )
    _tensors(folder, layout, dense.state_dict())
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


def _tokenizer(folder: Path, parts: Checkpoint, legacy: bool) -> None:
    tokenizer, config = parts.tokens.tokenizer, parts.encoder.config
    content = json.loads(tokenizer.to_str())
    _json(folder / "tokenizer.json", _older(content) if legacy else content)
    # the generic class reads tokenizer.json as it is; T5's own classes would build another normalizer
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": parts.tokens.max_length,
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
        return [_older(part) for part in content]
    if not isinstance(content, dict):
        return content
    found = {key: part if key == "vocab" else _older(part) for key, part in content.items()}
    if found.get("type") == "Metaspace":
        found = {
            "type": "Metaspace",
            "replacement": found["replacement"],
            "add_prefix_space": found.get("prepend_scheme") != "never",
        }
    return found


def _weight_name(layout: str) -> str:
    return TORCH if layout == "legacy-1.0" else SAFE


def _tensors(folder: Path, layout: str, tensors: Mapping[str, Tensor]) -> None:
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    path = folder / _weight_name(layout)
    if path.suffix == ".safetensors":
        save_file(plain, str(path), metadata={"format": "pt"})
    else:
        torch.save(plain, path)


def _json(path: Path, content: Any) -> None:
    indent = 2 if path.name != "tokenizer.json" else None
    path.write_text(json.dumps(content, indent=indent) + "\n", encoding="utf-8")
