"""The tokenizer, and the texts that the teacher is asked about.

Of each source: short texts, sentences out of long ones, and beginnings of long ones; fewer where a source is code, of a
narrow kind, or an instruction task, of which there are hundreds.

    python recipes/mini/texts.py TRIPLES.jsonl SOURCES OUTPUT

writes ``tokenizer.json`` and ``texts.jsonl`` to the folder OUTPUT.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import tomllib
from tokenizers import Tokenizer

from instructor_embedding.files.records import read_records
from instructor_embedding.medi.triple import read
from instructor_embedding.model.scratch import train_tokenizer

HERE = Path(__file__).parent
VOCABULARY = 24_576
TOKENIZER_TRIPLES = 60_000
TOKENIZER_CHARACTERS = 300
SHORT, LONG = 220, 1200  # characters of a short text at most, and read of a long one
SENTENCES = 3  # taken from one long text
MANY, FEW = (18_000, 6_000, 700), (2_000, 500, 50)  # short texts, sentences and long texts of a source
NARROW = {
    "concode_nl_java", "java_csharp_translation", "django_annotation_code", "pydocstring_code", "wikisql_question_sql",
    "query_wellformedness", "factbook_field_text", "wikitable_question_table", "bible_kjv_web",
}  # fmt: skip
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")


def tokenizer_of(triples: Path) -> Tokenizer:
    """Train the tokenizer on texts of the triples and, three times over, on their instructions."""
    texts: dict[str, None] = {}
    instructions: dict[str, None] = {}
    for number, triple in enumerate(read(triples)):
        instructions |= dict.fromkeys(side.instruction for side in triple[:3])
        if number < TOKENIZER_TRIPLES:
            texts |= dict.fromkeys(side.text[:TOKENIZER_CHARACTERS] for side in triple[:2])
    return train_tokenizer([*texts, *list(instructions) * 3], VOCABULARY, uncased=True)


def source_texts(triples: Path, sources: Path) -> dict[str, list[str]]:
    """Return the distinct texts of each source: whole pair files that the recipe may use, and the triples of tasks."""
    skip = tomllib.loads((HERE / "medi.toml").read_text(encoding="utf-8"))["sources"][0]["skip"]
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for file in sorted((sources / "pairs").glob("*.jsonl.gz")):
        name = file.name.removesuffix(".jsonl.gz")
        if name not in skip:
            for _, row in read_records(file):
                some = row["set"] if isinstance(row, dict) else row
                found[name] |= dict.fromkeys(text.strip() for text in some[:3] if text.strip())
    pairs = set(found)
    for triple in read(triples):
        if triple.task_name not in pairs:
            texts = (side.text.strip() for side in triple[:3])
            found[f"task {triple.task_name}"] |= dict.fromkeys(text for text in texts if text)
    return {name: list(texts) for name, texts in found.items()}


def chosen(texts: dict[str, list[str]]) -> list[str]:
    """Return the texts to ask about, each once, in an order without meaning."""
    random = np.random.default_rng(0)

    def some(of: list[str], most: int) -> list[str]:
        return [of[place] for place in random.permutation(len(of))[:most]]

    found: dict[str, None] = {}
    for name, own in texts.items():
        most = FEW if name in NARROW or name.startswith("task ") else MANY
        long = [text[:LONG] for text in own if len(text) > SHORT]
        sentences = list(chain.from_iterable(some(list(_sentences(text)), SENTENCES) for text in long))
        kinds = ([text for text in own if len(text) <= SHORT], sentences, long)
        for kind, count in zip(kinds, most, strict=True):
            found |= dict.fromkeys(some(kind, count))
    return some(list(found), len(found))


def _sentences(text: str) -> Iterator[str]:
    return (sentence for sentence in _END.split(text) if 25 <= len(sentence) <= 300)


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for path in ("triples", "sources", "output"):
        parser.add_argument(path, type=Path)
    parser.add_argument("--most", type=int, help="texts to keep")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    tokenizer_of(given.triples).save(str(given.output / "tokenizer.json"))
    texts = chosen(source_texts(given.triples, given.sources))[: given.most]
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    (given.output / "texts.jsonl").write_text(lines, encoding="utf-8")
    print(f"{len(texts)} texts")  # noqa: T201


if __name__ == "__main__":
    main()
