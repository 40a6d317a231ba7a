"""Qdrant in this process: a shard of Qdrant Edge in a folder, beside the manifest."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from instructor_embedding.extras import need
from instructor_embedding.files import manifest as manifests
from instructor_embedding.files.manifest import Manifest
from instructor_embedding.files.shards import Batch
from instructor_embedding.index.filters import Condition
from instructor_embedding.index.store import Float32, Match
from instructor_embedding.index.stores import qdrant_points as points

_SHARD = "shard"
_GRAPH = (24, 200, 10_000)  # links, candidates when building, kilobytes of vectors below which all are compared


class QdrantEdgeStore:
    """A folder with a shard of Qdrant Edge; one process at a time.

    Parameters
    ----------
    location : str
        The folder.
    """

    name = "qdrant"

    def __init__(self, location: str) -> None:
        self.location = location
        self.folder = Path(location)
        self._edge: Any = need("qdrant_edge", "an index in Qdrant")
        self._opened: Any = None
        self._filters = points.FilterWriter(self._edge, self._edge.RangeFloat, self._edge.IsEmptyCondition)

    def read_manifest(self) -> Manifest | None:
        """See `Store`."""
        return manifests.read(self.folder) if manifests.exists(self.folder) else None

    def create(self, manifest: Manifest) -> None:
        """See `Store`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / _SHARD
        shutil.rmtree(path, ignore_errors=True)  # without a manifest: left by a process that was killed
        path.mkdir()
        edge = self._edge
        vectors = {name: edge.EdgeVectorParams(manifest.dimension, edge.Distance.Cosine) for name in manifest.fields}
        config = edge.EdgeConfig(vectors=vectors, hnsw_config=edge.HnswIndexConfig(*_GRAPH))
        self._opened = edge.EdgeShard.create(str(path), config)
        self.write_manifest(manifest)

    def write_manifest(self, manifest: Manifest) -> None:
        """See `Store`."""
        manifests.write(self.folder, manifest)

    @property
    def shard(self) -> Any:
        """The shard, opened."""
        if self._opened is None:
            self._opened = self._edge.EdgeShard.load(str(self.folder / _SHARD))
        return self._opened

    def count(self) -> int:
        """See `Store`."""
        return int(self.shard.count(self._edge.CountRequest(exact=True)))

    def digests(self, ids: Sequence[str]) -> dict[str, int]:
        """See `Store`."""
        rows = self.shard.retrieve([points.point_id(name) for name in ids], True, False)
        return dict(points.id_and_digest(row.payload) for row in rows)

    def upsert(self, batch: Batch) -> None:
        """See `Store`."""
        columns = list(batch.payload)
        rows = []
        for number, (name, text) in enumerate(zip(batch.ids, batch.texts, strict=True)):
            payload = {column: batch.payload[column][number] for column in columns}
            content = points.payload_of(name, text, int(batch.digests[number]), payload)
            vectors = {field: values[number].tolist() for field, values in batch.vectors.items()}
            rows.append(self._edge.Point(points.point_id(name), vectors, content))
        self.shard.update(self._edge.UpdateOperation.upsert_points(rows))
        self.shard.flush()

    def delete(self, ids: Sequence[str] | None, where: Condition | None) -> int:
        """See `Store`."""
        before, edge = self.count(), self._edge
        if ids is not None and where is not None:
            chosen = edge.Filter(
                must=[
                    edge.Filter(should=[edge.FieldCondition("_id", edge.MatchValue(name)) for name in ids]),
                    self._filters.write(where),
                ]
            )
            operation = edge.UpdateOperation.delete_points_by_filter(chosen)
        elif where is not None:
            operation = edge.UpdateOperation.delete_points_by_filter(self._filters.write(where))
        else:
            operation = edge.UpdateOperation.delete_points([points.point_id(name) for name in ids or ()])
        self.shard.update(operation)
        self.shard.flush()
        return before - self.count()

    def add_field(self, manifest: Manifest, name: str) -> None:
        """See `Store`."""
        edge = self._edge
        operation = edge.UpdateOperation.create_dense_vector(name, manifest.dimension, edge.Distance.Cosine)
        self.shard.update(operation)
        self.shard.flush()
        self.write_manifest(manifest)

    def without_vector(self, field: str, size: int) -> Iterator[tuple[list[str], list[str]]]:
        """See `Store`."""
        edge = self._edge
        lacking = edge.Filter(must_not=[edge.HasVectorCondition(field)])
        while True:
            rows, _ = self.shard.scroll(edge.ScrollRequest(limit=size, filter=lacking, with_payload=True))
            if not rows:
                return
            pairs = [points.id_and_text(row.payload) for row in rows]
            yield [name for name, _ in pairs], [text for _, text in pairs]

    def set_vectors(self, field: str, ids: Sequence[str], vectors: Float32) -> None:
        """See `Store`."""
        edge = self._edge
        rows = [
            edge.PointVectors(points.point_id(name), {field: vector.tolist()})
            for name, vector in zip(ids, vectors, strict=True)
        ]
        self.shard.update(edge.UpdateOperation.update_vectors(rows))
        self.shard.flush()

    def nearest(self, field: str, query: Float32, k: int, where: Condition | None, approximate: bool) -> list[Match]:
        """See `Store`."""
        edge = self._edge
        parameters = edge.SearchParams(hnsw_ef=max(200, 4 * k)) if approximate else edge.SearchParams(exact=True)
        request = edge.QueryRequest(
            limit=k,
            query=edge.Query.Nearest(query.tolist(), using=field),
            filter=None if where is None else self._filters.write(where),
            params=parameters,
            with_payload=True,
        )
        columns = list(manifests.read(self.folder).columns)
        return [points.match_of(row.payload, row.score, columns) for row in self.shard.query(request)]

    def full_text(self, query: str, k: int, where: Condition | None) -> list[Match]:
        """Raise InputError: texts are matched there, but not ranked."""
        raise points.without_full_text(self.location)

    def optimize(self, approximate: bool) -> None:
        """See `Store`: Qdrant makes its graphs from a size on."""
        self.shard.optimize()
        self.shard.flush()

    @property
    def has_approximate(self) -> bool:
        """True: small collections are compared entirely, large ones have graphs."""
        return True

    def close(self) -> None:
        """Close the shard."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None
