"""Shards of parquet, searched exactly or through candidates: their signs, with pyarrow and numpy alone, or a graph.

The folder is appended to, never changed: rows are not replaced or deleted. For the search the vectors are copied into
``.vectors.npy``, which is memory-mapped; it is derived from the shards and made again when they change.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from instructor_embedding import vectors as vector_math
from instructor_embedding.errors import InputError, InstructorError
from instructor_embedding.extras import need
from instructor_embedding.files import manifest as manifests
from instructor_embedding.files import shards
from instructor_embedding.files.atomic import replacing
from instructor_embedding.files.lock import locked
from instructor_embedding.files.manifest import Manifest
from instructor_embedding.files.shards import CALIBRATION, Batch
from instructor_embedding.index.filters import Condition, to_arrow
from instructor_embedding.index.store import Float32, Match
from instructor_embedding.index.stores.candidates import Candidates, Signs
from instructor_embedding.quantization.codes import PRECISIONS, VectorQuantizer

_WAY_OUT = (
    "build the index again with a store that changes rows: instructor-embed index build FILE -o NEW --store lancedb"
)


class ParquetStore:
    """A folder of shards; see `files.shards`.

    Parameters
    ----------
    location : str
        The folder.
    name : str
        Of the store, ``"parquet"`` or ``"usearch"``.
    candidates : callable
        Makes the approximate index of a field.
    """

    def __init__(self, location: str, name: str = "parquet", candidates: Callable[[], Candidates] = Signs) -> None:
        self.location, self.name = location, name
        self.folder = Path(location)
        self._manifest: Manifest | None = None
        self._known: dict[str, int] | None = None
        self._vectors: dict[tuple[str, int], NDArray[np.float32]] = {}
        self._new_candidates = candidates
        self._candidates: dict[str, Candidates] = {}
        self._columns: tuple[int, Any] = (-1, None)
        self._lock: IO[bytes] | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def read_manifest(self) -> Manifest | None:
        """See `Store`."""
        self._manifest = manifests.read(self.folder) if manifests.exists(self.folder) else None
        return self._manifest

    def create(self, manifest: Manifest) -> None:
        """See `Store`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write_manifest(manifest)

    def write_manifest(self, manifest: Manifest) -> None:
        """See `Store`."""
        manifests.write(self.folder, manifest)
        self._manifest = manifest

    @property
    def manifest(self) -> Manifest:
        """The manifest that was last read or written."""
        manifest = self._manifest or self.read_manifest()
        if manifest is None:
            raise InputError(f"{self.location} is not an index")
        return manifest

    def count(self) -> int:
        """See `Store`."""
        parquet = need("pyarrow.parquet", "an index")
        return sum(parquet.read_metadata(self.folder / name).num_rows for name in self.manifest.shards)

    def digests(self, ids: Sequence[str]) -> dict[str, int]:
        """See `Store`; ids and digests are read into memory once."""
        if self._known is None:
            self._known = {}
            for batch in shards.read(self.folder, self.manifest, ["id", "digest"]):
                self._known.update(zip(batch.column("id").to_pylist(), batch.column("digest").to_pylist(), strict=True))
        return {name: self._known[name] for name in ids if name in self._known}

    def upsert(self, batch: Batch) -> None:
        """See `Store`; ids that are stored are an error."""
        if self.manifest.storage != "float32":
            raise InputError(f"{self.location} stores its vectors as {self.manifest.storage}; {_WAY_OUT}")
        self._locked()
        if known := self.digests(batch.ids):
            raise InputError(
                f"the row {next(iter(known))!r} is stored with another text or payload, and shards of parquet are not "
                f"changed; {_WAY_OUT}"
            )
        self._manifest = shards.append(self.folder, self.manifest, batch)
        assert self._known is not None
        self._known.update(zip(batch.ids, batch.digests.tolist(), strict=True))

    def delete(self, ids: Sequence[str] | None, where: Condition | None) -> int:
        """Raise InputError: shards are not changed."""
        raise InputError(f"{self.location}: rows of parquet shards are not deleted; {_WAY_OUT}")

    def add_field(self, manifest: Manifest, name: str) -> None:
        """Raise InputError: shards are not changed."""
        raise InputError(f"{self.location}: parquet shards get no further field; {_WAY_OUT}")

    def without_vector(self, field: str, size: int) -> Iterator[tuple[list[str], list[str]]]:
        """Yield nothing: every row has its vectors."""
        return iter(())

    def set_vectors(self, field: str, ids: Sequence[str], vectors: Float32) -> None:
        """Raise InputError: shards are not changed."""
        raise InputError(f"{self.location}: parquet shards get no further field; {_WAY_OUT}")

    def nearest(self, field: str, query: Float32, k: int, where: Condition | None, approximate: bool) -> list[Match]:
        """See `Store`; the approximate search rescores candidates."""
        manifest = self.manifest
        rows = self._mapped(manifest, field)
        chosen = None if where is None else self._matching(manifest, where)
        candidates = self._candidates_of(field)
        size = k * candidates.per_result
        if approximate and chosen is None and len(rows) > size:
            chosen = candidates.near(rows, query, size)
        if chosen is not None:
            scores, index = vector_math.nearest(query[None], np.asarray(rows[chosen]), k)
            index = chosen[index[0]]
        else:
            scores, best = vector_math.nearest(query[None], rows, k)
            index = best[0]
        return self._matches(manifest, index, scores[0])

    def full_text(self, query: str, k: int, where: Condition | None) -> list[Match]:
        """Raise InputError: there is no index of words."""
        raise InputError(f"{self.location}: parquet shards have no full text index; {_WAY_OUT}")

    def optimize(self, approximate: bool) -> None:
        """Write the memory-mapped copy of the vectors; with `approximate`, make the candidates of this process."""
        for field in self.manifest.fields:
            rows = self._mapped(self.manifest, field)
            if approximate and len(rows):
                self._candidates_of(field).near(rows, np.asarray(rows[0]), 1)

    @property
    def has_approximate(self) -> bool:
        """True: it is made when it is first used."""
        return True

    def close(self) -> None:
        """Drop the maps, and let other processes add rows."""
        self._vectors.clear()
        self._candidates.clear()
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def _candidates_of(self, field: str) -> Candidates:
        if field not in self._candidates:
            self._candidates[field] = self._new_candidates()
        return self._candidates[field]

    def _locked(self) -> None:
        """Keep other processes from adding, for the manifest names the shards of one writer."""
        if self._lock is not None:
            return
        message = f"another process adds rows to {self.location}; wait, or name another folder"
        self._lock = locked(self.folder, message)
        # another process may have added shards before
        self._known = None
        self.read_manifest()

    def _mapped(self, manifest: Manifest, field: str) -> NDArray[np.float32]:
        """Return all vectors of a field, memory-mapped from a copy that is written if it is missing or old."""
        key = (field, len(manifest.shards))
        if key not in self._vectors:
            name = f".{field}.{key[1]}.npy"
            path = self.folder / name
            if not path.exists():
                path = self._copied(manifest, field, name)
            self._vectors = {other: rows for other, rows in self._vectors.items() if other[0] != field}
            self._vectors[key] = np.load(path, mmap_mode="r")
        return self._vectors[key]

    def _copied(self, manifest: Manifest, field: str, name: str) -> Path:
        """Write the vectors of a field as one file, here or, where nothing can be written, in a temporary folder."""
        for old in self.folder.glob(f".{field}.*.npy"):
            old.unlink(missing_ok=True)
        try:
            return self._copy(manifest, field, self.folder / name)
        except InstructorError:
            self._scratch = self._scratch or tempfile.TemporaryDirectory(prefix="instructor-embed-")
            return self._copy(manifest, field, Path(self._scratch.name) / name)

    def _copy(self, manifest: Manifest, field: str, path: Path) -> Path:
        header = {"descr": "<f4", "fortran_order": False, "shape": (self.count(), manifest.dimension)}
        with replacing(path) as file:
            np.lib.format.write_array_header_1_0(file, header)
            codes = VectorQuantizer.load(self.folder / CALIBRATION) if manifest.storage in PRECISIONS else None
            for batch in shards.read(self.folder, manifest, [field]):
                rows = shards.vectors_of(batch, field)
                file.write(np.ascontiguousarray(codes.decode(rows) if codes else rows, "<f4").tobytes())
        return path

    def _table(self, manifest: Manifest) -> Any:
        """Return ids, texts and payload of all rows as a pyarrow table, read once."""
        if self._columns[0] != len(manifest.shards):
            arrow = need("pyarrow", "an index")
            names = ["id", "text", *manifest.columns]
            schema = arrow.schema([shards.arrow_schema(manifest).field(name) for name in names])
            table = arrow.Table.from_batches(shards.read(self.folder, manifest, names), schema=schema)
            self._columns = (len(manifest.shards), table)
        return self._columns[1]

    def _matching(self, manifest: Manifest, where: Condition) -> NDArray[np.int64]:
        arrow = need("pyarrow", "filters")
        table = self._table(manifest)
        numbered = table.append_column("__row", arrow.array(np.arange(len(table))))
        rows: NDArray[np.int64] = numbered.filter(to_arrow(where)).column("__row").to_numpy()
        return rows

    def _matches(self, manifest: Manifest, index: NDArray[np.int64], scores: Float32) -> list[Match]:
        rows = self._table(manifest).take(index).to_pylist()
        pairs = zip(rows, scores.tolist(), strict=True)
        return [Match(row.pop("id"), score, row.pop("text"), row) for row, score in pairs]
