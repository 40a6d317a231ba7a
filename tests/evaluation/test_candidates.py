"""A user's instructions on a user's texts: the better one is found, and noise is called noise."""

import csv
import json

import numpy as np
import pytest

from instructor_embedding import InputError
from instructor_embedding.evaluation import candidates


class Obedient:
    """Vectors show a text's first word under one instruction, its last word under another, nothing under others."""

    def encode(self, pairs):
        rows = np.zeros((len(pairs), 64), np.float32)
        for number, (row, pair) in enumerate(zip(rows, pairs, strict=True)):
            words = pair.text.split()
            asked = {"first: ": words[0], "last: ": words[-1], "again first: ": words[0]}.get(pair.instruction)
            row[sum(map(ord, asked)) % 64 if asked else number % 64] = 1
        return rows


def rows_of(count=60):
    random = np.random.default_rng(0)
    pick = [(f"w{random.integers(6)}", f"z{random.integers(6)}") for _ in range(count)]
    return [{"text": f"{a} middle {b}", "label": a} for a, b in pick]


def test_the_better_one_wins():
    trials = candidates.compare(Obedient(), candidates.labeled(rows_of()), ["last: ", "first: ", "again first: "])
    assert [trial.instruction for trial in trials[:2]] == ["first: ", "again first: "]
    best, same, worse = trials
    assert best.value == same.value == 100
    assert same.noise
    assert not worse.noise
    assert worse.gap > 50
    assert worse.low <= worse.value <= worse.high
    assert 0 < worse.gap_low <= worse.gap <= worse.gap_high


def test_other_forms():
    pairs = [{"sentence1": f"a{n} x", "sentence2": f"a{n % 3} x", "score": float(n < 3)} for n in range(12)]
    assert candidates.compare(Obedient(), candidates.labeled(pairs), ["first: ", "last: "])[0].instruction == "first: "
    asked = [{"query": f"q{n} x", "document": f"y q{n}"} for n in range(12)]
    trials = candidates.compare(Obedient(), candidates.labeled(asked), ["first: ", "last: "], ["last: "])
    assert (trials[0].instruction, trials[0].value) == ("first: ", 100)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "a", "label": "b"}] * 3, "at least 8 are needed"),
        ([{"text": "a", "label": "b"}] * 9, "at least two labels"),
        ([{"txt": "a"}] * 9, "the columns are txt"),
    ],
)
def test_what_cannot_be_tried(rows, message):
    with pytest.raises(InputError, match=message):
        candidates.labeled(rows)
    with pytest.raises(InputError, match="two or more different instructions"):
        candidates.compare(Obedient(), candidates.labeled(rows_of()), ["first: "])


def test_the_command(folders, tmp_path, cli):
    with open(tmp_path / "mine.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(rows_of(20))
    arguments = ["try", tmp_path / "mine.csv", "-m", folders["relu"], "-i", "Represent the text: ", "-i", "A: "]
    output = json.loads(cli("instructions", *arguments, "--json").out)
    trials = output["trials"]
    assert {trial["instruction"] for trial in trials} == {"Represent the text: ", "A: "}
