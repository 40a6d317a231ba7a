"""What `make demo` runs: the package at work, without a network.

Until the bundled model comes, the model is built on the spot with random weights: the steps and the speed are real, the
neighbors mean nothing.
"""

import time
from pathlib import Path

import numpy as np

from instructor_embedding import INSTRUCTOR, Instruction
from instructor_embedding.model.layout import write
from instructor_embedding.model.scratch import random_checkpoint, train_tokenizer

FOLDER = Path(".demo") / "random-mini"
TITLES = [
    "The ferry leaves the harbor before the tide turns",
    "Rye bread and walnut rolls from the oven",
    "Engineers inspect the bridge after the storm",
    "Copper rises by four percent while tin stays",
    "A recipe for lentil soup with cumin and lemon",
    "Heavy stars burn their hydrogen in a few million years",
    "The court calls the contract void from the beginning",
    "The striker scored twice and was carried off the field",
]


def main() -> None:
    print("Building a model with random weights (its neighbors mean nothing; the bundled model is still to come).")
    write(random_checkpoint("mini", train_tokenizer(TITLES * 20, 300)), FOLDER)
    start = time.perf_counter()
    model = INSTRUCTOR(FOLDER)
    seconds, dimensions = time.perf_counter() - start, model.get_sentence_embedding_dimension()
    print(f"Loaded in {seconds:.2f} s: vectors of {dimensions} numbers.")

    news, topic = Instruction("title", "news", "retrieval"), Instruction("title", objective="clustering by topic")
    vectors = model.encode([[news, title] for title in TITLES])
    query = model.encode([[news, "What do I cook tonight?"]])
    best = int(np.argmax(model.similarity(query, vectors)))
    print(f"Nearest to 'What do I cook tonight?': {TITLES[best]!r}")

    other = model.encode([[topic, title] for title in TITLES])
    turned = np.degrees(np.arccos(np.clip((vectors * other).sum(1), -1, 1)))
    print(f"Another instruction turns the same texts' vectors by {turned.mean():.0f} degrees on average.")

    texts = [f"{title}, part {number}" for number in range(250) for title in TITLES]
    start = time.perf_counter()
    model.encode(texts, instruction=news)
    print(f"{len(texts) / (time.perf_counter() - start):.0f} short texts a second.")


if __name__ == "__main__":
    main()
