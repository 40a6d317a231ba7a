"""Instruction following: a model that obeys wins on the diagonal, one that does not has no gain."""

import csv
import json

import numpy as np
import pytest

from instructor_embedding import InputError
from instructor_embedding.evaluation.following.data import WORDINGS, built_in, instructions_for, labeled, read
from instructor_embedding.evaluation.following.matrix import of_scores
from instructor_embedding.evaluation.following.measure import recovery, standard_error
from instructor_embedding.evaluation.following.picture import draw
from instructor_embedding.evaluation.following.run import evaluate
from instructor_embedding.evaluation.score import Results

pytest.importorskip("sklearn")
COLORS, SHAPES = ("red", "green", "blue"), ("round", "square")


def rows(count=120):
    random = np.random.default_rng(0)
    records = []
    for number in range(count):
        color, shape = random.choice(COLORS), random.choice(SHAPES)
        records.append({"text": f"{color} {shape} number {number}", "color": color, "shape": shape})
    return records


class Obedient:
    """Shows the color under an instruction that names it, the shape likewise, and under others mostly noise."""

    def encode(self, pairs):
        table = np.zeros((len(pairs), 32), np.float32)
        for row, (instruction, text) in zip(table, pairs, strict=True):
            noise = np.random.default_rng(sum(map(ord, text)) * len(text)).standard_normal(32)
            row[:] = 0.5 * noise
            color, shape = text.split()[:2]
            if color not in COLORS:
                continue
            if "color" in instruction:
                row[COLORS.index(color)] += 5
            if "shape" in instruction:
                row[8 + SHAPES.index(shape)] += 5
        return table


class Deaf(Obedient):
    """Ignores the instruction."""

    def encode(self, pairs):
        return super().encode([pair._replace(instruction="color") for pair in pairs])


@pytest.fixture(scope="module")
def data():
    return labeled(rows(), ("color", "shape"), name="toys", kind="toy")


@pytest.fixture(scope="module")
def scores(data):
    return evaluate(Obedient(), data, splits=4)


def test_the_diagonal_wins(scores):
    matrices = {matrix.metric: matrix for matrix in of_scores(scores)}
    assert set(matrices) == {"linear", "nearest", "v_measure"}
    for matrix in matrices.values():
        assert matrix.rows == ["color", "shape", "none", "shuffled"]
        assert matrix.wins == 2
        assert matrix.gain.value > 4 * matrix.gain.error
        for name in ("color", "shape"):
            assert matrix.cells[name, name].value > 90
            assert matrix.cells[name, name].value > matrix.cells["shuffled", name].value
    low, high = matrices["linear"].paraphrases["color"]
    assert 90 < low <= high
    assert matrices["linear"].table()[1][1].startswith("[")


def test_a_model_that_ignores_instructions_has_no_gain(data):
    matrices = of_scores(evaluate(Deaf(), data, splits=4, paraphrases=False))
    for matrix in matrices:
        assert matrix.gain.value == 0
        assert not matrix.paraphrases


def test_resumes_and_is_reproducible(data, scores, tmp_path):
    class Stops(Obedient):
        calls = 0

        def encode(self, pairs):
            Stops.calls += 1
            if Stops.calls == 4:
                raise KeyboardInterrupt
            return super().encode(pairs)

    file = tmp_path / "scores.jsonl"
    with pytest.raises(KeyboardInterrupt):
        evaluate(Stops(), data, splits=4, results=Results(file))
    written = len(file.read_text().splitlines())
    assert 0 < written < len(scores)
    again = evaluate(Obedient(), data, splits=4, results=Results(file))
    assert [score.value for score in again] == [score.value for score in scores]
    assert len(file.read_text().splitlines()) >= len(scores)


def test_instructions(data):
    texts = instructions_for(data, {"shape": "Represent the form: "})
    assert texts["color"][0] == "Represent the toy for classifying its color: "
    assert texts["shape"][:2] == ["Represent the form: ", "Represent the toy for classifying its shape: "]
    assert len(texts["color"]) == len(WORDINGS)
    with pytest.raises(InputError, match="instruction for='colour' is unknown; did you mean 'color'"):
        instructions_for(data, {"colour": "x"})


def test_the_built_in_set_is_crossed():
    texts = built_in()
    cells = set(zip(*texts.labels.values(), strict=True))
    assert len(texts.texts) == len(set(texts.texts)) == 144
    assert len(cells) == 4 * 3 * 3


@pytest.mark.parametrize(
    ("change", "labels", "message"),
    [
        ({}, ("color",), "two or more columns"),
        ({}, ("color", "shap"), "did you mean 'shape'"),
        ({"color": ""}, ("color", "shape"), "row 1 has no color"),
        ({"color": "red"}, ("color", "shape"), None),
    ],
)
def test_faults(change, labels, message):
    some = rows()
    some[0] |= change
    if message is None:
        assert labeled(some, labels, name="x")
        return
    with pytest.raises(InputError, match=message):
        labeled(some, labels, name="x")


def test_rare_labels_are_left_out():
    some = [*rows(40), {"text": "pink round", "color": "pink", "shape": "round"}]
    assert "pink" not in labeled(some, ("color", "shape"), name="x").labels["color"]
    with pytest.raises(InputError, match="color has fewer than two labels"):
        labeled([row for row in some if row["color"] in ("red", "pink")], ("color", "shape"), name="x")


def test_errors_are_of_correlated_splits():
    values = np.array([0.5, 0.7, 0.6, 0.6])
    assert standard_error(values, "linear") == pytest.approx(np.sqrt(values.var(ddof=1) * (1 / 4 + 1)))
    assert standard_error(values, "nearest") == pytest.approx(np.sqrt(values.var(ddof=1) / 4))
    random = np.random.default_rng(0).standard_normal((200, 16)).astype(np.float32)
    labels = ["a", "b"] * 100
    noise = recovery(random, labels, splits=6)
    for metric, chance in (("linear", 0.5), ("nearest", 0.5), ("v_measure", 0.0)):
        assert abs(noise.values(metric).mean() - chance) < 0.1


def test_pictures(scores, tmp_path):
    pytest.importorskip("matplotlib")
    first, second = (draw(of_scores(scores), tmp_path / name).read_bytes() for name in ("a.png", "b.png"))
    assert first == second
    assert first[:4] == b"\x89PNG"


def test_the_command(folders, tmp_path, run):
    with open(tmp_path / "toys.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["text", "color", "shape"])
        writer.writeheader()
        writer.writerows(rows(60))
    assert len(read(tmp_path / "toys.csv", ["color", "shape"]).texts) == 60
    options = ["--data", tmp_path / "toys.csv", "--labels", "color,shape", "--kind", "toy", "--splits", "2"]
    options += ["-m", folders["relu"], "--result-file", tmp_path / "out.jsonl", "--no-paraphrases"]
    options += ["--picture", tmp_path / "toys.png", "-i", "shape=Represent the form: "]
    out = run("following", *options)
    assert "relu on toys.csv, linear classifier" in out
    assert "own - others" in out
    assert (tmp_path / "toys.png").is_file()
    rows_ = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {row["config"]["instructions"]["text"] for row in rows_} >= {"Represent the form: ", ""}
