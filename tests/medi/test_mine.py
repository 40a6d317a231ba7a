"""Mining on sets worked out by hand, with dense and sparse vectors."""

import numpy as np
import pytest

from instructor_embedding.medi import mine
from instructor_embedding.medi.lexical import BM25
from instructor_embedding.vectors import unit

sparse = pytest.importorskip("scipy.sparse")


def at_angles(*degrees):
    """Unit vectors in the plane: their cosine is that of the difference."""
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], 1).astype(np.float32)


FORMS = pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])


@FORMS
def test_classification(form):
    #                   a0  a1   b2  b3   a4   c5
    vectors = form(at_angles(0, 10, 12, 40, 50, 170))
    positives, negatives = mine.classification(vectors, ["a", "a", "b", "b", "a", "c"])
    assert positives.tolist() == [1, 0, 3, 2, 1, -1]
    assert negatives.tolist() == [2, 2, 1, 4, 3, 4]


def test_classification_of_one_label():
    positives, negatives = mine.classification(at_angles(0, 10, 30), ["a"] * 3)
    assert positives.tolist() == [1, 0, 1]
    assert negatives.tolist() == [-1, -1, -1]


@FORMS
def test_generation(form):
    inputs, outputs = form(at_angles(0, 5, 10, 90)), form(at_angles(0, 90, 5, 0))
    positives, negatives = mine.generation(inputs, outputs)
    # 0 and 2 are near in both; 0 and 1 in the input alone; 3 and 0, a little less 3 and 2, in the output alone
    assert positives.tolist() == [2, 2, 0, 2]
    assert negatives.tolist() == [1, 0, 1, 1]


@FORMS
def test_hard_negatives(form):
    queries = at_angles(0, 0, 60, 120)
    positives = at_angles(10, 20, 70, 130)
    matches = [{10, 11}, {10, 11}, {12}, {13}]
    # 0 and 1 are the same query, so neither positive may be the other's negative
    negatives = mine.hard_negatives(form(queries), form(positives), [10, 11, 12, 13], matches, same=0.99)
    assert negatives.tolist() == [2, 2, 1, 2]


def test_guard_against_false_negatives():
    queries, positives = at_angles(0, 40, 80), at_angles(20, 21, 60)
    ids = ([10, 11, 12], [{10}, {11}, {12}])
    # text 1 is almost the positive of query 0, so it is passed over
    assert mine.hard_negatives(queries, positives, *ids, same=0.9)[0] == 2
    assert mine.hard_negatives(queries, positives, *ids, same=1.0, guard=1.0)[0] == 1
    # nearer to the query than its own positive: taken only where nothing else is left
    assert mine.hard_negatives(at_angles(0, 90), at_angles(40, 5), [10, 11], [{10}, {11}], same=0.9)[0] == 1


def test_no_candidates():
    same = mine.hard_negatives(at_angles(0, 0), at_angles(0, 0), [1, 1], [{1}, {1}])
    assert same.tolist() == [-1, -1]


def test_bm25_scores_are_those_of_the_library():
    library = pytest.importorskip("bm25s")
    documents = ["a red cat", "red red dog in red", "the sea and a ship", "!!", "a cat and a dog"]
    queries = ["red cat", "cat cat", "unknown", "dog ship", ""]
    rows, columns = BM25().relate(queries, documents)
    all_scores = (rows @ columns.T).toarray()
    index = library.BM25(method="lucene")
    words = {"token_pattern": r"(?u)\b\w+\b", "stopwords": "en", "show_progress": False}
    index.index(library.tokenize(documents, **words), show_progress=False)
    for query, scores in zip(queries, all_scores, strict=True):
        tokens = library.tokenize(query, return_ids=False, **words)[0]
        expected = index.get_scores(tokens) if tokens else np.zeros(len(documents))
        np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_bm25_vectors():
    pytest.importorskip("bm25s")
    vectors = unit(BM25().encode(["A red cat", "one cat", "my dog", "!!"]))
    cosines = (vectors @ vectors.T).toarray()
    assert cosines[0, 1] > 0.2 > cosines[0, 2] == 0
    assert cosines[3].tolist() == [0, 0, 0, 0]
    assert BM25().encode(["?", "!"]).shape[0] == 2
    assert BM25().relate([], [])[0].shape[0] == 0
