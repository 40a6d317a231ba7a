"""Tensors from weight files: safetensors or torch's own format, in one file or in shards.

Both are memory-mapped where the format allows it, and neither ever unpickles anything but tensors.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from instructor_embedding.errors import CheckpointError

SAFE = "model.safetensors"
TORCH = "pytorch_model.bin"
NAMES = (SAFE, f"{SAFE}.index.json", TORCH, f"{TORCH}.index.json")

_LFS_MARK = b"version https://git-lfs"
_DOWNLOAD = "download or copy it again"


def find(folder: Path) -> Path | None:
    """Return the weight file of a folder, safetensors before torch's format, or None."""
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def read(folder: Path) -> tuple[dict[str, Tensor], Path]:
    """Read all tensors of a folder, by name, and say which file they came from.

    Raises
    ------
    CheckpointError
        There is no weight file, or it is empty, truncated, a git-lfs pointer, or holds more than tensors.
    """
    path = find(folder)
    if path is None:
        raise CheckpointError(f"{folder} holds no weights; expected one of {', '.join(NAMES)}")
    if path.name.endswith(".index.json"):
        return _read_shards(path), path
    return read_file(path), path


def read_file(path: Path) -> dict[str, Tensor]:
    """Read the tensors of one file; see `read` for the errors."""
    try:
        with path.open("rb") as file:
            head = file.read(len(_LFS_MARK))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from None
    if head == _LFS_MARK:
        raise CheckpointError(f"{path} is a git-lfs pointer, not the weights; run: git lfs pull")
    if not head:
        raise CheckpointError(f"{path} is empty; {_DOWNLOAD}")
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)


def read_json(path: Path) -> Any:
    """Read a json file or say which one is broken and where."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing; is {path.parent} a whole checkpoint?") from None
    except UnicodeDecodeError:
        raise CheckpointError(f"{path} is no json file; {_DOWNLOAD}") from None
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path} is broken json at line {error.lineno}: {error.msg}; {_DOWNLOAD}") from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from None


def _read_shards(index: Path) -> dict[str, Tensor]:
    """Read every file that an index names, and check that it holds what the index says."""
    content = read_json(index)
    names = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(names, dict) or not all(isinstance(file, str) for file in names.values()):
        raise CheckpointError(f"{index} has no 'weight_map' from tensors to files; {_DOWNLOAD}")
    tensors: dict[str, Tensor] = {}
    for file in sorted(set(names.values())):
        path = index.parent / file
        if Path(file).name != file:
            raise CheckpointError(f"{index} names {file!r}, which is outside its folder")
        if not path.is_file():
            raise CheckpointError(f"{index} names {file}, which is missing; {_DOWNLOAD}")
        tensors.update(read_file(path))
    lost = sorted(set(names) - set(tensors))
    if lost:
        raise CheckpointError(f"{index} names the tensor {lost[0]}, which is not in {names[lost[0]]}; {_DOWNLOAD}")
    return tensors


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with cast(Callable[..., Any], safe_open)(str(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path} is truncated or broken ({_short(error)}); {_DOWNLOAD}") from None


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        # files written before torch 1.6 are no zip archives and cannot be mapped
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error) or "Unsupported class" in str(error):
            raise CheckpointError(
                f"{path} holds pickled objects that are no tensors, which are never loaded; "
                "save the weights alone, best as safetensors"
            ) from None
        raise CheckpointError(f"{path} is truncated or broken; {_DOWNLOAD}") from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, AssertionError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is truncated or broken ({_short(error)}); {_DOWNLOAD}") from None
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(f"{path} is no mapping from names to tensors; save model.state_dict() instead")
    return content


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
