"""PostgreSQL with pgvector: a table of rows, the manifest in a table of its own, every batch one transaction."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from instructor_embedding.errors import InputError, InstructorError, in_one_line
from instructor_embedding.extras import need
from instructor_embedding.files import manifest as manifests
from instructor_embedding.files.manifest import Manifest
from instructor_embedding.files.shards import Batch
from instructor_embedding.index.filters import Condition, to_sql
from instructor_embedding.index.store import Float32, Match

_MANIFESTS = "instructor_indexes"
_KINDS = {"text": "text", "int": "bigint", "float": "double precision", "bool": "boolean"}
_CANDIDATES = 200  # of the graph, compared at least; pgvector's own 40 loses neighbors
_LONGEST = 2000  # dimensions that its graph can index


class StoreError(InstructorError, OSError):
    """A database refuses or cannot be reached."""

    def __str__(self) -> str:
        """Return the message."""
        return str(self.args[0]) if self.args else ""


class PostgresStore:
    """A table of a PostgreSQL database that has the extension ``vector``.

    Parameters
    ----------
    location : str
        ``postgresql://user@host/database``, as libpq reads it.
    table : str
        Name of the index.

    Raises
    ------
    StoreError
        The server cannot be reached, or the extension is not installed there.
    """

    name = "postgres"

    def __init__(self, location: str, table: str) -> None:
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,50}", table):
            raise InputError(f"the index of {location} is named {table!r}; use small letters, digits and _")
        self.location, self.table = f"{location}#{table}", table
        self._library: Any = need("psycopg", "an index in PostgreSQL")
        vector: Any = need("pgvector.psycopg", "an index in PostgreSQL")
        try:
            self._connection: Any = self._library.connect(location, autocommit=True)
            self._connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            self._connection.execute(
                f"CREATE TABLE IF NOT EXISTS {_MANIFESTS} (name text PRIMARY KEY, manifest text NOT NULL)"
            )
            vector.register_vector(self._connection)
        except self._library.Error as error:
            raise StoreError(f"{location}: {in_one_line(error)}") from None

    def read_manifest(self) -> Manifest | None:
        """See `Store`."""
        rows = self._rows(f"SELECT manifest FROM {_MANIFESTS} WHERE name = %s", [self.table])
        return manifests.parse(rows[0][0], self.location) if rows else None

    def create(self, manifest: Manifest) -> None:
        """See `Store`."""
        columns = ["id text PRIMARY KEY", "text text NOT NULL", "digest bigint NOT NULL"]
        columns += [f"{_quoted(name)} {_KINDS[kind]}" for name, kind in manifest.columns.items()]
        columns += [f"{_quoted(name)} vector({manifest.dimension})" for name in manifest.fields]
        with self._connection.transaction():
            self._run(f"DROP TABLE IF EXISTS {self.table}")
            self._run(f"CREATE TABLE {self.table} ({', '.join(columns)})")
            self.write_manifest(manifest)

    def write_manifest(self, manifest: Manifest) -> None:
        """See `Store`."""
        self._run(
            f"INSERT INTO {_MANIFESTS} VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET manifest = EXCLUDED.manifest",
            [self.table, manifest.to_json()],
        )

    def count(self) -> int:
        """See `Store`."""
        return int(self._rows(f"SELECT count(*) FROM {self.table}")[0][0])

    def digests(self, ids: Sequence[str]) -> dict[str, int]:
        """See `Store`."""
        return dict(self._rows(f"SELECT id, digest FROM {self.table} WHERE id = ANY(%s)", [list(ids)]))

    def upsert(self, batch: Batch) -> None:
        """See `Store`."""
        names = ["id", "text", "digest", *batch.payload, *batch.vectors]
        quoted = [_quoted(name) for name in names]
        changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in quoted[1:])
        columns: list[Any] = [batch.ids, batch.texts, batch.digests.tolist(), *batch.payload.values()]
        columns += list(batch.vectors.values())
        types = self._types(batch)
        with self._connection.transaction(), self._connection.cursor() as cursor:
            # a copy is several times faster than inserts; the draft is gone with the transaction
            self._run(f"CREATE TEMP TABLE draft (LIKE {self.table} INCLUDING DEFAULTS) ON COMMIT DROP")
            with cursor.copy(f"COPY draft ({', '.join(quoted)}) FROM STDIN WITH (FORMAT BINARY)") as copy:
                copy.set_types(types)
                for row in zip(*columns, strict=True):
                    copy.write_row(row)
            self._run(
                f"INSERT INTO {self.table} ({', '.join(quoted)}) SELECT {', '.join(quoted)} FROM draft "
                f"ON CONFLICT (id) DO UPDATE SET {changes}"
            )

    def delete(self, ids: Sequence[str] | None, where: Condition | None) -> int:
        """See `Store`."""
        conditions = ["id = ANY(%s)"] if ids is not None else []
        conditions += [_condition(where)] if where is not None else []
        parameters = [list(ids)] if ids is not None else []
        return int(self._run(f"DELETE FROM {self.table} WHERE {' AND '.join(conditions)}", parameters).rowcount)

    def add_field(self, manifest: Manifest, name: str) -> None:
        """See `Store`."""
        with self._connection.transaction():
            self._run(f"ALTER TABLE {self.table} ADD COLUMN IF NOT EXISTS {_quoted(name)} vector({manifest.dimension})")
            self.write_manifest(manifest)

    def without_vector(self, field: str, size: int) -> Iterator[tuple[list[str], list[str]]]:
        """See `Store`."""
        query = f"SELECT id, text FROM {self.table} WHERE {_quoted(field)} IS NULL LIMIT {size}"
        while rows := self._rows(query):
            yield [row[0] for row in rows], [row[1] for row in rows]

    def set_vectors(self, field: str, ids: Sequence[str], vectors: Float32) -> None:
        """See `Store`."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(
                f"UPDATE {self.table} SET {_quoted(field)} = %s WHERE id = %s",
                list(zip(vectors, ids, strict=True)),
            )

    def nearest(self, field: str, query: Float32, k: int, where: Condition | None, approximate: bool) -> list[Match]:
        """See `Store`."""
        condition = f"WHERE {_condition(where)}" if where is not None else ""
        columns = list(self._manifest().columns)
        distance = f"{_quoted(field)} <=> %s"
        with self._connection.transaction():
            if approximate:
                self._run(f"SET LOCAL hnsw.ef_search = {min(1000, max(_CANDIDATES, 4 * k))}")
                self._run("SET LOCAL hnsw.iterative_scan = strict_order")  # a filter must not leave fewer than k
            else:
                self._run("SET LOCAL enable_indexscan = off")
            rows = self._rows(
                f"SELECT {_shown(columns)}, 1 - ({distance}) FROM {self.table} {condition} "
                f"ORDER BY {distance} LIMIT {k}",
                [query, query],
            )
        return [_match(row, columns) for row in rows]

    def full_text(self, query: str, k: int, where: Condition | None) -> list[Match]:
        """See `Store`; a row matches if it has any word of the query."""
        columns = list(self._manifest().columns)
        condition = f" AND {_condition(where)}" if where is not None else ""
        words = "replace(plainto_tsquery('english', %s)::text, '&', '|')::tsquery"
        rows = self._rows(
            f"SELECT {_shown(columns)}, ts_rank_cd(to_tsvector('english', text), words, 2) AS score "
            f"FROM {self.table}, (SELECT {words} AS words) AS parsed "
            f"WHERE to_tsvector('english', text) @@ words{condition} ORDER BY score DESC, id LIMIT {k}",
            [query],
        )
        return [_match(row, columns) for row in rows]

    def optimize(self, approximate: bool) -> None:
        """See `Store`."""
        manifest = self._manifest()
        self._run(
            f"CREATE INDEX IF NOT EXISTS {self.table}_words ON {self.table} USING gin (to_tsvector('english', text))"
        )
        if approximate and manifest.dimension > _LONGEST:
            raise InputError(
                f"{self.location} has {manifest.dimension} dimensions, and pgvector's graph takes up to {_LONGEST}"
            )
        for field in manifest.fields if approximate else ():
            self._run(
                f"CREATE INDEX IF NOT EXISTS {self.table}_{field} ON {self.table} "
                f"USING hnsw ({_quoted(field)} vector_cosine_ops) WITH (m = 24, ef_construction = 128)"
            )
        self._run(f"ANALYZE {self.table}")

    @property
    def has_approximate(self) -> bool:
        """See `Store`."""
        query = "SELECT count(*) FROM pg_indexes WHERE tablename = %s AND indexdef LIKE '%%USING hnsw%%'"
        return bool(self._rows(query, [self.table])[0][0])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _manifest(self) -> Manifest:
        manifest = self.read_manifest()
        if manifest is None:
            raise InputError(f"{self.location} is not an index")
        return manifest

    def _types(self, batch: Batch) -> list[str]:
        kinds = self._manifest().columns
        types = {"text": "text", "int": "int8", "float": "float8", "bool": "bool"}
        return [
            "text",
            "text",
            "int8",
            *(types[kinds[name]] for name in batch.payload),
            *["vector"] * len(batch.vectors),
        ]

    def _run(self, statement: str, parameters: Sequence[Any] = ()) -> Any:
        try:
            return self._connection.execute(statement, parameters or None)
        except self._library.Error as error:
            raise StoreError(f"{self.location}: {in_one_line(error)}") from None

    def _rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        rows: list[Any] = self._run(statement, parameters).fetchall()
        return rows


def _shown(columns: Sequence[str]) -> str:
    return ", ".join(["id", "text", *map(_quoted, columns)])


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""').replace("%", "%%") + '"'


def _condition(where: Condition) -> str:
    # a percent sign of a text is doubled: the statement has parameters
    return "(" + to_sql(where, lambda column: _quoted(column).replace("%%", "%")).replace("%", "%%") + ")"


def _match(row: Sequence[Any], columns: Sequence[str]) -> Match:
    return Match(row[0], float(row[-1]), row[1], dict(zip(columns, row[2:-1], strict=True)))
