"""The unit norm, cosines and nearest neighbors, and the one treatment of zero."""

import numpy as np
import pytest

from instructor_embedding import InputError
from instructor_embedding import vectors as v

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((30, 8)).astype(np.float32), RNG.standard_normal((50, 8)).astype(np.float32)


def test_unit_norm():
    np.testing.assert_allclose(np.linalg.norm(v.unit(A), axis=1), 1, atol=1e-6)
    rows = np.array([[0, 0], [3e30, 4e30], [3e-30, 4e-30]], np.float32)
    np.testing.assert_allclose(v.unit(rows), [[0, 0], [0.6, 0.8], [0.6, 0.8]], rtol=1e-6)
    assert v.unit(rows).dtype == np.float32
    assert v.cosines(rows)[0].tolist() == [0, 0, 0]
    assert v.unit(np.empty((0, 3), np.float32)).shape == (0, 3)


def test_cosines():
    expected = (A @ B.T) / np.linalg.norm(A, axis=1)[:, None] / np.linalg.norm(B, axis=1)
    np.testing.assert_allclose(v.cosines(A, B), expected, atol=1e-6)
    np.testing.assert_allclose(v.paired_cosines(A, B[:30]), np.diag(expected), atol=1e-6)


@pytest.mark.parametrize("block", [1, 200, 2**24])
@pytest.mark.parametrize("alone", [False, True])
def test_nearest(monkeypatch, block, alone):
    monkeypatch.setattr(v, "_BLOCK", block)
    queries = B if alone else A
    scores, index = v.nearest(queries, B, 7, exclude_self=alone)
    table = queries @ B.T
    if alone:
        np.fill_diagonal(table, -np.inf)
    np.testing.assert_array_equal(index, np.argsort(-table, axis=1, kind="stable")[:, :7])
    np.testing.assert_allclose(scores, np.take_along_axis(table, index, 1), atol=1e-5)
    assert v.nearest(queries, B, 99, exclude_self=alone)[1].shape[1] == 50 - alone


def test_ties_fall_to_the_lower_row():
    rows = np.repeat(np.eye(2, dtype=np.float32), 40, axis=0)
    for k in (1, 3, 39, 60, 80):
        np.testing.assert_array_equal(v.nearest(rows[:1], rows, k)[1][0], np.arange(k))


def test_sparse_rows():
    sparse = pytest.importorskip("scipy.sparse")
    rows = np.where(RNG.random((20, 30)) < 0.2, RNG.random((20, 30)), 0).astype(np.float32)
    rows[3] = 0
    matrix = sparse.csr_matrix(rows)
    np.testing.assert_allclose(v.unit(matrix).toarray(), v.unit(rows), atol=1e-6)
    np.testing.assert_allclose(v.nearest(matrix, matrix, 5)[0], v.nearest(rows, rows, 5)[0], atol=1e-6)


BAD = {
    "text": ("abc", "must be values"),
    "ragged": ([[1, 2], [3]], "all rows of one length"),
    "flat": ([1, 2], r"a single vector is vectors\[None\]"),
    "no dimensions": (np.empty((3, 0)), "must be of shape"),
    "not a number": ([[1, 2], [np.nan, 0]], "not finite, the first in row 1"),
    "infinite": ([[1, np.inf]], "the first in row 0"),
    "other dimensions": ([[1, 2, 3]], "have 3 dimensions, but 2 are expected"),
}


@pytest.mark.parametrize("case", BAD)
def test_check(case):
    values, message = BAD[case]
    with pytest.raises(InputError, match=message):
        v.checked(values, dimension=2 if case == "other dimensions" else None)


def test_tensors_are_taken():
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(A, dtype=torch.bfloat16, requires_grad=True)
    np.testing.assert_array_equal(v.checked(tensor), v.checked(list(tensor)))
    assert v.checked(np.empty((0, 4))).shape == (0, 4)
