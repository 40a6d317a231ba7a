"""Vectors that were computed before, in memory or in a folder, so that an interrupted run goes on where it was."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from instructor_embedding.errors import InputError
from instructor_embedding.instruction import Pair
from instructor_embedding.model.packed import Float32

_KEY = 16  # bytes of a key


class VectorCache:
    """Remembers vectors by model, instruction and text.

    Parameters
    ----------
    folder : path, optional
        Where they are kept for later runs; default: in memory alone. One process at a time may write there.
    limit : int
        Bytes of vectors held in memory without a folder; past it, new ones are not remembered. In a folder there is no
        limit: a vector takes 4 bytes a dimension on the disk.

    Raises
    ------
    InputError
        The folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, limit: int = 1 << 30) -> None:
        self.shared = folder is not None
        self._limit = limit
        self._held = 0
        self._rows: dict[bytes, Float32] = {}
        self._folder = Path(folder) if folder is not None else None
        self._where: dict[bytes, tuple[Path, int, int]] = {}
        if self._folder is not None:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"cannot keep vectors in {self._folder}: {error.strerror}") from None
            for keys in sorted(self._folder.glob("*.keys")):
                self._index(keys)

    def key(self, model: str, pair: Pair) -> bytes:
        """Return the key of a pair's vector by the model with this fingerprint."""
        parts = (part.encode("utf-8", "surrogatepass") for part in (model, *pair))
        return hashlib.blake2b(b"\0".join(parts), digest_size=_KEY).digest()

    def __contains__(self, key: bytes) -> bool:
        return key in self._rows or key in self._where

    def get(self, keys: Sequence[bytes]) -> Float32:
        """Return remembered vectors, float32 of shape (n, dim); all keys must be known."""
        if self._folder is None:
            return np.stack([self._rows[key] for key in keys])
        files = {file: dimension for file, _, dimension in (self._where[key] for key in keys)}
        maps = {file: np.memmap(file, np.float32, "r").reshape(-1, dimension) for file, dimension in files.items()}
        return np.stack([maps[file][row] for file, row, _ in (self._where[key] for key in keys)])

    def add(self, keys: Sequence[bytes], rows: Float32) -> None:
        """Remember vectors, float32 of shape (n, dim)."""
        if self._folder is None:
            for key, row in zip(keys, rows, strict=True):
                if self._held + row.nbytes <= self._limit:
                    self._rows[key] = row.copy()
                    self._held += row.nbytes
            return
        dimension = rows.shape[1]
        file = self._folder / f"{dimension}.vectors"
        first = file.stat().st_size // (4 * dimension) if file.exists() else 0
        # vectors before their keys: what an interruption cuts off is never found
        with file.open("r+b" if file.exists() else "wb") as stream:
            stream.truncate(first * dimension * 4)
            stream.seek(first * dimension * 4)
            stream.write(np.ascontiguousarray(rows, np.float32).tobytes())
        with file.with_suffix(".keys").open("ab") as stream:
            stream.write(b"".join(key + (first + row).to_bytes(8, "little") for row, key in enumerate(keys)))
        self._where.update({key: (file, first + row, dimension) for row, key in enumerate(keys)})

    def _index(self, keys: Path) -> None:
        """Read where a file's vectors are; an entry that an interruption cut short is dropped."""
        dimension, size = int(keys.stem), _KEY + 8
        file = keys.with_suffix(".vectors")
        stored = file.stat().st_size // (4 * dimension) if file.exists() else 0
        data = keys.read_bytes()
        whole = len(data) - len(data) % size
        if whole < len(data):
            os.truncate(keys, whole)
        for start in range(0, whole, size):
            row = int.from_bytes(data[start + _KEY : start + size], "little")
            if row < stored:
                self._where[data[start : start + _KEY]] = (file, row, dimension)
