"""The mixture that the bundled model is trained on: MEDI triples and steering triples, instructions varied.

Articles and endings of instructions are changed at random, the same for the three sides of a triple, and some triples
get plain instructions or none, so that the model minds what an instruction says and not how it is punctuated.

    python recipes/mini/mix.py MEDI.jsonl STEERING.jsonl OUTPUT.jsonl --medi 100000 --steering 50000
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from instructor_embedding.medi.triple import Triple, read, write

_ARTICLES = ("the ", "the ", "the ", "a ", "")
_ENDINGS = (": ", ": ", ": ", "; ", ", ", " : ", "; Input: ")
_PLAIN = ("Represent the {}: ", "Represent the sentence: ", "Represent the text: ", "Represent the statement: ", "")
_PLAIN_SHARE = 0.1
_TEXT_TYPE = re.compile(r"^Represent (?:the |an? )?(.+?)(?: for .*)?: $")


def varied(triple: Triple, random: np.random.Generator) -> Triple:
    """Return the triple with its instructions said differently, each the same way."""
    plain = _PLAIN[int(random.integers(len(_PLAIN)))] if random.random() < _PLAIN_SHARE else None
    article = _ARTICLES[int(random.integers(len(_ARTICLES)))]
    ending = _ENDINGS[int(random.integers(len(_ENDINGS)))]

    def say(instruction: str) -> str:
        if plain is not None:
            found = _TEXT_TYPE.match(instruction)
            return plain.format(found.group(1) if found else "text")
        changed = re.sub(r"^Represent (the |an? )?", f"Represent {article}", instruction)
        return re.sub(r": $", ending, changed)

    query, pos, neg = (side._replace(instruction=say(side.instruction)) for side in triple[:3])
    return triple._replace(query=query, pos=pos, neg=neg)


def sampled(path: Path, count: int, random: np.random.Generator) -> list[Triple]:
    """Return about `count` triples; where a task has more than its share, its triples are drawn."""
    tasks: dict[int, list[Triple]] = defaultdict(list)
    for triple in read(path):
        tasks[triple.task].append(triple)
    share = _share([len(rows) for rows in tasks.values()], count)
    found = []
    for rows in tasks.values():
        chosen = random.permutation(len(rows))[:share]
        found += [rows[number] for number in sorted(chosen)]
    return found


def _share(sizes: list[int], count: int) -> int:
    """Return the largest share a task may have so that all together are at most `count`."""
    fits: Callable[[int], bool] = lambda most: sum(min(size, most) for size in sizes) <= count  # noqa: E731
    low, high = 0, max(sizes)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def mixed(medi: Path, steering: Path, counts: tuple[int, int], seed: int = 0) -> Iterator[Triple]:
    """Yield the mixture: MEDI with varied instructions, and the steering triples, which vary already."""
    random = np.random.default_rng(seed)
    for triple in sampled(medi, counts[0], random):
        yield varied(triple, random)
    yield from sampled(steering, counts[1], random)


def main() -> None:
    """Write the mixture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("medi", type=Path)
    parser.add_argument("steering", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--medi", dest="of_medi", type=int, default=150_000)
    parser.add_argument("--steering", dest="of_steering", type=int, default=50_000)
    given = parser.parse_args()
    count = write(given.output, mixed(given.medi, given.steering, (given.of_medi, given.of_steering)))
    print(f"{count} triples in {given.output}")  # noqa: T201


if __name__ == "__main__":
    main()
