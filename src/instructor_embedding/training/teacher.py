"""A teacher's vectors for distillation: computed once by an encoder of any library, stored on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from instructor_embedding import encoders
from instructor_embedding.errors import InputError
from instructor_embedding.instruction import Pair
from instructor_embedding.store import VectorStore
from instructor_embedding.training.settings import DistillationSettings
from instructor_embedding.vectors import Float32, unit

_SAMPLE = 50_000  # vectors that the principal axes are computed from
_READS = " with instructions"  # ends the fingerprint of a store whose teacher read them


class Teacher:
    """The vectors of one teacher: looked up by text, of unit norm, of as many dimensions as the student has.

    Parameters
    ----------
    store : VectorStore
        Holds a vector of every text that will be requested.
    """

    def __init__(self, store: VectorStore) -> None:
        self.store = store
        self.instructions = store.fingerprint.endswith(_READS)
        self._axes: Float32 | None = None

    @property
    def dimension(self) -> int:
        """Dimensions of the vectors."""
        return self.store.dimension if self._axes is None else self._axes.shape[1]

    def vectors(self, pairs: Sequence[Pair]) -> Float32:
        """Return the vectors of texts, float32 of shape (n, d), of unit norm.

        Raises
        ------
        InputError
            A text has no vector.
        """
        stored = self.store.get(_seen(pairs, self.instructions))
        rows: Float32 = unit(stored if self._axes is None else stored @ self._axes)
        return rows

    def reduce(self, dimension: int) -> None:
        """Use the first principal axes alone from here on (uncentered, so that cosines are preserved best)."""
        if dimension < self.dimension:
            stored = self.store.vectors
            sample = np.asarray(stored[:: max(1, len(stored) // _SAMPLE)], np.float32)
            _, axes = np.linalg.eigh(sample.T @ sample)
            self._axes = np.ascontiguousarray(axes[:, ::-1][:, :dimension])


def fill(
    settings: DistillationSettings, folder: Path, pairs: Iterable[Pair], device: str, cache_folder: str | None = None
) -> None:
    """Compute the teacher's vectors of all texts that have none in `folder`.

    Without a teacher's name the folder must have them all.

    Raises
    ------
    InputError
        The folder holds the vectors of another teacher, or none and no teacher is named.
    ModelNotFoundError
        There is no such teacher.
    """
    if settings.teacher is None:
        if not (folder / "store.json").is_file():
            raise InputError(f"teacher_cache: {folder} holds no vectors; pass teacher, or the folder of a filled cache")
        return
    encoder = encoders.load(settings.teacher, device=device, cache_folder=cache_folder)
    reads = encoder.instructed if settings.teacher_instructions is None else settings.teacher_instructions
    store = _store(folder, encoder.fingerprint + _READS * reads)

    def encode(texts: list[Pair]) -> Float32:
        vectors: Float32 = unit(encoder.encode(texts))
        return vectors

    with store, tqdm(desc="teacher", unit=" texts", leave=False, disable=None) as bar:
        store.fill((_blind(pair, reads) for pair in pairs), encode, advance=bar.update)


def opened(folder: Path) -> Teacher:
    """Return the teacher of a folder of vectors."""
    return Teacher(_store(folder, str(VectorStore.about(folder)["fingerprint"])))


def _store(folder: Path, fingerprint: str) -> VectorStore:
    try:
        return VectorStore(folder, fingerprint, "float16")
    except InputError as error:
        raise InputError(f"teacher_cache: {error}") from None


def _seen(pairs: Sequence[Pair], instructions: bool) -> list[Pair]:
    return [_blind(pair, instructions) for pair in pairs]


def _blind(pair: Pair, instructions: bool) -> Pair:
    """Return what the teacher sees of a text."""
    return pair if instructions else Pair("", pair.text)
