"""Tensors of a folder's weight files: safetensors or torch's own format, in one file or in shards, always mapped."""

from __future__ import annotations

from pathlib import Path

from instructor_embedding.errors import CheckpointError
from instructor_embedding.model.folder.arrays import Array
from instructor_embedding.model.folder.json_file import DOWNLOAD, checked_file, read_json
from instructor_embedding.model.folder.safetensors_file import read_safetensors
from instructor_embedding.model.folder.torch_file import read_torch

SAFE = "model.safetensors"
TORCH = "pytorch_model.bin"
NAMES = (SAFE, f"{SAFE}.index.json", TORCH, f"{TORCH}.index.json")

_LFS_MARK = b"version https://git-lfs"


def read(folder: Path) -> tuple[dict[str, Array], Path]:
    """Read all tensors of a folder, by name, and say which file they came from: safetensors before torch's format.

    Raises
    ------
    CheckpointError
        There is no weight file, or it is empty, truncated, a git-lfs pointer, or holds more than tensors.
    """
    path = next((folder / name for name in NAMES if (folder / name).exists()), None)
    if path is None:
        raise CheckpointError(f"{folder} holds no weights; expected one of {', '.join(NAMES)}")
    if path.name.endswith(".index.json"):
        return _read_shards(path), path
    return read_file(path), path


def read_file(path: Path) -> dict[str, Array]:
    """Read the tensors of one file; see `read` for the errors."""
    if not checked_file(path):
        raise CheckpointError(f"{path} is empty; {DOWNLOAD}")
    try:
        with path.open("rb") as file:
            head = file.read(len(_LFS_MARK))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from None
    if head == _LFS_MARK:
        raise CheckpointError(f"{path} is a git-lfs pointer, not the weights; run: git lfs pull")
    return read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path)


def _read_shards(index: Path) -> dict[str, Array]:
    """Read every file that an index names, and check that it holds what the index says."""
    content = read_json(index)
    names = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(names, dict) or not all(isinstance(file, str) for file in names.values()):
        raise CheckpointError(f"{index} has no 'weight_map' from tensors to files; {DOWNLOAD}")
    tensors: dict[str, Array] = {}
    for file in sorted(set(names.values())):
        path = index.parent / file
        if Path(file).name != file:
            raise CheckpointError(f"{index} names {file!r}, which is outside its folder")
        if not path.exists():
            raise CheckpointError(f"{index} names {file}, which is missing; {DOWNLOAD}")
        tensors.update(read_file(path))
    lost = sorted(set(names) - set(tensors))
    if lost:
        raise CheckpointError(f"{index} names the tensor {lost[0]}, which is not in {names[lost[0]]}; {DOWNLOAD}")
    return tensors
