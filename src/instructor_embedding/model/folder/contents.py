"""Every known folder layout of a T5 embedder, read without torch.

Known: hkunlp/instructor-*, folders written by the original's ``save()``, by sentence-transformers 2 to 6 (GTR and
Sentence-T5 among them), by this package, and plain T5 folders of transformers. What a folder is follows from its files,
never from its name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from instructor_embedding.errors import CheckpointError
from instructor_embedding.model import lowbit
from instructor_embedding.model.config import T5Config, config_of, size_of
from instructor_embedding.model.folder.arrays import FLOATS, Array, dtype_name, is_finite
from instructor_embedding.model.folder.json_file import DOWNLOAD, checked_file, optional_object, read_json
from instructor_embedding.model.folder.names import encoder_tensors, expected_shapes
from instructor_embedding.model.folder.tensors import read as read_tensors
from instructor_embedding.model.tokens import TextTokenizer
from instructor_embedding.model.weights import DenseWeights, Weights

_ROLES = ("Transformer", "Pooling", "Dense", "Normalize")
_POOLING_PREFIX = "pooling_mode_"
_LARGEST_TOKENIZER = 256 << 20  # bytes
_IDENTITY = "torch.nn.modules.linear.Identity"
ACTIVATIONS = (
    _IDENTITY,
    *(f"torch.nn.modules.activation.{name}" for name in ("Tanh", "ReLU", "GELU", "SiLU", "Sigmoid")),
)


def read_contents(folder: Path) -> tuple[Weights, TextTokenizer]:
    """Read the weights, which are mapped, and the tokenizer of the model in `folder`.

    Raises
    ------
    CheckpointError
        A file is missing, corrupt, of another kind of model, or does not fit the others; the message names it.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is a file; pass the folder that holds config.json")
    modules = _modules(folder)
    home = folder / modules[0][1]
    config = config_of(read_json(home / "config.json"), home / "config.json")
    stored, path = read_tensors(home)
    tensors = _checked(encoder_tensors(stored, config.num_layers, path), dict(expected_shapes(config)), path)
    dense, width = [], config.d_model
    for role, name in modules[1:]:
        if role == "Pooling" and name:
            _check_pooling(folder / name / "config.json")
        elif role == "Dense":
            dense.append(_dense(folder / name, width))
            width = len(dense[-1].weight)
    weights = Weights(config, tensors, tuple(dense), normalize=modules[-1][0] == "Normalize")
    return weights, _tokens(home, config)


def _modules(folder: Path) -> list[tuple[str, str]]:
    """Return (role, path) of each module, in order; a plain T5 folder is a mean over its states, normalized."""
    path = folder / "modules.json"
    if not path.exists():
        if any(folder.glob("*_Dense")) or any(folder.glob("*_Pooling")):
            raise CheckpointError(f"{path} is missing although {folder} holds folders of modules; copy it again")
        return [("Transformer", ""), ("Pooling", ""), ("Normalize", "")]
    content = read_json(path)
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise CheckpointError(f"{path} is not a list of modules")
    modules = [_role(entry, path) for entry in sorted(content, key=lambda entry: _index(entry, path))]
    roles = [role for role, _ in modules]
    order = [_ROLES.index(role) for role in roles]
    if roles[:2] != ["Transformer", "Pooling"] or order != sorted(order) or roles.count("Normalize") > 1:
        raise CheckpointError(
            f"{path} lists {' -> '.join(roles[:9]) or 'nothing'}; known: Transformer -> Pooling -> Dense -> Normalize"
        )
    return modules


def _index(entry: dict[str, Any], path: Path) -> int:
    value = entry.get("idx", 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise CheckpointError(f"{path} has a module with idx {str(value)[:60]!r}; it must be an integer")
    return value


def _role(entry: dict[str, Any], path: Path) -> tuple[str, str]:
    """Return a module's role, from its type or, where the original wrote no class name, from its folder's name."""
    kind, home = str(entry.get("type", "")), str(entry.get("path", ""))
    name = kind.rpartition(".")[2].removeprefix("INSTRUCTOR").lstrip("_")
    if name not in _ROLES:
        name = home.rpartition("_")[2] if home else "Transformer"
        if name not in _ROLES or not kind.startswith("InstructorEmbedding"):
            raise CheckpointError(f"{path} lists a module of type {kind[:90]!r}; known: {', '.join(_ROLES)}")
    if Path(home).is_absolute() or ".." in Path(home).parts or "\0" in home:
        raise CheckpointError(f"{path} names the folder {home[:90]!r}, which is outside the checkpoint")
    return name, home


def _check_pooling(path: Path) -> None:
    """Accept the mean alone; ``word_embedding_dimension`` is stale in published models and not looked at."""
    raw = read_json(path)
    mode = raw.get("pooling_mode") if isinstance(raw, dict) else None
    modes = [mode] if isinstance(mode, str) else mode
    if modes is None and isinstance(raw, dict):
        modes = [key.removeprefix(_POOLING_PREFIX) for key, on in raw.items() if key.startswith(_POOLING_PREFIX) and on]
    modes = modes if isinstance(modes, list) else [modes]
    if modes not in (["mean"], ["mean_tokens"]):
        named = ", ".join(str(name)[:60] for name in modes[:9] if name) or "nothing"
        raise CheckpointError(f"{path} pools by {named}; INSTRUCTOR pools by mean")


def _dense(folder: Path, width: int) -> DenseWeights:
    path = folder / "config.json"
    raw = read_json(path)
    if not isinstance(raw, dict):
        raise CheckpointError(f"{path} is not a json object")
    inputs, outputs = (size_of(raw, name, path) for name in ("in_features", "out_features"))
    activation = str(raw.get("activation_function", _IDENTITY))
    if activation not in ACTIVATIONS:
        raise CheckpointError(f"{path} has activation_function {activation[:90]!r}; known: {', '.join(ACTIVATIONS)}")
    if inputs != width:
        raise CheckpointError(f"{path} takes {inputs} dimensions, but the module before it gives {width}")
    shapes: dict[str, tuple[int, ...]] = {"linear.weight": (outputs, inputs)}
    if raw.get("bias", True):
        shapes["linear.bias"] = (outputs,)
    stored, file = read_tensors(folder)
    tensors = _checked(stored, shapes, file)
    bias, scale = tensors.get("linear.bias"), tensors.get("linear.weight_scale")
    return DenseWeights(tensors["linear.weight"], bias, activation, scale)


def _checked(tensors: dict[str, Array], shapes: dict[str, tuple[int, ...]], path: Path) -> dict[str, Array]:
    """Return the tensors of the expected names, with their scales, after a look at shape, dtype and every value."""
    checked: dict[str, Array] = {}
    for name, shape in shapes.items():
        if name not in tensors:
            raise CheckpointError(f"{path} lacks the tensor {name}; the file is of another model or incomplete")
        own = {key: tensors[key] for key in (f"{name}{suffix}" for suffix in lowbit.SUFFIXES) if key in tensors}
        _check_one(name, shape, own, path)
        for key, array in own.items():
            if array.dtype in FLOATS and not is_finite(array):
                raise CheckpointError(f"{path} holds {key} with a value that is infinite or not a number; {DOWNLOAD}")
        checked |= own
    return checked


def _check_one(name: str, shape: tuple[int, ...], own: dict[str, Array], path: Path) -> None:
    """Refuse a tensor, or its codes and scales, whose shape or dtype is not the expected one."""
    tensor, scale, columns = own[name], own.get(f"{name}_scale"), own.get(f"{name}_columns")
    if scale is not None:
        try:
            lowbit.check(shape, tensor, scale, columns, name == "embedding.weight")
        except ValueError as error:
            raise CheckpointError(f"{path} holds {name} as {error}, but the config says {shape}") from None
    elif tensor.shape != shape:
        raise CheckpointError(f"{path} holds {name} of shape {tensor.shape}, but the config says {shape}")
    elif tensor.dtype not in FLOATS:
        raise CheckpointError(f"{path} holds {name} as {dtype_name(tensor)}; weights must be floating point")


def _tokens(home: Path, config: T5Config) -> TextTokenizer:
    path = home / "tokenizer.json"
    tokenizer = _tokenizer(home)
    size = tokenizer.get_vocab_size()
    if size > config.vocab_size:
        raise CheckpointError(
            f"{path} has {size} tokens, but the model only {config.vocab_size}; they belong to different models"
        )
    if tokenizer.encode("").ids != [config.eos_token_id]:
        raise CheckpointError(f"{path} does not end texts with token {config.eos_token_id}")
    settings = optional_object(home / "sentence_bert_config.json")
    limits = [settings.get("max_seq_length"), optional_object(home / "tokenizer_config.json").get("model_max_length")]
    limits.append(optional_object(home / "config.json").get("n_positions"))
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
    checked_file(path, _LARGEST_TOKENIZER)
    try:
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_padding()  # published files pad every text to 512
        tokenizer.encode("a")
        return tokenizer
    except Exception as error:  # the library raises bare Exception
        raise CheckpointError(f"{path} is corrupt ({str(error)[:120]}); download or copy it again") from None
    except BaseException as error:  # and a Rust panic is not even that
        if isinstance(error, (KeyboardInterrupt, SystemExit)) or type(error).__name__ != "PanicException":
            raise
        raise CheckpointError(f"{path} is corrupt ({str(error)[:120]}); download or copy it again") from None
