"""A short run of what ``make fuzz`` does at length."""

import os

import pytest

from tests.fuzz import checkpoints, records

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


def test_damaged_checkpoints(tmp_path):
    counts, failures = checkpoints.run(tmp_path, 0, range(40))
    assert not failures
    assert counts["loads"] > 5
    assert counts["refused"] > 5


def test_damaged_records(tmp_path):
    pytest.importorskip("pyarrow")
    counts, failures = records.run(tmp_path, 0, range(250))  # 89 and 246 had errors of two lines
    assert not failures
    assert counts["read"] > 50
    assert counts["refused"] > 50
