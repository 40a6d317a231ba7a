"""Vectors on disk, found by their text: computed once, whatever interrupts the run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from instructor_embedding.errors import InputError, OutputError, choose
from instructor_embedding.files.atomic import replacing
from instructor_embedding.files.lock import locked
from instructor_embedding.instruction import Pair
from instructor_embedding.vectors import Float32

DTYPES = ("float32", "float16")
_ABOUT, _KEYS, _VECTORS = "store.json", "keys.bin", "vectors.bin"
_KEY_BYTES = 16
_MERGE = 2**16  # new keys that are looked up one by one before they are sorted in among the others
_CHUNK = 2048


class VectorStore:
    """The vectors of one model, by instruction and text: append-only, in a folder or in memory.

    Use it wherever vectors of the same texts are needed again: teachers, evaluation, indexes. `fill` computes what is
    missing, `add` takes vectors that you have, `get` reads. A run that is killed loses the vectors of one chunk; what
    a kill has left incomplete is dropped when the folder is opened again. One process at a time may write.

    Parameters
    ----------
    folder : path, optional
        Created if missing; default: in memory alone.
    fingerprint : str
        Of the model, see `fingerprint.of_model`, and of what else the vectors depend on. A folder holds the vectors of
        one fingerprint.
    dtype : str
        Vectors are stored as ``"float32"`` or ``"float16"``.
    limit : int
        Bytes of vectors without a folder; after that, new ones are not stored. A folder has no limit.

    Attributes
    ----------
    dimension : int
        Of the vectors; 0 as long as there are none.

    Raises
    ------
    InputError
        The folder holds vectors of another fingerprint or dtype, or cannot be written.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None,
        fingerprint: str,
        dtype: str = "float32",
        *,
        limit: int = 1 << 30,
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.fingerprint = fingerprint
        self.dtype: np.dtype[Any] = np.dtype(choose("dtype", dtype, DTYPES)).newbyteorder("<")
        self.dimension = 0
        self._limit = limit
        self._seen = 0  # bytes of keys when the folder was opened
        self._lock: IO[bytes] | None = None
        self._memory: NDArray[Any] = np.empty((0, 0), self.dtype)
        self._index = _Index(np.empty((0, 2), np.uint64))
        if self.folder is not None:
            self._open(self.folder)

    @staticmethod
    def about(folder: str | os.PathLike[str]) -> dict[str, Any]:
        """Return what a folder says of its vectors: fingerprint, dtype, dimension.

        Raises
        ------
        InputError
            The folder holds no vectors.
        """
        file = Path(folder) / _ABOUT
        try:
            about = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(about, dict):
                raise ValueError("it is not an object")
        except FileNotFoundError:
            raise InputError(f"{folder} is not a store of vectors: it has no {_ABOUT}") from None
        except (OSError, ValueError) as error:
            raise InputError(f"{file} cannot be read: {error}") from None
        return about

    def __len__(self) -> int:
        """Return the number of vectors."""
        return len(self._index)

    def known(self, pairs: Sequence[Pair]) -> NDArray[np.bool_]:
        """Return for each pair whether it has a vector, of shape (n,)."""
        return self._index.find(_hashes(pairs)) >= 0

    def missing(self, pairs: Iterable[Pair]) -> list[Pair]:
        """Return the pairs without a vector, each once, in their order."""
        distinct = list(dict.fromkeys(pairs))
        return [pair for pair, known in zip(distinct, self.known(distinct), strict=True) if not known]

    def get(self, pairs: Sequence[Pair]) -> Float32:
        """Return the vectors of pairs, float32 of shape (n, dimension).

        Raises
        ------
        InputError
            A pair has no vector.
        """
        rows = self._index.find(_hashes(pairs))
        if (rows < 0).any():
            lost = pairs[int(np.argmax(rows < 0))].text
            where = "the store" if self.folder is None else self.folder
            raise InputError(f"{where} has no vector of {lost[:60]!r}; {int((rows < 0).sum())} are missing in all")
        return np.asarray(self.vectors[rows], np.float32)

    @property
    def vectors(self) -> NDArray[Any]:
        """All vectors in the order in which they came, of shape (n, dimension), in the store's dtype; read-only."""
        if self.folder is None:
            return self._memory[: len(self)]
        if not len(self):
            return np.empty((0, self.dimension), self.dtype)
        return np.memmap(self.folder / _VECTORS, self.dtype, "r", shape=(len(self), self.dimension))

    def add(self, pairs: Sequence[Pair], vectors: NDArray[Any]) -> int:
        """Store vectors and return how many were new; pairs that have one are skipped.

        Parameters
        ----------
        pairs : sequence of Pair
        vectors : float of shape (n, dimension)
            Row i is that of pair i.

        Raises
        ------
        InputError
            The shapes do not fit, a value is not finite, or another process writes to the folder.
        """
        rows = np.asarray(vectors)
        if rows.ndim != 2 or len(rows) != len(pairs):
            raise InputError(f"{len(pairs)} texts need vectors of shape ({len(pairs)}, d), got {rows.shape}")
        if self.dimension and rows.shape[1] != self.dimension:
            where = "the store" if self.folder is None else self.folder
            raise InputError(f"{where} holds vectors of {self.dimension} dimensions, not of {rows.shape[1]}")
        first = {pair: number for number, pair in reversed(list(enumerate(pairs)))}
        new = self.missing(pairs)
        if self.folder is None:
            space = max(0, self._limit - len(self) * self.dtype.itemsize * rows.shape[1])
            new = new[: space // (self.dtype.itemsize * rows.shape[1])]
        if not new:
            return 0
        with np.errstate(over="ignore"):
            stored = np.ascontiguousarray(rows[[first[pair] for pair in new]], self.dtype)
        if not np.isfinite(stored).all():
            bad = int(np.argmin(np.isfinite(stored).all(1)))
            raise InputError(f"the vector of {new[bad].text[:60]!r} is not finite in {self.dtype.name}")
        self._append(_hashes(new), stored)
        return len(new)

    def fill(
        self,
        pairs: Iterable[Pair],
        encode: Callable[[list[Pair]], Any],
        *,
        chunk: int = _CHUNK,
        advance: Callable[[int], object] | None = None,
    ) -> int:
        """Compute and store the vectors of pairs that have none, and return how many.

        Parameters
        ----------
        pairs : iterable of Pair
            Read only as far as needed.
        encode : callable
            Returns the vectors of a list of pairs, float of shape (n, dimension); it is called with up to `chunk`
            pairs, and not at all where nothing is missing.
        chunk : int
            Pairs that are computed and stored together.
        advance : callable, optional
            Is given the number of pairs of `pairs` that are done, for a progress bar.
        """
        done = 0
        for some in _chunks(pairs, 16 * chunk):
            new = self.missing(some)
            for start in range(0, len(new), chunk):
                batch = new[start : start + chunk]
                done += self.add(batch, encode(batch))
            if advance is not None:
                advance(len(some))
        return done

    def close(self) -> None:
        """Let other processes write; reading still works."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> VectorStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot keep vectors in {folder}: {error.strerror}") from None
        expected = {"fingerprint": self.fingerprint, "dtype": self.dtype.name}
        if (folder / _ABOUT).exists():
            about = self.about(folder)
            stored = {key: about.get(key) for key in expected}
            if stored != expected:
                raise InputError(f"{folder} holds vectors of {stored}, not of {expected}; use another folder")
            self.dimension = int(about.get("dimension") or 0)
        else:
            self._describe(folder)
        # vectors are written before their keys, so that a key counts only if its vector is complete
        self._seen = _size(folder / _KEYS)
        count = self._seen // _KEY_BYTES
        width = self.dimension * self.dtype.itemsize
        count = min(count, _size(folder / _VECTORS) // width) if width else 0
        keys = np.fromfile(folder / _KEYS, "<u8", 2 * count) if count else np.empty(0, np.uint64)
        self._index = _Index(keys.astype(np.uint64, copy=False).reshape(-1, 2))

    def _describe(self, folder: Path) -> None:
        about = {"fingerprint": self.fingerprint, "dtype": self.dtype.name, "dimension": self.dimension}
        with replacing(folder / _ABOUT) as file:
            file.write(json.dumps(about).encode() + b"\n")

    def _append(self, keys: NDArray[np.uint64], rows: NDArray[Any]) -> None:
        count = len(self)
        if self.folder is None:
            if count + len(rows) > len(self._memory):
                larger = np.empty((max(1024, 2 * count, count + len(rows)), rows.shape[1]), self.dtype)
                larger[:count] = self._memory[:count] if count else 0
                self._memory = larger
            self._memory[count : count + len(rows)] = rows
        else:
            self._locked(self.folder)
            if not self.dimension:
                self.dimension = rows.shape[1]
                self._describe(self.folder)
            _write_at(self.folder / _VECTORS, count * rows.shape[1] * self.dtype.itemsize, rows)
            _write_at(self.folder / _KEYS, count * _KEY_BYTES, keys.astype("<u8", copy=False))
        self.dimension = rows.shape[1]
        self._index.add(keys)
        self._seen = len(self) * _KEY_BYTES

    def _locked(self, folder: Path) -> None:
        """Keep other processes from writing, and see that none has since the folder was opened."""
        if self._lock is not None:
            return
        try:
            self._lock = locked(folder, f"another process writes vectors to {folder}; wait, or use another folder")
        except OSError as error:
            raise InputError(f"cannot keep vectors in {folder}: {error.strerror}") from None
        if _size(folder / _KEYS) != self._seen:
            self.close()
            raise InputError(f"another process has written vectors to {folder} meanwhile; open the store again")


class _Index:
    """Rows by key: a sorted array, and a dict of those that came last."""

    def __init__(self, keys: NDArray[np.uint64]) -> None:
        self._keys = keys  # in the order of the rows
        self._sort()

    def __len__(self) -> int:
        return len(self._keys) + len(self._recent)

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the row of each key, -1 where there is none."""
        rows = np.full(len(keys), -1, np.int64)
        if len(self._keys) and len(keys):
            at = np.searchsorted(self._first, keys[:, 0])
            # keys are sorted by their first half; equal first halves are next to each other
            while (open_ := (rows < 0) & (at < len(self._first))).any():
                index = self._order[at[open_]]
                same = self._keys[index, 0] == keys[open_, 0]
                match = same & (self._keys[index, 1] == keys[open_, 1])
                rows[np.flatnonzero(open_)[match]] = index[match]
                at[open_] += 1
                at[np.flatnonzero(open_)[~same]] = len(self._first)
        if self._recent:
            for number in np.flatnonzero(rows < 0).tolist():
                rows[number] = self._recent.get(keys[number].tobytes(), -1)
        return rows

    def add(self, keys: NDArray[np.uint64]) -> None:
        """Append the keys of new rows."""
        count = len(self)
        self._recent.update({key.tobytes(): count + number for number, key in enumerate(keys)})
        if len(self._recent) > max(_MERGE, len(self._keys) // 8):
            recent = np.frombuffer(b"".join(self._recent), np.uint64).reshape(-1, 2)
            self._keys = np.concatenate([self._keys, recent])
            self._sort()

    def _sort(self) -> None:
        self._order = np.argsort(self._keys[:, 0], kind="stable")
        self._first = self._keys[self._order, 0]
        self._recent: dict[bytes, int] = {}


def _hashes(pairs: Sequence[Pair]) -> NDArray[np.uint64]:
    """Return the key of each pair, uint64 of shape (n, 2)."""
    texts = (f"{pair.instruction}\0{pair.text}".encode("utf-8", "surrogatepass") for pair in pairs)
    digests = b"".join(hashlib.blake2b(text, digest_size=_KEY_BYTES).digest() for text in texts)
    return np.frombuffer(digests, "<u8").astype(np.uint64, copy=False).reshape(-1, 2)


def _write_at(path: Path, position: int, rows: NDArray[Any]) -> None:
    """Write an array at a position of a file, drop what was after it, and wait for the disk."""
    try:
        with open(path, "r+b" if path.exists() else "wb") as file:
            file.truncate(position)
            file.seek(position)
            file.write(rows.tobytes())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _chunks(items: Iterable[Pair], size: int) -> Iterator[list[Pair]]:
    source = iter(items)
    while some := list(islice(source, size)):
        yield some
