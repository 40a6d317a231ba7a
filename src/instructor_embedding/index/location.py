"""From the location of an index to its store."""

from __future__ import annotations

import os
from collections.abc import Callable
from urllib.parse import urlsplit

from instructor_embedding.errors import InputError, choose
from instructor_embedding.extras import need
from instructor_embedding.files import manifest as manifests
from instructor_embedding.index.store import Store

DEFAULT = "lancedb"
FOLDERS = ("lancedb", "parquet", "usearch", "qdrant")  # stores that are a folder
SERVERS = {"postgresql": "postgres", "postgres": "postgres", "qdrant": "qdrant", "qdrants": "qdrant"}


def store_of(location: str, kind: str | None = None) -> Store:
    """Return the store at a location, whether there is an index or not.

    Parameters
    ----------
    location : str
        A folder; ``postgresql://user@host/database#name``; ``qdrant://host:port#name``, over TLS ``qdrants://``.
    kind : str, optional
        Of a folder, one of `FOLDERS`; default: what its manifest names, of a new one ``"lancedb"``.

    Raises
    ------
    InputError
        The kind is unknown, or is not that of the folder.
    MissingExtraError
        The store's library is not installed.
    """
    scheme = urlsplit(location).scheme if "://" in location else ""
    if scheme:
        if scheme not in SERVERS:
            raise InputError(
                f"{location}: an index is a folder, or begins with {', '.join(f'{s}://' for s in SERVERS)}"
            )
        return _servers()[SERVERS[scheme]](location)
    if kind is not None:
        choose("--store", kind, FOLDERS)
    if os.path.isfile(location):
        raise InputError(
            f"{location} is a file, not an index; make one of its texts: instructor-embed index build {location} -o NEW"
        )
    if manifests.exists(location):
        stored = manifests.read(location).store
        if kind not in (None, stored):
            raise InputError(
                f"{location} is an index of {stored}, not of {kind}; leave --store out, or name a new folder"
            )
        kind = choose(f"{location}: store", stored, FOLDERS)
    return _folders()[kind or DEFAULT](location)


def _folders() -> dict[str, Callable[[str], Store]]:
    def lancedb(location: str) -> Store:
        from instructor_embedding.index.stores.lance import LanceStore

        return LanceStore(location)

    def parquet(location: str) -> Store:
        from instructor_embedding.index.stores.parquet import ParquetStore

        return ParquetStore(location)

    def usearch(location: str) -> Store:
        from instructor_embedding.index.stores.candidates import Graph
        from instructor_embedding.index.stores.parquet import ParquetStore

        need("usearch.index", "an index with a graph in memory")
        return ParquetStore(location, "usearch", Graph)

    def qdrant(location: str) -> Store:
        from instructor_embedding.index.stores.qdrant_edge import QdrantEdgeStore

        return QdrantEdgeStore(location)

    return {"lancedb": lancedb, "parquet": parquet, "usearch": usearch, "qdrant": qdrant}


def _servers() -> dict[str, Callable[[str], Store]]:
    def postgres(location: str) -> Store:
        from instructor_embedding.index.stores.postgres import PostgresStore

        address, name = location_and_name(location)
        return PostgresStore(address, name)

    def qdrant(location: str) -> Store:
        from instructor_embedding.index.stores.qdrant_server import QdrantServerStore, connect

        address, name = location_and_name(location)
        return QdrantServerStore(connect(address), address, name)

    return {"postgres": postgres, "qdrant": qdrant}


def location_and_name(location: str, default: str = "instructor") -> tuple[str, str]:
    """Return the address of a database and the name of the index in it, which follows ``#``."""
    address, _, name = location.partition("#")
    return address, name or default
