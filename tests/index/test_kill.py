"""Writers that are killed lose no acknowledged row; `make kills` kills fifty of each store."""

import importlib.util

import pytest

from tests.index import kills


@pytest.mark.slow
@pytest.mark.parametrize("store", ["lancedb", "parquet"])
def test_a_killed_writer_resumes(store, tmp_path):
    if importlib.util.find_spec(kills.STORES[store]) is None:
        pytest.skip(f"{store} is not installed")
    counts = kills.run(store, 1, tmp_path)
    assert counts["build"] + counts["add"] == counts["indexes"] == 1
