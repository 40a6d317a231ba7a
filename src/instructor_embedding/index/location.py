"""From the location of an index to its store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from instructor_embedding.errors import InputError, choose
from instructor_embedding.files import manifest as manifests
from instructor_embedding.index.store import Store

DEFAULT = "lancedb"
FOLDERS = ("lancedb", "parquet", "qdrant")  # stores that are a folder
SERVERS = {"postgresql": "postgres", "postgres": "postgres"}


def store_of(location: str, kind: str | None = None) -> Store:
    """Return the store at a location, whether there is an index or not.

    Parameters
    ----------
    location : str
        A folder; ``postgresql://user@host/database#name``.
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
    if Path(location).exists() and not Path(location).is_dir():
        raise InputError(f"{location} is a file; an index is a folder")
    if kind is not None:
        choose("--store", kind, FOLDERS)
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

    def qdrant(location: str) -> Store:
        from instructor_embedding.index.stores.qdrant_edge import QdrantEdgeStore

        return QdrantEdgeStore(location)

    return {"lancedb": lancedb, "parquet": parquet, "qdrant": qdrant}


def _servers() -> dict[str, Callable[[str], Store]]:
    def postgres(location: str) -> Store:
        from instructor_embedding.index.stores.postgres import PostgresStore

        address, name = location_and_name(location)
        return PostgresStore(address, name)

    return {"postgres": postgres}


def location_and_name(location: str, default: str = "instructor") -> tuple[str, str]:
    """Return the address of a database and the name of the index in it, which follows ``#``."""
    address, _, name = location.partition("#")
    return address, name or default
