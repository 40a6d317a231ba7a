"""Train a T5 encoder to say of texts what the teacher says: each word's state, and the text's vector.

The table begins as the mean state that the teacher gives a piece's words, the layers begin as nothing. A part of the
texts has an instruction, which says nothing yet: what it asks for comes with `obey.py`.

    python recipes/mini/distill.py TAUGHT TOKENIZER.json TRIPLES.jsonl OUTPUT [--steps 7600]
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from curve import note
from numpy.typing import NDArray
from taught import Taught, word_numbers
from tokenizers import Tokenizer
from torch import Tensor
from wording import Wording

from instructor_embedding.instruction import Pair
from instructor_embedding.medi.triple import read as read_triples
from instructor_embedding.model import embedder
from instructor_embedding.model.folder.write import write
from instructor_embedding.model.packed import Packed
from instructor_embedding.model.scratch import random_embedder
from instructor_embedding.model.t5 import Attention, FeedForward, RMSNorm
from instructor_embedding.training.embedder import Embedder
from instructor_embedding.training.loss import distance

SHAPE = "mini"
TOKENS = 8192  # of a step, instructions not counted
WINDOW, BANDS = 8, 4  # texts of so many steps are drawn together, each step takes so many bands of similar lengths
RATE, TABLE_RATE, LAST_RATE, WARMUP, CLIP = 1.5e-3, 3e-3, 0.05, 100, 5.0
VECTOR = 8.0  # weight of the texts' vectors beside that of the words' states
INSTRUCTED = 0.35  # part of the texts that have an instruction
HELD_BACK = 2000  # texts that are not trained on
KEEP = 100  # steps between files to go on from
FOUND = 120_000  # texts that the table begins with
LABELS = re.compile("emotion|sentiment|intent|feeling|mood|polarity|toxic|hate|sarcas", re.IGNORECASE)


class Batch(NamedTuple):
    """Texts of a step: `word` numbers the words of all texts, and is the number of words where a token has none."""

    numbers: NDArray[np.int64]
    packed: Packed
    word: Tensor
    words: int


class Texts:
    """Draws batches of the texts that a teacher spoke of."""

    def __init__(
        self, taught: Taught, parts: embedder.Embedder, instructions: list[str], seed: int = 0, size: int | None = None
    ) -> None:
        self.taught = taught
        self.size = size or TOKENS
        self.tokens = parts.tokens
        self.instructions = instructions
        encode = parts.tokens.tokenizer.encode_batch
        blocks = (taught.texts[first : first + 8192] for first in range(0, len(taught.texts), 8192))
        found = [word_numbers(one) for block in blocks for one in encode(block)]
        words = taught.words(np.arange(len(taught.texts)))
        usable = [word is not None and word[-1] + 1 == count for word, count in zip(found, words, strict=True)]
        self.word_of = [np.array(word or (), np.int16) for word in found]
        self.lengths = np.array([len(word) + 1 for word in self.word_of])
        order = np.random.default_rng(seed).permutation(np.flatnonzero(usable))
        self.held, self.trained = order[:HELD_BACK], order[HELD_BACK:]

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of one pass in an order of its own."""
        random = np.random.default_rng(epoch)
        wording = Wording(random)
        for window in self._split(random.permutation(self.trained), WINDOW * self.size):
            bands = self._split(window[np.argsort(self.lengths[window], kind="stable")], self.size // BANDS)
            random.shuffle(bands)
            for first in range(0, len(bands), BANDS):
                numbers = np.concatenate(bands[first : first + BANDS])
                instructed = random.random(len(numbers)) < INSTRUCTED
                yield self.batch(numbers, [wording.of(self.instructions) if one else "" for one in instructed])

    def _split(self, numbers: NDArray[np.int64], tokens: int) -> list[NDArray[np.int64]]:
        """Split texts into parts of so many tokens."""
        ends = np.cumsum(self.lengths[numbers])
        return np.split(numbers, np.searchsorted(ends, np.arange(tokens, ends[-1], tokens)))

    def batch(self, numbers: NDArray[np.int64], instructions: list[str]) -> Batch:
        """Return a batch of these texts; texts of one length stand together."""
        pairs = [Pair(said, self.taught.texts[number]) for said, number in zip(instructions, numbers, strict=True)]
        packed = self.tokens.pack(pairs)
        order = np.argsort(packed.lengths, kind="stable")
        numbers, packed = numbers[order], packed.take(order)
        counts = self.taught.words(numbers)
        words = int(counts.sum())
        first = np.concatenate([[0], np.cumsum(counts)[:-1]])
        word = np.full(len(packed.ids), words, np.int64)
        for place, number in enumerate(numbers):
            own = self.word_of[number]
            end = packed.starts[place + 1] - 1
            word[end - len(own) : end] = own + first[place]
        return Batch(numbers, packed, torch.from_numpy(word), words)


def instructions_of(triples: Path) -> list[str]:
    """Return the triples' instructions that ask for no label, and those without a purpose."""
    found = {side.instruction for triple in read_triples(triples) for side in triple[:3]}
    return sorted(one for one in found if one and not LABELS.search(one))


def losses(model: Embedder, batch: Batch, taught: Taught) -> tuple[Tensor, Tensor]:
    """Return the distance of the words' states, as a part of their variance, and that of the vectors."""
    with torch.autocast("cpu", torch.bfloat16):
        states = model.encoder.packed(batch.packed)
        sums = torch.zeros(batch.words + 1, states.shape[1]).index_add(0, batch.word, states)[:-1]
        counts = batch.word.bincount(minlength=batch.words + 1)[:-1, None]
        said = model.head.dense_layers()[-1].linear(sums / counts).float()
    vectors = model.head.packed(states, batch.packed)
    goals = taught.states(batch.numbers)
    apart = (said - goals).square().mean() / (goals - taught.mean).square().mean()
    return apart, distance(vectors, taught.vectors_of(batch.numbers), "cosine")


@torch.no_grad()
def begin(parts: embedder.Embedder, texts: Texts) -> None:
    """Make the table the mean state of each piece's words, of mean square 1, and the layers add nothing."""
    encoder, taught = parts.encoder, texts.taught
    sums, seen = torch.zeros(encoder.embedding.weight.shape), torch.zeros(len(encoder.embedding.weight))
    for numbers in np.array_split(texts.trained[:FOUND], max(1, min(FOUND, len(texts.trained)) // 4000)):
        batch = texts.batch(numbers, [""] * len(numbers))
        states = torch.cat([taught.states(batch.numbers), taught.mean[None]])  # an end mark begins as the mean
        ids = torch.from_numpy(batch.packed.ids).long()
        sums.index_add_(0, ids, states[batch.word])
        seen += ids.bincount(minlength=len(seen))
    rows = (sums + 2 * taught.mean) / (seen + 2)[:, None]
    size = rows[seen > 0].square().mean().sqrt()
    encoder.embedding.weight.copy_(rows / size)
    for part in encoder.modules():
        if isinstance(part, Attention):
            part.o.weight.zero_()
        elif isinstance(part, FeedForward):
            part.wo.weight.zero_()
        elif isinstance(part, RMSNorm) and part is encoder.final_norm:
            part.weight.fill_(size)
    torch.nn.init.eye_(parts.head.dense_layers()[-1].linear.weight)


def train(model: Embedder, texts: Texts, steps: int, kept: Path) -> None:
    """Train on what the teacher says; goes on from `kept` where it is there."""
    table = model.encoder.embedding.weight
    others = [weight for weight in model.parameters() if weight is not table]
    groups = [{"params": others, "lr": RATE}, {"params": [table], "lr": TABLE_RATE}]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.98), eps=1e-10, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / WARMUP) * (1 - (1 - LAST_RATE) * step / steps)
    )
    step, epoch, seen, start = 0, 0, [], time.perf_counter()
    if kept.is_file():
        state = torch.load(kept, weights_only=True)
        step, epoch = state["step"], state["epoch"] + 1
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
    while step < steps:
        for batch in texts.batches(epoch):
            words, vectors = losses(model, batch, texts.taught)
            optimizer.zero_grad()
            (words + VECTOR * vectors).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            schedule.step()
            step += 1
            seen.append((words.item(), vectors.item(), len(batch.packed.ids)))
            if step % KEEP == 0 or step == steps:
                report(model, texts, step, seen, time.perf_counter() - start, kept)
                state = {"step": step, "epoch": epoch, "model": model.state_dict()}
                state |= {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
                torch.save(state, kept.with_suffix(".new"))
                kept.with_suffix(".new").replace(kept)
            if step == steps:
                break
        epoch += 1


@torch.no_grad()
def report(
    model: Embedder, texts: Texts, step: int, seen: list[tuple[float, float, int]], taken: float, kept: Path
) -> None:
    """Print and note the losses of the last steps and of texts that are not trained on."""
    some = np.array_split(texts.held, max(1, len(texts.held) // 250))
    held = [losses(model, texts.batch(numbers, [""] * len(numbers)), texts.taught) for numbers in some]
    words, vectors, _ = np.mean(seen[-KEEP:], 0)
    held_words, held_vectors = np.mean([[one.item() for one in pair] for pair in held], 0)
    rate = sum(count for *_, count in seen) / taken
    now = {"words": words, "vectors": vectors, "new words": held_words, "new vectors": held_vectors}
    note(kept, step, now)
    print(  # noqa: T201
        f"step {step}: words {words:.4f}, vectors {vectors:.4f}; held back {held_words:.4f}, {held_vectors:.4f}; "
        f"{rate:.0f} tokens/s, {taken:.0f} s",
        flush=True,
    )


def main() -> None:
    """Train a model from what a teacher said."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for path in ("taught", "tokenizer", "triples", "output"):
        parser.add_argument(path, type=Path)
    parser.add_argument("--steps", type=int, default=7600)
    given = parser.parse_args()
    torch.manual_seed(0)
    parts = random_embedder(SHAPE, Tokenizer.from_file(str(given.tokenizer)))
    texts = Texts(Taught.read(given.taught), parts, instructions_of(given.triples))
    kept = given.output.with_suffix(".resume")
    if not kept.is_file():
        begin(parts, texts)
    model = Embedder(parts).train()
    model.set_dropout(0)
    train(model, texts, given.steps, kept)
    write(model.finished(), given.output)


if __name__ == "__main__":
    main()
