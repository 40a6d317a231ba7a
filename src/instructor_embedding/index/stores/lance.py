"""LanceDB, the default: a folder whose table is versioned and crash-safe, with filters, full text and graphs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from instructor_embedding.errors import InputError
from instructor_embedding.extras import need
from instructor_embedding.files import manifest as manifests
from instructor_embedding.files.manifest import Manifest
from instructor_embedding.files.shards import Batch, arrow_schema, arrow_table, vector_array
from instructor_embedding.index.filters import Condition, to_sql
from instructor_embedding.index.store import Float32, Match

_TABLE = "rows"
_COMPACT = 32  # upserts after which small files are merged
_KEEP = timedelta(hours=1)  # a reader may hold a version that long
_WORDS = 10_000  # rows from which the full text index pays


class LanceStore:
    """A LanceDB table of rows in a folder, beside the manifest.

    Parameters
    ----------
    location : str
        The folder.
    """

    name = "lancedb"

    def __init__(self, location: str) -> None:
        self.location = location
        self.folder = Path(location)
        self._library: Any = need("lancedb", "an index that can be changed")
        self._database: Any = self._library.connect(location) if self.folder.is_dir() else None
        self._opened: Any = None
        self._upserts = 0

    def read_manifest(self) -> Manifest | None:
        """See `Store`."""
        return manifests.read(self.folder) if manifests.exists(self.folder) else None

    def create(self, manifest: Manifest) -> None:
        """See `Store`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # without a manifest there is no index: what is there was left by a process that was killed
        shutil.rmtree(self.folder / f"{_TABLE}.lance", ignore_errors=True)
        self._database = self._library.connect(self.location)
        self._opened = self._database.create_table(_TABLE, schema=arrow_schema(manifest))
        self.write_manifest(manifest)

    def write_manifest(self, manifest: Manifest) -> None:
        """See `Store`."""
        manifests.write(self.folder, manifest)

    @property
    def table(self) -> Any:
        """The table, at its latest version."""
        if self._opened is None:
            if self._database is None:
                raise InputError(f"{self.location} is not an index")
            self._opened = self._database.open_table(_TABLE)
        else:
            self._opened.checkout_latest()
        return self._opened

    def count(self) -> int:
        """See `Store`."""
        return int(self.table.count_rows())

    def digests(self, ids: Sequence[str]) -> dict[str, int]:
        """See `Store`."""
        table = self.table
        if not ids or not table.count_rows():
            return {}
        rows = table.search().where(_ids(ids)).select(["id", "digest"]).limit(len(ids)).to_arrow()
        return dict(zip(rows.column("id").to_pylist(), rows.column("digest").to_pylist(), strict=True))

    def upsert(self, batch: Batch) -> None:
        """See `Store`."""
        manifest = manifests.read(self.folder)
        merge = self.table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
        merge.execute(arrow_table(manifest, batch))
        self._upserts += 1
        if self._upserts % _COMPACT == 0:
            self.table.optimize(cleanup_older_than=_KEEP)

    def delete(self, ids: Sequence[str] | None, where: Condition | None) -> int:
        """See `Store`."""
        conditions = [_ids(ids)] if ids is not None else []
        conditions += [to_sql(where, _quoted)] if where is not None else []
        if not conditions or ids == []:
            return 0
        table = self.table
        before = int(table.count_rows())
        result = table.delete(" AND ".join(f"({condition})" for condition in conditions))
        return int(getattr(result, "num_deleted_rows", before - int(table.count_rows())))

    def add_field(self, manifest: Manifest, name: str) -> None:
        """See `Store`."""
        if name not in self.table.schema.names:  # a killed process may have made the column
            self.table.add_columns([arrow_schema(manifest).field(name)])
        self.write_manifest(manifest)

    def without_vector(self, field: str, size: int) -> Iterator[tuple[list[str], list[str]]]:
        """See `Store`."""
        while True:
            query = self.table.search().where(f"{_quoted(field)} IS NULL").select(["id", "text"]).limit(size)
            rows = query.to_arrow()
            if not len(rows):
                return
            yield rows.column("id").to_pylist(), rows.column("text").to_pylist()

    def set_vectors(self, field: str, ids: Sequence[str], vectors: Float32) -> None:
        """See `Store`."""
        arrow = need("pyarrow", "an index")
        rows = arrow.table([arrow.array(list(ids), arrow.string()), vector_array(vectors)], names=["id", field])
        self.table.merge_insert("id").when_matched_update_all().execute(rows)

    def nearest(self, field: str, query: Float32, k: int, where: Condition | None, approximate: bool) -> list[Match]:
        """See `Store`."""
        search = self.table.search(np.ascontiguousarray(query), vector_column_name=field).distance_type("cosine")
        # the graph compares 8-bit values: enough partitions, and the best rows compared again with all bits
        search = (
            search.nprobes(20).ef(max(200, 4 * k)).refine_factor(4) if approximate else search.bypass_vector_index()
        )
        if where is not None:
            search = search.where(to_sql(where, _quoted), prefilter=True)
        rows = search.select([*self._shown(), "_distance"]).limit(k).to_arrow().to_pylist()
        return [_match(row, 1 - row.pop("_distance")) for row in rows]

    def full_text(self, query: str, k: int, where: Condition | None) -> list[Match]:
        """See `Store`."""
        if not any(index.index_type == "FTS" for index in self.table.list_indices()):
            self._index_words()
        search = self.table.search(query, query_type="fts", fts_columns="text")
        if where is not None:
            search = search.where(to_sql(where, _quoted), prefilter=True)
        rows = search.select([*self._shown(), "_score"]).limit(k).to_arrow().to_pylist()
        return [_match(row, row.pop("_score")) for row in rows]

    def optimize(self, approximate: bool) -> None:
        """See `Store`."""
        table = self.table
        kinds = {index.columns[0]: index.index_type for index in table.list_indices()}
        rows = table.count_rows()
        if "id" not in kinds and rows >= _WORDS:
            table.create_scalar_index("id")
        if "text" not in kinds and rows >= _WORDS:
            self._index_words()
        fields = manifests.read(self.folder).fields if approximate else {}
        if fields and rows < 1000:
            raise InputError(
                f"{self.location} has {rows} rows; an approximate index is of use from 1000, search exactly"
            )
        for field in fields:
            if field not in kinds:
                partitions = max(1, rows // 20_000)
                options = {"num_partitions": partitions, "m": 24, "ef_construction": 200}
                table.create_index(
                    metric="cosine", vector_column_name=field, index_type="IVF_HNSW_SQ", replace=True, **options
                )
        table.optimize(cleanup_older_than=_KEEP)

    @property
    def has_approximate(self) -> bool:
        """See `Store`."""
        return any(index.index_type.startswith(("IVF", "Ivf")) for index in self.table.list_indices())

    def close(self) -> None:
        """Let go of the table."""
        self._opened = None

    def _shown(self) -> list[str]:
        return ["id", "text", *manifests.read(self.folder).columns]

    def _index_words(self) -> None:
        words = need("lancedb.index", "full text search").FTS()
        self.table.create_index("text", config=words, replace=True)


def _ids(ids: Sequence[str]) -> str:
    quoted = ", ".join("'" + name.replace("'", "''") + "'" for name in ids)
    return f"id IN ({quoted})"


def _quoted(column: str) -> str:
    return f"`{column}`"


def _match(row: dict[str, Any], score: float) -> Match:
    return Match(row.pop("id"), float(score), row.pop("text"), row)
