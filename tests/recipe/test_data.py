"""The recipe's data: sources that may be used, shares of texts, labels by rule, wordings, the matrix."""

import gzip
import json
import re

import numpy as np
import pytest
from recipes.mini import labels, matrix, rules, sources, texts, wording
from recipes.mini.words import synonyms

from instructor_embedding import InputError
from instructor_embedding.instruction import Pair
from instructor_embedding.medi.triple import Triple
from tests.conftest import SHARED

DATA = SHARED / "data"
needs_data = pytest.mark.skipif(not (DATA / "train").is_dir(), reason="the shared data is not here")


def test_wordings_are_trained_or_held_back():
    for frames in (wording.FRAMES, wording.IGNORING, wording.INSTEAD):
        trained, measured = wording.trained(frames), wording.held_back(frames)
        assert sorted([*trained, *measured]) == sorted(frames)
        assert len(measured) == len(frames) // 3
    draw = wording.Wording(np.random.default_rng(0))
    for_label = {draw.for_label(("tweet", "text"), ("mood",)) for _ in range(400)}
    assert len(for_label) > 50
    assert all("mood" in text for text in for_label)
    assert not [
        text for text in for_label for frame in wording.held_back(wording.FRAMES) if frame.format("mood") in text
    ]
    for_others = {draw.for_others(("tweet", "text")) for _ in range(200)}
    assert "" in for_others
    assert not any("mood" in text for text in for_others)
    assert {draw.base(["Represent it: "], 0.5)[-1:] for _ in range(50)} == {"", " "}
    same = "Represent the tweet for classification by emotion: "
    varied = [draw.varied(Triple(Pair(same, "q"), Pair(same, "p"), Pair(same, "n"), 3, "x")) for _ in range(100)]
    assert len({triple.query.instruction for triple in varied}) > 10
    assert all(len({side.instruction for side in triple[:3]}) == 1 for triple in varied)


@pytest.mark.parametrize(
    ("rule", "text", "label"),
    [
        ("form", "Where is it?", "question"), ("form", "show me the way", "command"),
        ("form", "It is here.", "statement"),
        ("tense", "He walked home and slept.", "past"), ("tense", "She will come tomorrow.", "future"),
        ("person", "I like it", "first person"), ("person", "I like you", ""), ("length", "two words", "short"),
        ("negation", "this is not what I want", "negated"), ("numbers", "in 1984", "with numbers"),
        ("politeness", "could you help me", "polite"), ("register", "hey guys, that's cool!!", "informal"),
        ("register", "Therefore, the results are significant.", "formal"), ("question word", "how old is it", "how"),
        ("code", "def f(x): return x", "code"),
    ],
)  # fmt: skip
def test_rules(rule, text, label):
    assert {own.name: own.label for own in rules.RULES}[rule](text) == label


def test_texts_have_their_shares():
    assert list(texts.units("short  text")) == ["short text"]
    long = "This is a sentence of some length. " * 20
    kinds = {len(unit.split()) for unit in texts.units(long)}
    assert {7, texts.PASSAGE} <= kinds
    assert texts.group_of("medicine", "x", "") == "medicine"
    assert texts.group_of("science (papers)", "x", "") == "science"
    assert texts.group_of("trivia", "What is it called?", "question answering") == "question"
    rows = [texts.Text(f"{group} {n}", f"{group}{n % 2}", group) for group in texts.SHARES for n in range(400)]
    chosen = texts.selected(rows * 2, 500)
    assert len({row.text for row in chosen}) == len(chosen) == 500
    for group, share in texts.SHARES.items():
        assert sum(row.group == group for row in chosen) == pytest.approx(500 * share, abs=1)
    few = texts.selected([row for row in rows if row.group in ("title", "general")], 300)
    assert len(few) == 300  # what other groups lack is drawn from the general one
    assert texts.quotas(np.array([10, 1000]), 200) == [10, 190]


def test_synonyms_are_near_their_word(tmp_path):
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "wordnet_synonyms.jsonl").write_text("")
    with gzip.open(tmp_path / "pairs" / "wordnet_synonyms.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"set": row}) + "\n" for row in (["joy", "delight"], ["joy", "far"], ["x", "y"]))
    near = {"joy": [1.0, 0], "delight": [0.8, 0.6], "far": [0, 1.0], "none": [0, 1.0]}
    words = synonyms(["joy", "none"], tmp_path, lambda rows: np.array([near[row] for row in rows], np.float32))
    assert words == {"joy": ["joy", "delight"], "none": ["none"]}


def test_criteria_count_beyond_twice_the_standard_error():
    def row(own, none, ignoring):
        accuracies = {"mood": own, "sea": 50.0, "(none)": none, "(ignoring)": ignoring, "(topic, not own)": none}
        scores = {name: matrix.Score(value, 1.0, 0.0) for name, value in accuracies.items()}
        return {"set": "first", "kind": "mood", "scores": scores, "by hand": [own, own - 1]}

    result = matrix.criteria([row(60.0, 50.0, 50.0), row(51.0, 50.0, 58.0), row(40.0, 50.0, 50.0)])
    assert result["sets better than none"] == 1
    assert result["kinds better than none"] == ["mood"]
    assert result["own instruction best or tied"] == pytest.approx(1 / 3)
    assert result["ignoring does not help"] == pytest.approx(2 / 3)
    assert result["median gap of five wordings"] == 1


@pytest.mark.slow
@needs_data
def test_only_sources_that_may_be_passed_on():
    """Every licence names an open one, and none is that of another work or missing."""
    opened = re.compile(r"CC0|public domain|CC BY|MIT|Apache|BSD|OANC|WordNet|MITRE|AFL|CDLA", re.IGNORECASE)
    refused = re.compile(
        r"\bNC\b|\bND\b|research|none stated|unknown|sites|GPL|own terms|per-repository", re.IGNORECASE
    )
    used = {source.name: source.licence for source in sources.used(DATA) if source.facts is not None}
    assert len(used) > 40
    bad = {name: licence for name, licence in used.items() if not opened.search(licence)}
    bad |= {name: licence for name, licence in used.items() if refused.search(licence.replace("OANC", ""))}
    assert not bad
    licences = {task.licence for task in sources.tasks(DATA)}
    assert len(licences) > 5
    assert not [licence for licence in licences if refused.search(licence.replace("OANC", "")) or not licence]


@pytest.mark.slow
@needs_data
def test_kinds_of_labels_cover_every_way():
    own = labels.labeled_sets(DATA, rules=False)
    kinds = {labeled.kind for labeled in own}
    assert {"emotion", "sentiment", "intent", "well-formedness"} <= kinds
    assert len(kinds - set(labels.HELD_OUT)) > 5
    assert set(labels.HELD_OUT) & {rule.name for rule in rules.RULES}
    first = own[0]
    assert not set(first.subset(held_back=True).texts) & set(first.subset(held_back=False).texts)


def test_the_data_is_looked_for_before_any_work(tmp_path):
    with pytest.raises(InputError, match=r"train is missing; --data must be a folder with train"):
        sources.configuration(tmp_path)
