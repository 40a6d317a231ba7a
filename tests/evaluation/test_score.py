"""Scores: kept, found again, compared where that says something."""

import json

import pytest

from instructor_embedding import InputError
from instructor_embedding.evaluation.score import Results, Score, read
from instructor_embedding.evaluation.statistics import pearson, spearman

CONFIG = {"model": {"name": "a"}, "data": {"revision": "1"}, "instructions": {"text": "x"}}


def test_kept_and_found_again(tmp_path):
    file = tmp_path / "out" / "scores.jsonl"
    score = Score("STS12", "spearman", 71.5, 10, CONFIG | {"seconds": 3.0, "date": "today"})
    Results(file).add(score)
    again = Results(file)
    assert again.find("STS12", CONFIG | {"seconds": 9.0}) == score
    assert again.find("STS12", CONFIG | {"instructions": {"text": "y"}}) is None
    assert again.find("STS13", CONFIG) is None
    again.add(Score("STS12", "spearman", 72.0, 10, CONFIG))
    assert [score.value for score in read(file)] == [72.0]
    assert str(score) == "STS12 spearman 71.50 (n=10)"


def test_differences(tmp_path):
    first, second = Score("STS12", "spearman", 71.5, 10, CONFIG), Score("STS12", "spearman", 70.0, 10, CONFIG)
    assert first.difference(second) == 1.5
    with pytest.raises(InputError, match="their data differs"):
        first.difference(Score("STS12", "spearman", 70.0, 10, {"data": {"revision": "2"}}))
    (tmp_path / "broken").write_text(json.dumps({"task": "a"}) + "\n")
    with pytest.raises(InputError, match="line 1 is not a score"):
        read(tmp_path / "broken")


def test_correlations():
    scipy = pytest.importorskip("scipy.stats")
    a, b = [3.0, 1, 2, 2, 9, 4], [1.0, 1, 5, 2, 8, 2]
    assert pearson(a, b) == pytest.approx(scipy.pearsonr(a, b).statistic)
    assert spearman(a, b) == pytest.approx(scipy.spearmanr(a, b).statistic)
    assert pearson([1, 1, 1], [1, 2, 3]) == spearman([1, 2, 3], [2, 2, 2]) == 0
