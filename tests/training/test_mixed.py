"""Runs over data of every form at once: resumed bit for bit, counted in the card."""

import json
import re
import shutil

import pytest

pytest.importorskip("transformers")

from instructor_embedding.training.run import train
from tests.training.conftest import history, triples
from tests.training.test_forms import write
from tests.training.test_run import SHORT, same


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files of all forms: matches with 0 to 4 negatives, scores, labels, a task of one pair."""
    folder = tmp_path_factory.mktemp("mixed")
    records = triples(64, 1)
    write(folder / "several.jsonl", several(records))
    write(
        folder / "pairs.csv", [{"query": record["query"][1], "positive": record["pos"][1]} for record in records[:35]]
    )
    scored = [
        {"text1": record["query"][1], "text2": record["pos"][1], "score": n % 6}
        for n, record in enumerate(records[:22])
    ]
    write(folder / "scored.tsv", scored)
    labelled = [{"text": record["pos"][1], "label": f"class {n % 4}"} for n, record in enumerate(records[:18])]
    write(folder / "labelled.csv.gz", [*labelled, {"text": "alone", "label": "class 9"}])
    write(folder / "single.csv", [{"query": "only one", "positive": "pair"}])
    return folder


def several(records):
    """Records of matches with 0 to 4 negatives."""
    return [
        {
            "query": record["query"][1],
            "pos": record["pos"][1],
            "neg": [other["neg"][1] for other in records[n : n + n % 5]],
        }
        for n, record in enumerate(records)
    ]


def flags_of(folders, files, out, *more):
    start = ["--model_name_or_path", folders["relu"], "--train_file", files, "--output_dir", out, *SHORT]
    return list(map(str, [*start, "--negatives", 2, "--save_steps", 5, "--report_to", "none", *more]))


@pytest.mark.slow
@pytest.mark.parametrize("extra", [("--mixing", "equal", "--chunk_tokens", "60"), ("--dataloader_num_workers", "1")])
def test_a_resumed_run_equals_an_uninterrupted_one(folders, files, tmp_path, extra):
    complete, cut = tmp_path / "complete", tmp_path / "cut"
    train(flags_of(folders, files, complete, "--max_steps", 24, *extra))
    shutil.copytree(complete, cut)
    for name in ("checkpoint-15", "checkpoint-20", "checkpoint-24"):
        shutil.rmtree(cut / name, ignore_errors=True)
    shutil.copytree(complete / "checkpoint-15", cut / "checkpoint-15")
    train(flags_of(folders, files, cut, "--max_steps", 24, *extra))
    assert history(cut) == history(complete)
    assert same(cut, complete)


def test_the_card_counts_what_was_used(folders, files, tmp_path, capsys):
    out = tmp_path / "out"
    train(flags_of(folders, files, out, "--num_train_epochs", 2))
    card = (out / "README.md").read_text(encoding="utf-8")
    rows = {row[0]: row[1:] for row in re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \| (\d+) \|", card, re.M)}
    assert rows == {
        "several": ("64", "64", "128"),
        "pairs": ("35", "35", "70"),
        "scored": ("22", "22", "44"),
        "labelled": ("19", "18", "36"),
        "single": ("1", "0", "0"),
    }
    assert "- single: 1 record without a negative, which leaves nothing to compare" in card
    assert "- labelled: 1 records whose label no other has; they serve as negatives alone" in card
    printed = capsys.readouterr().err
    assert re.search(r"^several +64 +64 +64 +46\.0 % +8$", printed, re.M), printed
    assert "not trained on: single: 1 record without" in printed
    settings = json.loads((out / "training.json").read_text(encoding="utf-8"))
    assert settings["negatives"] == 2
