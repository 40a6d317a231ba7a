"""What a teacher says of texts: a state for each word, and a vector for each text, kept in a folder.

A vector teaches a text; the states teach each of its words, twenty times as much of the same texts. A word is what
stands between blanks and punctuation marks, for the teacher and for the model alike, whatever pieces they make of it.
States are rounded to 8 bits.

    python recipes/mini/taught.py TEXTS.jsonl TOKENIZER.json OUTPUT --teacher FOLDER
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from instructor_embedding.files.records import read_records

TEACHER = "sentence-transformers/all-MiniLM-L6-v2"
LONGEST = 100  # pieces that the teacher reads of a text, its two marks included
TOKENS = 6000  # of a batch of the teacher
SAMPLE = 400  # texts that the steps of the rounding are found on
WIDEST = 5 / 127  # a step, in standard deviations of a dimension
BLOCK = 8192


@dataclass(frozen=True)
class Taught:
    """Texts with their words' states and their vectors, in `folder`.

    Attributes
    ----------
    texts : list of str
    starts : int64 array of shape (n + 1,)
        Where the words of a text begin.
    codes : int8 array of shape (words, d)
        A state is ``codes * scale + mean``.
    vectors : float16 array of shape (n, d)
        Of length 1.
    scale, mean : float32 tensor of shape (d,)
    """

    texts: list[str]
    starts: NDArray[np.int64]
    codes: NDArray[np.int8]
    vectors: NDArray[np.float16]
    scale: Tensor
    mean: Tensor

    @classmethod
    def read(cls, folder: Path) -> Taught:
        """Map what `write` left in a folder."""
        texts = [text for _, text in read_records(folder / "texts.jsonl")]
        arrays = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("starts", "codes", "vectors")]
        scale, mean = torch.from_numpy(np.load(folder / "rounding.npy"))
        return cls(texts, np.array(arrays[0]), arrays[1], arrays[2], scale, mean)

    def words(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many words each of these texts has."""
        found: NDArray[np.int64] = self.starts[numbers + 1] - self.starts[numbers]
        return found

    def states(self, numbers: NDArray[np.int64]) -> Tensor:
        """Return the states of the words of these texts, one text behind the other: float32 of shape (words, d)."""
        rows = np.concatenate([self.codes[self.starts[number] : self.starts[number + 1]] for number in numbers])
        return torch.from_numpy(rows.astype(np.float32)).mul_(self.scale).add_(self.mean)

    def vectors_of(self, numbers: NDArray[np.int64]) -> Tensor:
        """Return the vectors of these texts: float32 of shape (n, d)."""
        return torch.from_numpy(self.vectors[numbers].astype(np.float32))


def word_numbers(encoded: Any) -> list[int] | None:
    """Return the word of each token, special tokens left out; None where a token belongs to no word."""
    found = [word for word, mark in zip(encoded.word_ids, encoded.special_tokens_mask, strict=True) if not mark]
    return None if None in found or not found else found


def cut(texts: Sequence[str], teacher: Tokenizer, own: Tokenizer) -> Iterator[tuple[str, list[int], list[int]]]:
    """Yield each text, cut behind a word where it is long for the teacher, with its ids and word of each id there.

    Texts of which the two tokenizers see different words are left out.
    """
    for first in range(0, len(texts), BLOCK):
        part = list(texts[first : first + BLOCK])
        for text, there, here in zip(part, teacher.encode_batch(part), own.encode_batch(part), strict=True):
            words, same = word_numbers(there), word_numbers(here)
            if words is None or same is None or words[-1] != same[-1]:
                continue
            kept = len(words)
            if kept > LONGEST - 2:
                kept = words.index(words[LONGEST - 2])  # a word that does not fit goes as a whole
            if kept:
                yield text[: there.offsets[kept][1]], there.ids[: kept + 1] + there.ids[-1:], words[:kept]


class WordTeacher:
    """An encoder of the Hub whose vectors are the means of its token states, such as all-MiniLM-L6-v2."""

    def __init__(self, name: str) -> None:
        from transformers import AutoModel

        self.model = AutoModel.from_pretrained(name, dtype=torch.bfloat16).eval()

    def states(self, ids: Tensor) -> Tensor:
        """Return the states of texts of one length: ids (B, L) to float32 (B, L, d)."""
        with torch.inference_mode():
            found: Tensor = self.model(input_ids=ids).last_hidden_state.float()
        return found


def write(folder: Path, texts: Sequence[str], teacher: WordTeacher, there: Tokenizer, own: Tokenizer) -> None:
    """Ask the teacher and write what `Taught.read` reads; the last file is there when all is."""
    folder.mkdir(parents=True, exist_ok=True)
    kept, ids, words = zip(*cut(texts, there, own), strict=True)
    (folder / "texts.jsonl").write_text("".join(json.dumps(text) + "\n" for text in kept), encoding="utf-8")
    counts = np.array([word[-1] + 1 for word in words])
    starts = np.concatenate([[0], np.cumsum(counts)])
    some = np.random.default_rng(0).permutation(len(kept))[:SAMPLE]
    sample = torch.cat([teacher.states(torch.tensor([ids[number]]))[0] for number in some])
    scale, mean = (sample.std(0) * WIDEST).clamp(min=1e-6), sample.mean(0)
    width = len(mean)
    codes = np.lib.format.open_memmap(folder / "codes.npy", "w+", np.int8, (int(starts[-1]), width))
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float16, (len(kept), width))
    for numbers in equally_long(np.array([len(one) for one in ids])):
        states = teacher.states(torch.tensor([ids[number] for number in numbers]))
        vectors[numbers] = torch.nn.functional.normalize(states.mean(1), dim=1).numpy()
        for number, rows in zip(numbers, states[:, 1:-1], strict=True):
            place = torch.tensor(words[number])
            sums = torch.zeros(int(counts[number]), width).index_add_(0, place, rows)
            found = (sums / place.bincount()[:, None] - mean) / scale
            codes[starts[number] : starts[number + 1]] = found.round_().clamp_(-127, 127).numpy()
    np.save(folder / "rounding.npy", torch.stack([scale, mean]).numpy())
    np.save(folder / "starts.npy", starts)


def equally_long(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the numbers of texts of one length, at most as many as fit into a batch."""
    order = np.argsort(lengths, kind="stable")
    for length, first in zip(*np.unique(lengths[order], return_index=True), strict=True):
        same = order[first : first + int((lengths == length).sum())]
        most = max(1, TOKENS // int(length))
        yield from (same[place : place + most] for place in range(0, len(same), most))


def main() -> None:
    """Ask the teacher for the texts of a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for path in ("texts", "tokenizer", "output"):
        parser.add_argument(path, type=Path)
    parser.add_argument("--teacher", default=TEACHER)
    given = parser.parse_args()
    from transformers import AutoTokenizer

    there = AutoTokenizer.from_pretrained(given.teacher).backend_tokenizer
    there.no_padding()
    there.no_truncation()
    own = Tokenizer.from_file(str(given.tokenizer))
    texts = [text for _, text in read_records(given.texts)]
    write(given.output, texts, WordTeacher(given.teacher), there, own)


if __name__ == "__main__":
    main()
