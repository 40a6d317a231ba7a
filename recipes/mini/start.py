"""What training starts from: a tokenizer, the texts that the teacher is asked for, and a static model of its vectors.

Texts are those of the triples, and texts of the same sources that hold words the triples seldom hold, so that rare
words get good vectors too. The vocabulary's own words are texts as well. Every step is kept in the output's folder.

    python recipes/mini/start.py TRIPLES.jsonl SOURCES OUTPUT --teacher_cache FOLDER [--texts 520000]
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tomllib
from numpy.typing import NDArray
from options import parser_of
from tokenizers import Tokenizer

from instructor_embedding.instruction import Pair
from instructor_embedding.medi.records import read_records
from instructor_embedding.medi.triple import read
from instructor_embedding.model.layout import write
from instructor_embedding.model.scratch import train_tokenizer
from instructor_embedding.training.static import static_checkpoint, token_ids
from instructor_embedding.training.teacher import Teacher, encoder_of

HERE = Path(__file__).parent
VOCABULARY = 24_576
TOKENIZER_TRIPLES = 60_000
TOKENIZER_CHARACTERS = 300
RARE = 30  # a token in fewer texts is looked for in others
FEWEST_LETTERS = 3  # of a word of the vocabulary that is a text of its own
BLOCK = 8192


def tokenizer_of(triples: Path) -> Tokenizer:
    """Train the tokenizer on texts of the triples and, three times over, on their instructions."""
    texts: dict[str, None] = {}
    instructions: dict[str, None] = {}
    for number, triple in enumerate(read(triples)):
        instructions |= dict.fromkeys(side.instruction for side in triple[:3])
        if number < TOKENIZER_TRIPLES:
            texts |= dict.fromkeys(side.text[:TOKENIZER_CHARACTERS] for side in triple[:2])
    return train_tokenizer([*texts, *list(instructions) * 3], VOCABULARY, uncased=True)


def source_texts(sources: Path) -> Iterator[str]:
    """Yield both sides of all pairs of the sources that the recipe may use."""
    skip = tomllib.loads((HERE / "medi.toml").read_text(encoding="utf-8"))["sources"][0]["skip"]
    for file in sorted((sources / "pairs").glob("*.jsonl.gz")):
        if file.name.removesuffix(".jsonl.gz") in skip:
            continue
        for _, row in read_records(file):
            yield from (text for text in row[:2] if text.strip())


def chosen(tokenizer: Tokenizer, triples: Path, sources: Path, count: int) -> list[str]:
    """Return the vocabulary's words, the triples' texts and, up to `count` with these, texts with rare tokens."""
    own = list(dict.fromkeys(side.text for triple in read(triples) for side in triple[:3]))
    seen = np.zeros(tokenizer.get_vocab_size(), np.int64)
    for ids in distinct_ids(tokenizer, own):
        seen[ids] += 1
    known = set(own)
    others = [text for text in dict.fromkeys(source_texts(sources)) if text not in known]
    others = [others[place] for place in np.random.default_rng(0).permutation(len(others))]
    rare: list[str] = []
    for text, ids in zip(others, distinct_ids(tokenizer, others), strict=True):
        if len(own) + len(rare) >= count:
            break
        if seen[ids].min() < RARE:
            rare.append(text)
            seen[ids] += 1
    words = [piece[1:] for piece in tokenizer.get_vocab() if piece.startswith("▁") and len(piece) > FEWEST_LETTERS]
    return [*sorted(words), *own, *rare]


def distinct_ids(tokenizer: Tokenizer, texts: list[str]) -> Iterator[NDArray[np.int64]]:
    """Yield the distinct token ids of each text."""
    for first in range(0, len(texts), BLOCK):
        yield from map(np.unique, token_ids(tokenizer, texts[first : first + BLOCK]))


def main() -> None:
    """Make what is not there yet."""
    parser = parser_of(__doc__, "triples", "sources", "output")
    parser.add_argument("--texts", type=int, default=520_000)
    parser.add_argument("--epochs", type=int, default=4)
    given = parser.parse_args()
    given.output.parent.mkdir(parents=True, exist_ok=True)
    kept = given.output.parent / "tokenizer.json"
    if not kept.is_file():
        tokenizer_of(given.triples).save(str(kept))
    tokenizer = Tokenizer.from_file(str(kept))
    texts = chosen(tokenizer, given.triples, given.sources, given.texts)
    teacher = Teacher(given.teacher_cache, given.teacher)
    new = teacher.fill((Pair("", text) for text in texts), lambda: encoder_of(given.teacher, "cpu", False))
    print(f"{len(texts)} texts, {new} of them new to the teacher")  # noqa: T201
    write(static_checkpoint("micro", tokenizer, teacher, texts, epochs=given.epochs), given.output)


if __name__ == "__main__":
    main()
