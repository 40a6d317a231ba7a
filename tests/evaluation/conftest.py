"""Encoders that record what they are asked, and small sets of data."""

import gzip
import json

import numpy as np
import pytest

from instructor_embedding.fingerprint import PROBES

WORDS = ["sun", "rain", "snow", "wind", "fog", "storm", "cloud", "heat", "frost", "hail"]


class Recording:
    """Encodes texts as counts of words and keeps the pairs it was given."""

    def __init__(self):
        self.seen = []

    def encode(self, pairs):
        if pairs != PROBES:  # what an evaluation asks to tell models apart
            self.seen += pairs
        rows = np.zeros((len(pairs), len(WORDS) + 1), np.float32)
        for row, pair in zip(rows, pairs, strict=True):
            row[-1] = 0.1
            for word in pair.text.lower().split():
                if word in WORDS:
                    row[WORDS.index(word)] += 1
        return rows


@pytest.fixture
def recording():
    return Recording()


@pytest.fixture
def run(cli):
    """Run an evaluate verb, check its exit code and return what it printed."""

    def run(*arguments, code=0):
        done = cli("evaluate", *arguments)
        assert done.code == code, done.err
        return done.out if code == 0 else done.err

    return run


def write_rows(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture(scope="session")
def tasks(tmp_path_factory):
    """A folder of four MTEB tasks, in the layouts that local tasks know."""
    home = tmp_path_factory.mktemp("tasks")
    random = np.random.default_rng(0)

    def text(first, count=3):
        return " ".join([first, *random.choice(WORDS, count)])

    pairs = [(text(a), text(b)) for a, b in random.choice(WORDS, (40, 2))]
    rows = [{"sentence1": a, "sentence2": b, "score": float(len(set(a.split()) & set(b.split())))} for a, b in pairs]
    write_rows(home / "STSBenchmark" / "test.jsonl.gz", rows)
    labeled = [{"text": text(f"{WORDS[n % 4]} {WORDS[n % 4]}", 1), "label": n % 4} for n in range(80)]
    for split in ("train", "test"):
        write_rows(home / "Banking77Classification" / f"{split}.jsonl", labeled)
    corpus = [{"_id": f"d{n}", "title": "", "text": f"{word} {word} {text(word)}"} for n, word in enumerate(WORDS)]
    write_rows(home / "SciFact" / "corpus.jsonl", corpus)
    queries = [{"_id": f"q{n}", "text": f"{word} {word}"} for n, word in enumerate(WORDS)]
    write_rows(home / "SciFact" / "queries.jsonl", queries)
    relevant = "query-id\tcorpus-id\tscore\n" + "".join(f"q{n}\td{n}\t1\n" for n in range(len(WORDS)))
    (home / "SciFact" / "qrels").mkdir()
    (home / "SciFact" / "qrels" / "test.tsv").write_text(relevant)
    grouped = [{"sentences": [row["text"] for row in labeled], "labels": [row["label"] for row in labeled]}] * 2
    write_rows(home / "TwentyNewsgroupsClustering" / "test.jsonl", grouped)
    return home
