"""Evaluation texts are recognized, complete or by a passage, and no other text is."""

import json
import random

import pytest

from instructor_embedding import InputError
from instructor_embedding.medi.contamination import GRAM, LEAST, Texts

LONG = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau"
WORDS = LONG.split()


def test_complete_texts():
    texts = Texts([("first", ["Which bird lays the largest eggs?"]), ("second", ["too short", "Which bird..."])])
    assert len(texts) == 1
    texts_to_check = ["WHICH bird, lays the (largest) eggs", "which bird lays eggs", "too short", ""]
    assert texts.found_in(texts_to_check) == ["first", "", "", ""]


def test_runs_of_words():
    texts = Texts([("long", [LONG]), ("short", [" ".join(WORDS[:9]).replace("alpha", "ALPHA,")])])
    run = " ".join(WORDS[3 : 3 + GRAM])
    assert texts.found_in([f"something new, then {run.upper()}. And more"]) == ["long"]
    assert texts.found_in([f"something new, then {' '.join(WORDS[3 : 2 + GRAM])}"]) == [""]
    # all of a text of nine words, but no less
    assert texts.found_in(["He said: " + " ".join(WORDS[:9]) + "!"]) == ["short"]
    assert texts.found_in(["He said: " + " ".join(WORDS[:8])]) == [""]


def test_texts_of_few_words_are_compared_as_a_whole_only():
    few = " ".join(WORDS[: LEAST - 1])
    texts = Texts([("few", [few])])
    assert texts.found_in([few, few + " more"]) == ["few", ""]


def test_runs_do_not_cross_texts():
    texts = Texts([("long", [LONG])])
    assert texts.found_in([" ".join(WORDS[:7]), " ".join(WORDS[7:])]) == ["", ""]


def test_against_a_plain_search():
    draw = random.Random(3)
    some = [" ".join(draw.choices("abcd", k=draw.randint(1, 40))) for _ in range(400)]
    evaluation, training = some[:40], some[40:]
    runs = {tuple(text.split()[n : n + GRAM]) for text in evaluation for n in range(len(text.split()) - GRAM + 1)}
    short = {tuple(text.split()) for text in evaluation if LEAST <= len(text.split()) < GRAM}

    def contains(text):
        words = text.split()
        passages = {tuple(words[n : n + size]) for size in range(LEAST, GRAM + 1) for n in range(len(words) - size + 1)}
        return bool(passages & (runs | short)) or text.replace(" ", "") in complete

    complete = {text.replace(" ", "") for text in evaluation if len(text.replace(" ", "")) >= 25}
    training += [f"b {text} c" for text in evaluation]
    names = Texts([("x", evaluation)]).found_in(training)
    assert [bool(name) for name in names] == [contains(text) for text in training]
    assert 20 < sum(map(bool, names)) < len(training)


def test_nothing_to_compare_with():
    assert Texts([]).found_in([LONG, ""]) == ["", ""]
    assert Texts([("x", ["", "a"])]).found_in([LONG, "a"]) == ["", ""]
    assert Texts([("x", [LONG])]).found_in([]) == []


def test_files(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "a.json").write_text(json.dumps({"rows": [{"text": LONG, "label": 3}]}))
    (tmp_path / "b" / "test.jsonl").write_text(json.dumps({"any": ["Which bird lays the largest eggs?"]}))
    texts = Texts.of([tmp_path])
    assert texts.found_in(["which bird lays the largest eggs", LONG + " more"]) == ["b/test.jsonl", "a.json"]
    assert texts.digest == Texts.of([tmp_path]).digest != Texts.of([tmp_path / "b"]).digest
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match="invalid JSON"):
        Texts.of([tmp_path])
    with pytest.raises(InputError, match="has no evaluation data"):
        Texts.of([tmp_path / "nothing"])
