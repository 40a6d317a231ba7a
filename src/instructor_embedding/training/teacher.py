"""A teacher's vectors for distillation: computed once by any encoder, kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from instructor_embedding.errors import InputError, ModelNotFoundError
from instructor_embedding.extras import need
from instructor_embedding.instruction import Pair
from instructor_embedding.instructor import INSTRUCTOR
from instructor_embedding.model.config import MODEL_TYPES
from instructor_embedding.model.folder.json_file import read_json
from instructor_embedding.model.packed import Float32

Encode = Callable[[Sequence[Pair]], Float32]
_CHUNK = 2048
_SAMPLE = 50_000  # vectors that the principal axes are found on


class Teacher:
    """The vectors of one teacher in a folder: texts are looked up by a hash, and only new ones are computed.

    Use `fill` to compute, `add` to put in vectors that you have, and `vectors` to read. Vectors are kept with length 1
    in float16. An interrupted `fill` goes on where it was.

    Parameters
    ----------
    folder : path
        Created if missing.
    name : str
        What made the vectors; a folder holds those of one teacher alone.
    instructions : bool
        The teacher sees the instruction too; otherwise the text alone.

    Raises
    ------
    InputError
        The folder holds another teacher's vectors.
    """

    def __init__(self, folder: str | Path, name: str, instructions: bool = False) -> None:
        self.folder = Path(folder)
        self.instructions = instructions
        self.folder.mkdir(parents=True, exist_ok=True)
        about = {"teacher": name, "instructions": instructions}
        file = self.folder / "teacher.json"
        if file.is_file():
            found = json.loads(file.read_text(encoding="utf-8"))
            if {key: found.get(key) for key in about} != about:
                raise InputError(f"{self.folder} holds vectors of {found}, not of {about}; use another teacher_cache")
        else:
            file.write_text(json.dumps(about) + "\n", encoding="utf-8")
        self._axes: Float32 | None = None
        self._open()

    @staticmethod
    def told_by(folder: Path) -> tuple[str, bool]:
        """Return the name of the teacher whose vectors a folder holds, and whether it saw instructions.

        Raises
        ------
        InputError
            The folder holds no vectors.
        """
        file = folder / "teacher.json"
        if not file.is_file():
            raise InputError(f"teacher_cache: {folder} holds no vectors; pass teacher, or the folder of a filled cache")
        found = json.loads(file.read_text(encoding="utf-8"))
        return found["teacher"], found["instructions"]

    def _open(self) -> None:
        """Map what is on disk; a vector that was cut off by an interruption is left out."""
        keys, rows = self.folder / "keys.u64", self.folder / "vectors.f16"
        shape = self.folder / "dimension"
        count = keys.stat().st_size // 8 if keys.is_file() else 0
        self.dimension = int(shape.read_text()) if shape.is_file() else 0
        if self.dimension and rows.is_file():
            count = min(count, rows.stat().st_size // (2 * self.dimension))
        stored = np.fromfile(keys, np.uint64, count) if count else np.empty(0, np.uint64)
        self._written = count  # what is behind these was cut off and is written anew
        self._order = np.argsort(stored, kind="stable")
        self._keys = stored[self._order]
        self._rows: NDArray[np.float16] = (
            np.memmap(rows, np.float16, "r", shape=(count, self.dimension)) if count else np.empty((0, 0), np.float16)
        )

    def __len__(self) -> int:
        """Return the number of vectors."""
        return len(self._keys)

    def fill(self, pairs: Iterable[Pair], encode: Callable[[], Encode], progress: bool = True) -> int:
        """Compute the vectors of texts that have none yet; `encode` gives the encoder, if it is needed.

        Returns the number of vectors computed.
        """
        encoder: Encode | None = None
        done = 0
        for part in _parts(tqdm(pairs, desc="teacher", unit=" texts", disable=not progress, leave=False), 16 * _CHUNK):
            new = self._missing(part)
            for first in range(0, len(new), _CHUNK):
                encoder = encoder or encode()
                chosen = new[first : first + _CHUNK]
                self._append(chosen, encoder(chosen))
                done += len(chosen)
            if new:
                self._open()
        return done

    def add(self, pairs: Sequence[Pair], vectors: Float32) -> None:
        """Put in vectors that you have, float32 of shape (n, d), row i of text i; known texts are skipped.

        Raises
        ------
        InputError
            The shapes do not fit.
        """
        if vectors.ndim != 2 or len(vectors) != len(pairs):
            raise InputError(f"{len(pairs)} texts need vectors of shape ({len(pairs)}, d), got {vectors.shape}")
        place = {self._key(pair): number for number, pair in enumerate(pairs)}
        new = self._missing(pairs)
        self._append(new, np.asarray(vectors, np.float32)[[place[self._key(pair)] for pair in new]])
        self._open()

    def vectors(self, pairs: Sequence[Pair]) -> Float32:
        """Return the vectors of texts, float32 of shape (n, d), each of length 1.

        Raises
        ------
        InputError
            A text has no vector.
        """
        places, known = self._places(pairs)
        if not known.all():
            lost = pairs[int(np.flatnonzero(~known)[0])].text
            raise InputError(f"{self.folder} holds no vector of {lost[:60]!r} (and of {int((~known).sum())} in all)")
        rows = np.asarray(self._rows[places], np.float32)
        if self._axes is not None:
            rows = rows @ self._axes
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        return rows

    def reduce(self, dimension: int) -> None:
        """Give vectors of fewer dimensions from now on, those of the principal axes (uncentered, so cosines stay)."""
        if dimension < self.dimension:
            sample = np.asarray(self._rows[:: max(1, len(self) // _SAMPLE)], np.float32)
            _, axes = np.linalg.eigh(sample.T @ sample)
            self._axes = np.ascontiguousarray(axes[:, ::-1][:, :dimension])

    def _append(self, pairs: Sequence[Pair], vectors: Float32) -> None:
        if not len(pairs):
            return
        if not self.dimension:
            self.dimension = vectors.shape[1]
            (self.folder / "dimension").write_text(str(self.dimension))
        if vectors.shape[1] != self.dimension:
            raise InputError(f"{self.folder} holds vectors of {self.dimension} dimensions, not of {vectors.shape[1]}")
        rows = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        count = self._written
        for name, content in (("vectors.f16", rows.astype(np.float16)), ("keys.u64", self._hash(pairs))):
            with open(self.folder / name, "r+b" if (self.folder / name).is_file() else "wb") as file:
                file.seek(count * content.itemsize * (content.shape[1] if content.ndim == 2 else 1))
                file.truncate()
                file.write(content.tobytes())
        self._written = count + len(pairs)

    def _missing(self, pairs: Iterable[Pair]) -> list[Pair]:
        """Return the texts without a vector, each once."""
        distinct = list({self._key(pair): pair for pair in pairs}.values())
        _, known = self._places(distinct)
        return [pair for pair, there in zip(distinct, known, strict=True) if not there]

    def _places(self, pairs: Sequence[Pair]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        wanted = self._hash(pairs)
        if not len(self._keys):
            return np.zeros(len(pairs), np.intp), np.zeros(len(pairs), np.bool_)
        near = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        return self._order[near], self._keys[near] == wanted

    def _hash(self, pairs: Sequence[Pair]) -> NDArray[np.uint64]:
        digests = (hashlib.blake2b(self._key(pair), digest_size=8).digest() for pair in pairs)
        return np.frombuffer(b"".join(digests), np.uint64)

    def _key(self, pair: Pair) -> bytes:
        return (f"{pair.instruction}\0{pair.text}" if self.instructions else pair.text).encode()


def sees_instructions(teacher: str, cache: str | None = None) -> bool:
    """Tell whether a teacher was made to read instructions: whether its files are those of a T5 embedder."""
    path = Path(teacher).expanduser() / "config.json"
    if not path.parent.is_dir():
        import huggingface_hub

        try:
            name = teacher if "/" in teacher else f"sentence-transformers/{teacher}"
            path = Path(huggingface_hub.hf_hub_download(name, "config.json", cache_dir=cache))
        except Exception as error:
            raise ModelNotFoundError(f"teacher: there is no folder {teacher!r}, and no such model: {error}") from None
    return path.is_file() and read_json(path).get("model_type") in MODEL_TYPES


def encoder_of(teacher: str, device: str, instructions: bool, cache: str | None = None) -> Encode:
    """Load a teacher: a folder or hub id of a T5 embedder or, with that library, a sentence-transformers model."""
    if sees_instructions(teacher, cache):
        model = INSTRUCTOR(teacher, device=device, cache_folder=cache)

        def own(pairs: Sequence[Pair]) -> Float32:
            seen = pairs if instructions else [Pair("", pair.text) for pair in pairs]
            vectors: Float32 = model.encode(seen, truncate="quiet")
            return vectors

        return own
    library = need("sentence_transformers", f"the teacher {teacher}")
    other = library.SentenceTransformer(teacher, device=device, cache_folder=cache)

    def theirs(pairs: Sequence[Pair]) -> Float32:
        texts = [pair.instruction + pair.text if instructions else pair.text for pair in pairs]
        return np.asarray(other.encode(texts, show_progress_bar=False), np.float32)

    return theirs


def _parts(items: Iterable[Pair], size: int) -> Iterator[list[Pair]]:
    source = iter(items)
    while part := list(islice(source, size)):
        yield part
