"""Reads every known folder layout of a T5 embedder.

Known: hkunlp/instructor-*, folders written by the original's ``save()``, by sentence-transformers 2 to 6 (GTR and
Sentence-T5 among them), by this package, and plain T5 folders of transformers. What a folder is follows from its files,
never from its name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from instructor_embedding.errors import CheckpointError
from instructor_embedding.model import pooling, t5
from instructor_embedding.model.config import T5Config, config_of, size_of
from instructor_embedding.model.embedder import Embedder
from instructor_embedding.model.folder import tensors as files
from instructor_embedding.model.folder.names import encoder_tensors
from instructor_embedding.model.lowbit_layers import put
from instructor_embedding.model.tokens import TextTokenizer

_ROLES = ("Transformer", "Pooling", "Dense", "Normalize")
_POOLING_PREFIX = "pooling_mode_"


def read(folder: Path) -> Embedder:
    """Read the model in `folder`; its weights are memory-mapped where the format allows it.

    Raises
    ------
    CheckpointError
        A file is missing, broken, of another kind of model, or does not fit the others; the message names it.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is a file; pass the folder that holds config.json")
    modules = _modules(folder)
    home = folder / modules[0][1]
    encoder = _encoder(home)
    head = _head(folder, modules[1:], encoder.config.d_model)
    tokens = _tokens(home, encoder.config)
    return Embedder(encoder, head, tokens).eval()


def _modules(folder: Path) -> list[tuple[str, str]]:
    """Return (role, path) of each module, in order; a plain T5 folder is a mean over its states, normalized."""
    path = folder / "modules.json"
    if not path.exists():
        if any(folder.glob("*_Dense")) or any(folder.glob("*_Pooling")):
            raise CheckpointError(f"{path} is missing although {folder} holds folders of modules; copy it again")
        return [("Transformer", ""), ("Pooling", ""), ("Normalize", "")]
    content = files.read_json(path)
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise CheckpointError(f"{path} is no list of modules")
    modules = [_role(entry, path) for entry in sorted(content, key=lambda entry: int(entry.get("idx", 0)))]
    roles = [role for role, _ in modules]
    order = [_ROLES.index(role) for role in roles]
    if roles[:2] != ["Transformer", "Pooling"] or order != sorted(order) or roles.count("Normalize") > 1:
        raise CheckpointError(
            f"{path} lists {' -> '.join(roles) or 'nothing'}; known: Transformer -> Pooling -> Dense -> Normalize"
        )
    return modules


def _role(entry: dict[str, Any], path: Path) -> tuple[str, str]:
    """Tell a module's role from its type or, where the original wrote no class name, from its folder's name."""
    kind, place = str(entry.get("type", "")), str(entry.get("path", ""))
    name = kind.rpartition(".")[2].removeprefix("INSTRUCTOR").lstrip("_")
    if name not in _ROLES:
        name = place.rpartition("_")[2] if place else "Transformer"
        if name not in _ROLES or not kind.startswith("InstructorEmbedding"):
            raise CheckpointError(f"{path} lists a module of type {kind!r}; known: {', '.join(_ROLES)}")
    if Path(place).is_absolute() or ".." in Path(place).parts:
        raise CheckpointError(f"{path} names the folder {place!r}, which is outside the checkpoint")
    return name, place


def _encoder(home: Path) -> t5.T5Encoder:
    path = home / "config.json"
    config = config_of(files.read_json(path), path)
    with torch.device("meta"):
        encoder = t5.T5Encoder(config)
    tensors, path = files.read(home)
    _assign(encoder, encoder_tensors(tensors, config.num_layers, path), path)
    return encoder


def _head(folder: Path, modules: list[tuple[str, str]], width: int) -> pooling.Head:
    dense = []
    for role, place in modules:
        if role == "Pooling" and place:
            _check_pooling(folder / place / "config.json")
        elif role == "Dense":
            dense.append(_dense(folder / place, width))
            width = dense[-1].linear.out_features
    return pooling.Head(dense, normalize=modules[-1][0] == "Normalize")


def _check_pooling(path: Path) -> None:
    """Accept the mean alone; ``word_embedding_dimension`` is stale in published models and not looked at."""
    raw = files.read_json(path)
    mode = raw.get("pooling_mode") if isinstance(raw, dict) else None
    modes = [mode] if isinstance(mode, str) else mode
    if modes is None and isinstance(raw, dict):
        modes = [key.removeprefix(_POOLING_PREFIX) for key, on in raw.items() if key.startswith(_POOLING_PREFIX) and on]
    if list(modes or ()) not in (["mean"], ["mean_tokens"]):
        raise CheckpointError(f"{path} pools by {', '.join(map(str, modes or ['nothing']))}; INSTRUCTOR pools by mean")


def _dense(folder: Path, width: int) -> pooling.Dense:
    path = folder / "config.json"
    raw = files.read_json(path)
    sizes = [size_of(raw, name, path) for name in ("in_features", "out_features")]
    activation = str(raw.get("activation_function", "torch.nn.modules.linear.Identity"))
    if activation not in pooling.ACTIVATIONS:
        raise CheckpointError(f"{path} has activation_function {activation!r}; known: {', '.join(pooling.ACTIVATIONS)}")
    if sizes[0] != width:
        raise CheckpointError(f"{path} takes {sizes[0]} dimensions, but the module before it gives {width}")
    with torch.device("meta"):
        dense = pooling.Dense(sizes[0], sizes[1], bool(raw.get("bias", True)), activation)
    tensors, file = files.read(folder)
    _assign(dense, tensors, file)
    return dense


def _assign(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Make `tensors` the parameters of `module` without copying them, after comparing names and shapes.

    Layers whose weights are in 8 or 4 bits are replaced by those that hold them so.
    """
    expected = module.state_dict()
    plain = {}
    for name, slot in expected.items():
        if name not in tensors:
            raise CheckpointError(f"{path} lacks the tensor {name}; the file is of another model or not whole")
        found, scale = tensors[name], tensors.get(f"{name}_scale")
        if scale is not None:
            try:
                put(module, name.removesuffix(".weight"), found, scale, tensors.get(f"{name}_columns"))
            except ValueError as error:
                raise CheckpointError(
                    f"{path} holds {name} as {error}, but the config says {tuple(slot.shape)}"
                ) from None
            continue
        if found.shape != slot.shape:
            raise CheckpointError(
                f"{path} holds {name} of shape {tuple(found.shape)}, but the config says {tuple(slot.shape)}"
            )
        if not found.is_floating_point():
            raise CheckpointError(f"{path} holds {name} as {found.dtype}; weights must be floating point")
        plain[name] = found.float()
    module.load_state_dict(plain, assign=True, strict=False)


def _tokens(home: Path, config: T5Config) -> TextTokenizer:
    tokenizer = _tokenizer(home)
    size = tokenizer.get_vocab_size()
    if size > config.vocab_size:
        raise CheckpointError(
            f"{home / 'tokenizer.json'} has {size} tokens, but the model only {config.vocab_size}; "
            "they belong to different models"
        )
    if tokenizer.encode("").ids != [config.eos_token_id]:
        raise CheckpointError(f"{home / 'tokenizer.json'} does not end texts with token {config.eos_token_id}")
    settings = _optional_json(home / "sentence_bert_config.json")
    limits = [settings.get("max_seq_length"), _optional_json(home / "tokenizer_config.json").get("model_max_length")]
    limits.append(_optional_json(home / "config.json").get("n_positions"))
    # transformers writes a huge number where no limit was set
    known = [int(limit) for limit in limits if isinstance(limit, (int, float)) and 1 <= limit <= 1_000_000]
    return TextTokenizer(tokenizer, known[0] if known else 512, bool(settings.get("do_lower_case", False)))


def _tokenizer(home: Path) -> Tokenizer:
    path = home / "tokenizer.json"
    if not path.exists():
        hint = "copy it from the model this one was made from"
        if (home / "spiece.model").exists():
            hint = (
                "make it from spiece.model with transformers: "
                f"AutoTokenizer.from_pretrained({str(home)!r}).save_pretrained({str(home)!r})"
            )
        raise CheckpointError(f"{path} is missing; {hint}")
    try:
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_padding()  # published files pad every text to 512
        return tokenizer
    except Exception as error:  # the library raises bare Exception
        raise CheckpointError(f"{path} is broken ({str(error)[:120]}); download or copy it again") from None


def _optional_json(path: Path) -> dict[str, Any]:
    content = files.read_json(path) if path.exists() else {}
    return content if isinstance(content, dict) else {}
