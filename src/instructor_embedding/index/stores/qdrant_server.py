"""A Qdrant server: a collection of points per index, and one collection for the manifests of all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from instructor_embedding.errors import InputError
from instructor_embedding.extras import need
from instructor_embedding.files import manifest as manifests
from instructor_embedding.files.manifest import Manifest
from instructor_embedding.files.shards import Batch
from instructor_embedding.index.filters import Condition
from instructor_embedding.index.store import Float32, Match, StoreError
from instructor_embedding.index.stores import qdrant_points as points

_MANIFESTS = "instructor_indexes"
_PORT = 6333
_CHUNK = 512  # points of a request: a server refuses bodies over 32 MB
_KINDS = {"text": "keyword", "int": "integer", "float": "float", "bool": "bool"}


def connect(address: str) -> Any:
    """Return a client of ``qdrant://host:port``, over TLS of ``qdrants://``; the key is read from QDRANT_API_KEY.

    Raises
    ------
    InputError
        The address has no host.
    MissingExtraError
        qdrant-client is not installed.
    """
    library = need("qdrant_client", "an index on a Qdrant server")
    parsed = urlsplit(address)
    if not parsed.hostname:
        raise InputError(f"{address} has no host; write qdrant://HOST:{_PORT}#NAME")
    scheme = "https" if parsed.scheme == "qdrants" else "http"
    url = f"{scheme}://{parsed.hostname}:{parsed.port or _PORT}"
    key = os.environ.get("QDRANT_API_KEY")
    return library.QdrantClient(url=url, api_key=key, timeout=60, check_compatibility=False)


class QdrantServerStore:
    """A collection of a Qdrant server.

    A batch is sent in several requests, so that a process that is killed may leave the first rows of a batch; the same
    command completes it.

    Parameters
    ----------
    client : qdrant_client.QdrantClient
    address, collection : str
        Of the server, and the name of the index.

    Raises
    ------
    StoreError
        The server cannot be reached or refuses.
    """

    name = "qdrant-server"

    def __init__(self, client: Any, address: str, collection: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,200}", collection) or collection == _MANIFESTS:
            raise InputError(f"the index of {address} is named {collection!r}; use letters, digits, _ and -")
        self.location, self.collection = f"{address}#{collection}", collection
        self._client = client
        self._models: Any = need("qdrant_client.models", "an index on a Qdrant server")
        self._filters = points.FilterWriter(self._models, self._models.Range, self._missing)
        self._point = points.point_id(collection)

    def read_manifest(self) -> Manifest | None:
        """See `Store`."""
        if not self._run("collection_exists", _MANIFESTS):
            return None
        rows = self._run("retrieve", _MANIFESTS, [self._point], with_payload=True)
        return manifests.parse(rows[0].payload["manifest"], self.location) if rows else None

    def create(self, manifest: Manifest) -> None:
        """See `Store`."""
        models = self._models
        if self._run("collection_exists", self.collection):  # without a manifest: left by a process that was killed
            self._run("delete_collection", self.collection)
        size, distance = manifest.dimension, models.Distance.COSINE
        vectors = {name: models.VectorParams(size=size, distance=distance) for name in manifest.fields}
        self._run("create_collection", self.collection, vectors_config=vectors)
        for column, kind in manifest.columns.items():
            self._run("create_payload_index", self.collection, column, field_schema=_KINDS[kind])
        self.write_manifest(manifest)

    def write_manifest(self, manifest: Manifest) -> None:
        """See `Store`."""
        models = self._models
        if not self._run("collection_exists", _MANIFESTS):
            vectors = models.VectorParams(size=1, distance=models.Distance.DOT)
            self._run("create_collection", _MANIFESTS, vectors_config=vectors)
        payload = {"name": self.collection, "manifest": manifest.to_json()}
        point = models.PointStruct(id=self._point, vector=[0.0], payload=payload)
        self._run("upsert", _MANIFESTS, [point], wait=True)

    def count(self) -> int:
        """See `Store`."""
        return int(self._run("count", self.collection, exact=True).count)

    def digests(self, ids: Sequence[str]) -> dict[str, int]:
        """See `Store`."""
        digests: dict[str, int] = {}
        for at in range(0, len(ids), _CHUNK):
            chunk = [points.point_id(name) for name in ids[at : at + _CHUNK]]
            rows = self._run("retrieve", self.collection, chunk, with_payload=[points.ID, points.DIGEST])
            digests.update(points.id_and_digest(row.payload) for row in rows)
        return digests

    def upsert(self, batch: Batch) -> None:
        """See `Store`."""
        for at in range(0, len(batch), _CHUNK):
            rows = []
            for number in range(at, min(at + _CHUNK, len(batch))):
                values = {column: batch.payload[column][number] for column in batch.payload}
                name, digest = batch.ids[number], int(batch.digests[number])
                content = points.payload_of(name, batch.texts[number], digest, values)
                vectors = {field: vectors[number].tolist() for field, vectors in batch.vectors.items()}
                rows.append(self._models.PointStruct(id=points.point_id(name), vector=vectors, payload=content))
            self._run("upsert", self.collection, rows, wait=True)

    def delete(self, ids: Sequence[str] | None, where: Condition | None) -> int:
        """See `Store`."""
        models, before = self._models, self.count()
        conditions = [] if where is None else [self._filters.write(where)]
        if ids is not None:
            conditions.append(models.HasIdCondition(has_id=[points.point_id(name) for name in ids]))
        selected = models.FilterSelector(filter=models.Filter(must=conditions))
        self._run("delete", self.collection, selected, wait=True)
        return before - self.count()

    def add_field(self, manifest: Manifest, name: str) -> None:
        """See `Store`."""
        if name not in self._run("get_collection", self.collection).config.params.vectors:
            models = self._models
            dense = models.DenseVectorConfig(size=manifest.dimension, distance=models.Distance.COSINE)
            self._run("create_vector_name", self.collection, name, models.DenseVectorNameConfig(dense=dense))
        self.write_manifest(manifest)

    def without_vector(self, field: str, size: int) -> Iterator[tuple[list[str], list[str]]]:
        """See `Store`."""
        lacking = self._models.Filter(must_not=[self._models.HasVectorCondition(has_vector=field)])
        while True:
            rows, _ = self._run("scroll", self.collection, scroll_filter=lacking, limit=size, with_payload=True)
            if not rows:
                return
            pairs = [points.id_and_text(row.payload) for row in rows]
            yield [name for name, _ in pairs], [text for _, text in pairs]

    def set_vectors(self, field: str, ids: Sequence[str], vectors: Float32) -> None:
        """See `Store`."""
        for at in range(0, len(ids), _CHUNK):
            pairs = zip(ids[at : at + _CHUNK], vectors[at : at + _CHUNK], strict=True)
            rows = [
                self._models.PointVectors(id=points.point_id(name), vector={field: vector.tolist()})
                for name, vector in pairs
            ]
            self._run("update_vectors", self.collection, rows, wait=True)

    def nearest(self, field: str, query: Float32, k: int, where: Condition | None, approximate: bool) -> list[Match]:
        """See `Store`."""
        parameters = {"hnsw_ef": max(200, 4 * k)} if approximate else {"exact": True}
        answer = self._run(
            "query_points",
            self.collection,
            query=query.tolist(),
            using=field,
            query_filter=None if where is None else self._models.Filter(must=[self._filters.write(where)]),
            search_params=self._models.SearchParams(**parameters),
            limit=k,
            with_payload=True,
        )
        manifest = self.read_manifest()
        columns = list(manifest.columns) if manifest else []
        return [points.match_of(row.payload, row.score, columns) for row in answer.points]

    def full_text(self, query: str, k: int, where: Condition | None) -> list[Match]:
        """Raise InputError: texts are matched there, but not ranked."""
        raise points.without_full_text(self.location)

    def optimize(self, approximate: bool) -> None:
        """Do nothing: the server makes its graphs from a size on."""

    @property
    def has_approximate(self) -> bool:
        """True: small collections are compared entirely, large ones have graphs."""
        return True

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _missing(self, key: str) -> Any:
        return self._models.IsEmptyCondition(is_empty=self._models.PayloadField(key=key))

    def _run(self, method: str, *arguments: Any, **options: Any) -> Any:
        errors = need("qdrant_client.http.exceptions", "an index on a Qdrant server")
        try:
            return getattr(self._client, method)(*arguments, **options)
        except (errors.ResponseHandlingException, errors.UnexpectedResponse) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise StoreError(f"{self.location}: {reason}") from None
