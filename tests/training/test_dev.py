"""Dev sets: names, kinds, scores by hand, and sets on which nothing could be distinguished."""

import json

import numpy as np
import pytest

pytest.importorskip("transformers")

from instructor_embedding import InputError, Pair
from instructor_embedding.medi.forms import Labelled, Match, Scored
from instructor_embedding.training.dev import DevSet, held_back, read_dev
from tests.training.test_forms import data_of, write


def encode_with(table):
    return lambda pairs: np.array([table[pair.text] for pair in pairs], np.float32)


def test_scores_by_hand():
    table = {"a": [1, 0], "b": [0.9, 0.1], "c": [0, 1], "d": [0.1, 0.9], "z": [1, 1]}
    encode = encode_with(table)
    text = {name: Pair("", name) for name in table}
    matches = DevSet("m", (Match(text["a"], (text["b"],), (text["c"],)), Match(text["c"], (text["z"],), (text["d"],))))
    assert matches.score(encode) == {"recall_at_1": 0.5, "accuracy": 0.5}
    scored = DevSet(
        "s", (Scored(text["a"], text["b"], 5), Scored(text["a"], text["z"], 3), Scored(text["a"], text["c"], 1))
    )
    assert scored.score(encode) == pytest.approx({"spearman": 1.0})
    labelled = DevSet("l", tuple(Labelled(text[name], label) for name, label in zip("abcd", "xxyx", strict=True)))
    assert labelled.score(encode) == {"accuracy": 0.5}
    assert set(matches.score(encode, [1])) == {"recall_at_1", "accuracy", "recall_at_1_at_1", "accuracy_at_1"}


def test_a_model_that_gives_all_pairs_one_cosine_ranks_nothing():
    text = [Pair("", str(n)) for n in range(4)]
    scored = DevSet("s", (Scored(text[0], text[1], 5), Scored(text[2], text[3], 1)))
    assert scored.score(lambda pairs: np.ones((len(pairs), 3), np.float32)) == {"spearman": 0.0}


def test_files_of_one_name_are_two_sets(tmp_path):
    rows = [{"sentence1": f"a {n}", "sentence2": f"b {n}", "score": n} for n in range(4)]
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "sts.jsonl", rows)
    sets = read_dev([str(tmp_path / "a" / "sts.jsonl"), str(tmp_path / "b" / "sts.jsonl")], "I: ", 3)
    assert [dev_set.name for dev_set in sets] == ["a_sts", "b_sts"]
    assert [len(dev_set.items) for dev_set in sets] == [3, 3]
    assert sets[0].items[0].first == Pair("I: ", "a 0")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text1": "a", "text2": "b", "score": 1}], r"holds 1 record\(s\); a score needs at least 2"),
        ([{"text1": "a", "text2": "b", "score": 2}] * 3, "all scores of .* are 2"),
        ([{"text": "a", "label": "x"}, {"text": "b", "label": "x"}], "needs at least two labels"),
        ([{"text": "a", "label": "x"}, {"text": "b", "label": "y"}], "needs at least two labels, one of them"),
        ([{"query": "a", "pos": "b"}, {"query": "c", "pos": "b"}], "the same text as positive, and no negatives"),
        ([{"query": "a", "pos": "b"}, {"text": "c", "label": "b"}], "records of several forms"),
        ([{"query": "a", "pos": "b"}, {"query": "c", "pos": ""}], "line 2: the text of pos is empty"),
    ],
)
def test_degenerate_sets_are_refused(tmp_path, rows, message):
    with pytest.raises(InputError, match=message):
        read_dev([str(write(tmp_path / "dev.jsonl", rows))], "", 100)


def test_held_back_queries_are_not_trained_on(tmp_path):
    rows = [{"query": f"query {n % 40}", "positive": f"text {n}"} for n in range(100)]
    data = data_of(write(tmp_path / "a.jsonl", rows), hold_back=20)
    (reserved,) = data.held_back().values()
    assert 20 <= len(reserved) <= 23
    trained = {data.item(int(index)).query for index in np.flatnonzero(data.usable)}
    assert not trained & {item.query for item in reserved}
    assert len(reserved) + data.usable.sum() == 100
    (dev_set,) = held_back(data.held_back())
    assert dev_set.name == "held_back"
    with pytest.raises(InputError, match="hold_back=60 is more than half of the 100 records"):
        data_of(tmp_path / "a.jsonl", hold_back=60)


def test_held_back_labels_are_nobodys_partner(tmp_path):
    rows = [{"text": f"text {n}", "label": "abc"[n % 3]} for n in range(60)]
    data = data_of(write(tmp_path / "a.jsonl", rows), hold_back=12)
    reserved = {item.text.text for item in data.held_back()["labels"]}
    drawn = {pair.text for index in np.flatnonzero(data.usable) for e in range(5) for pair in data[int(index), e].pairs}
    assert len(reserved) == 12
    assert not reserved & drawn
    assert json.dumps(data.left_out) == "{}"
