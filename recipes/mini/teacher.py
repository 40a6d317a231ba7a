"""The teacher's targets, on disk: the vector of each text, and the states of a random third of its tokens.

A vector is a single target per text; the states of its tokens are many, and cost the teacher nothing more. A
third of them is enough, since neighboring states say much the same, and 1.2 million texts then take about 4 GB. States
are rounded to 8 bits.

    python -m recipes.mini.teacher TEXTS.jsonl TOKENIZER.json OUTPUT --teacher FOLDER
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from instructor_embedding.files.records import read_records, write_records
from recipes.mini import tokenizer as tokenizers

TEACHER = "sentence-transformers/all-MiniLM-L6-v2"
LONGEST = 100  # tokens of a text that are read, without special tokens
SHARE = 3  # every third token, drawn at random, has its state stored
TOKENS = 6000  # of a batch of the teacher
SAMPLE = 200  # texts that the scales of the rounding are computed from
WIDEST = 5 / 127  # a rounding step, in standard deviations of a dimension
BLOCK = 65_536


@dataclass(frozen=True)
class Targets:
    """Texts with their targets, in a folder; arrays are memory maps.

    Attributes
    ----------
    texts, groups : list of str
        Texts, shortened to what the teacher read, and their groups.
    starts : int64 array of shape (n + 1,)
        Index of the first stored state of each text.
    positions : uint8 array of shape (states,)
        Index of the state's token in its text.
    codes : int8 array of shape (states, d)
        A state is ``codes * scale + mean``.
    vectors : float16 array of shape (n, d)
        Of unit norm.
    scale, mean : float32 tensor of shape (d,)
    """

    texts: list[str]
    groups: list[str]
    starts: NDArray[np.int64]
    positions: NDArray[np.uint8]
    codes: NDArray[np.int8]
    vectors: NDArray[np.float16]
    scale: Tensor
    mean: Tensor

    @classmethod
    def read(cls, folder: Path) -> Targets:
        """Map the files that `write` made."""
        rows = [row for _, row in read_records(folder / "texts.jsonl")]
        names = ("starts", "positions", "codes", "vectors")
        starts, positions, codes, vectors = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in names)
        scale, mean = torch.from_numpy(np.load(folder / "rounding.npy"))
        texts, groups = [row["text"] for row in rows], [row["group"] for row in rows]
        return cls(texts, groups, np.array(starts), positions, codes, vectors, scale, mean)

    def states(self, rows: NDArray[np.int64]) -> Tensor:
        """Return the stored states of texts, consecutively: float32 of shape (states, d)."""
        codes = np.concatenate([self.codes[self.starts[row] : self.starts[row + 1]] for row in rows])
        return torch.from_numpy(codes.astype(np.float32)).mul_(self.scale).add_(self.mean)

    def positions_of(self, row: int) -> NDArray[np.int64]:
        """Return the tokens of one text whose states are stored, by their index in the text."""
        return self.positions[self.starts[row] : self.starts[row + 1]].astype(np.int64)

    def vectors_of(self, rows: NDArray[np.int64]) -> Tensor:
        """Return the vectors of texts: float32 of shape (n, d)."""
        return torch.from_numpy(self.vectors[rows].astype(np.float32))


class Teacher:
    """An encoder of the Hub whose vectors are the means of its token states, such as all-MiniLM-L6-v2."""

    def __init__(self, name: str, device: torch.device) -> None:
        from transformers import AutoModel

        self.device = device
        self.model = AutoModel.from_pretrained(name, dtype=torch.float32).eval().to(device)
        for weight in self.model.parameters():
            weight.requires_grad_(False)

    def layers(self, ids: Tensor) -> list[Tensor]:
        """Return the states after each layer for texts of one length: ids (B, L) to float32 (B, L, d) each."""
        with torch.inference_mode(), mixed(self.device):
            states = self.model(input_ids=ids.to(self.device), output_hidden_states=True).hidden_states
        return [state.float() for state in states[1:]]


def mixed(device: torch.device) -> Any:
    """Return autocast to bfloat16 where the device computes in it, else a context without effect."""
    supported = device.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=bool(supported))


def device_of(name: str = "auto") -> torch.device:
    """Return a torch device; ``"auto"`` is a GPU if there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def shortened(text: str, encoding: Any) -> tuple[str, list[int]]:
    """Return a text up to its last complete word within LONGEST tokens, and the ids of its tokens, without EOS."""
    ids, words = encoding.ids[:-1], encoding.word_ids[:-1]
    count = len(ids)
    if count > LONGEST:
        count = words.index(words[LONGEST])  # the word that would be split is left out
    return (text[: encoding.offsets[count - 1][1]] if count else ""), ids[:count]


def write(
    folder: Path, rows: list[dict[str, str]], teacher: Teacher, student: Tokenizer, ids: NDArray[np.int64]
) -> None:
    """Compute the targets of texts and write the files of `Targets`, ``starts.npy`` last.

    Parameters
    ----------
    folder : path
    rows : list of dict
        With the fields ``text`` and ``group``.
    teacher : Teacher
    student : Tokenizer
    ids : int array of shape (vocabulary,)
        The teacher's id of each id of the student, see `tokenizer.to_teacher`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept, tokens = _tokenized(rows, student)
    write_records(folder / "texts.jsonl", kept)
    random = np.random.default_rng(0)
    counts = np.array([-(-len(row) // SHARE) for row in tokens])
    starts = np.concatenate([[0], np.cumsum(counts)])

    def batch(numbers: NDArray[np.int64]) -> Tensor:
        return torch.tensor(np.array([ids[[0, *tokens[number], 1]] for number in numbers]))

    sample = [
        teacher.layers(batch(np.array([number])))[-1][0].cpu() for number in random.permutation(len(kept))[:SAMPLE]
    ]
    states = torch.cat(sample)
    scale, mean = (states.std(0) * WIDEST).clamp(min=1e-6), states.mean(0)
    width = len(mean)
    arrays = {"codes": (np.int8, (int(starts[-1]), width)), "vectors": (np.float16, (len(kept), width)),
              "positions": (np.uint8, (int(starts[-1]),))}  # fmt: skip
    codes, vectors, positions = (
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape) for name, (dtype, shape) in arrays.items()
    )
    for numbers in equally_long(np.array([len(row) for row in tokens])):
        final = teacher.layers(batch(numbers))[-1].cpu()
        vectors[numbers] = torch.nn.functional.normalize(final.mean(1), dim=1).numpy()
        rounded = ((final[:, 1:-1] - mean) / scale).round_().clamp_(-127, 127).to(torch.int8).numpy()
        for number, row in zip(numbers, rounded, strict=True):
            drawn = np.sort(random.permutation(len(row))[: counts[number]])
            positions[starts[number] : starts[number + 1]] = drawn
            codes[starts[number] : starts[number + 1]] = row[drawn]
    np.save(folder / "rounding.npy", torch.stack([scale, mean]).numpy())
    np.save(folder / "starts.npy", starts)


def _tokenized(rows: list[dict[str, str]], student: Tokenizer) -> tuple[list[dict[str, str]], list[list[int]]]:
    """Return the rows with shortened texts, those without tokens left out, and the ids of each."""
    kept: list[dict[str, str]] = []
    tokens: list[list[int]] = []
    pending = iter(rows)
    while block := list(islice(pending, BLOCK)):
        for row, encoding in zip(block, student.encode_batch([row["text"] for row in block]), strict=True):
            text, ids = shortened(row["text"], encoding)
            if ids:
                kept.append({"text": text, "group": row["group"]})
                tokens.append(ids)
    return kept, tokens


def equally_long(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the indices of texts of one length, at most as many as fit into a batch."""
    order = np.argsort(lengths, kind="stable")
    for length, first in zip(*np.unique(lengths[order], return_index=True), strict=True):
        same = order[first : first + int((lengths == length).sum())]
        most = max(1, TOKENS // (int(length) + 2))
        yield from (same[start : start + most] for start in range(0, len(same), most))


def main() -> None:
    """Write the targets of the texts of a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for path in ("texts", "tokenizer", "output"):
        parser.add_argument(path, type=Path)
    parser.add_argument("--teacher", default=TEACHER)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    student = Tokenizer.from_file(str(arguments.tokenizer))
    ids = tokenizers.to_teacher(student, tokenizers.read(arguments.teacher))
    rows = [row for _, row in read_records(arguments.texts)]
    write(arguments.output, rows, Teacher(arguments.teacher, device_of(arguments.device)), student, ids)


if __name__ == "__main__":
    main()
