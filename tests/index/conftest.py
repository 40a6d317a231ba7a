"""Indexes in every store that is installed, with a model of two layers."""

import importlib.util
import os
import tempfile

import pytest

ROWS = [
    {"id": "a", "text": "rye bread with walnuts", "topic": "food", "year": 1999},
    {"id": "b", "text": "the price of copper rises", "topic": "metal", "year": 2020},
    {"id": "c", "text": "a loaf of wheat bread", "topic": "food", "year": 2021},
    {"id": "d", "text": "O'Brien's zinc mine", "topic": None, "year": None},
]
COLUMNS = {"topic": "text", "year": "int"}


@pytest.fixture(scope="session")
def postgres():
    server = pytest.importorskip("pgserver", reason="pgserver is not installed")
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    pytest.importorskip("pgvector", reason="pgvector is not installed")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # the server runs as a user of its own
        running = server.get_server(folder, cleanup_mode="stop")
        yield running.get_uri()
        running.cleanup()


@pytest.fixture
def qdrant_server(monkeypatch):
    """The local mode of the client instead of a server."""
    library = pytest.importorskip("qdrant_client", reason="qdrant-client is not installed")
    from instructor_embedding.index.stores import qdrant_server

    client = library.QdrantClient(":memory:")
    client.close = lambda: None  # further stores of the test use it
    monkeypatch.setattr(qdrant_server, "connect", lambda address: client)
    return "qdrant://localhost"


@pytest.fixture(params=["lancedb", "parquet", "usearch", "postgres", "qdrant", "qdrant-server"])
def target(request, tmp_path):
    """Location and store of a new index."""
    if request.param == "postgres":
        return f"{request.getfixturevalue('postgres')}#t{abs(hash(str(tmp_path))) % 10**12}", None
    if request.param == "qdrant-server":
        return f"{request.getfixturevalue('qdrant_server')}#titles", None
    library = {"lancedb": "lancedb", "qdrant": "qdrant_edge", "usearch": "usearch"}.get(request.param, "pyarrow")
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    return str(tmp_path / "index"), request.param


@pytest.fixture
def index(target, models):
    from instructor_embedding.index.index import Index

    location, store = target
    created = Index.create(
        location, models["relu"], instruction="Represent it: ", query_instruction="Find: ", columns=COLUMNS, store=store
    )
    created.add(ROWS)
    yield created
    created.close()
