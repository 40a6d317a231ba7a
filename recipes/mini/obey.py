"""Train the layers to obey instructions; the table and the head stay as they are.

Under an instruction that asks for a label (emotion, sentiment, intent) a text belongs to its label's name and to other
texts of that label, whatever they speak of; yet it stays a little near where it was, as labels to come may ask for what
the known ones do not tell. The same texts stay where they were under all other instructions, and texts of all kinds
where the teacher puts them. Triples, under their instructions, pull queries a little towards what answers them.

    python recipes/mini/obey.py START TAUGHT TRIPLES.jsonl SOURCES OUTPUT [--steps 450]
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from curve import note
from distill import Batch, Texts, instructions_of, losses
from labels import Labeled, labeled_sources
from numpy.typing import NDArray
from taught import Taught
from torch import Tensor
from wording import Wording

from instructor_embedding.instruction import Instruction, Pair
from instructor_embedding.medi.triple import Triple
from instructor_embedding.medi.triple import read as read_triples
from instructor_embedding.model.folder.read import read
from instructor_embedding.model.folder.write import write
from instructor_embedding.training.embedder import Embedder
from instructor_embedding.training.loss import Contrast, distance

LABELED, SLOTS, TRIPLES = 96, 2, 48  # texts with labels in each slot, slots of a step, triples of a step
TOKENS = 4096  # of a step's texts that the teacher spoke of
LONGEST = 64  # tokens read of a text with a label or of a triple, instruction included
RATE, WARMUP, CLIP = 1e-3, 15, 5.0
TEMPERATURE, AMONG_TEXTS = 0.05, 0.1  # of texts against names, and against each other
TAUGHT, STAYING, STILL_NEAR, LIKE_TEXTS, CONTRAST = 10.0, 8.0, 1.0, 0.5, 0.2  # weights beside texts against names


@dataclass(frozen=True)
class Part:
    """Some texts of a step: what is encoded, and the loss of its vectors."""

    pairs: list[Pair]
    loss: Callable[[Tensor], Tensor]


def label_loss(texts: Tensor, names: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of texts against the names of all labels, and against texts of the same label.

    Parameters
    ----------
    texts : tensor of shape (n, dim)
    names : tensor of shape (labels, dim)
    labels : int tensor of shape (n,)
        The place of each text's name.
    """
    to_names = F.cross_entropy(texts @ names.T / TEMPERATURE, labels)
    own = torch.eye(len(labels), dtype=torch.bool)
    same = (labels[:, None] == labels[None]) & ~own
    likely = (texts @ texts.T / AMONG_TEXTS).masked_fill(own, -1e4).log_softmax(1)
    counts = same.sum(1)
    if not counts.any():
        return to_names
    among = -(likely * same).sum(1)[counts > 0] / counts[counts > 0]
    return to_names + LIKE_TEXTS * among.mean()


class Steps:
    """Draws the parts of each step; `start` holds for each source the vectors that its texts begin with."""

    def __init__(
        self, sources: Sequence[Labeled], start: Sequence[Tensor], triples: Sequence[Triple], seed: int = 0
    ) -> None:
        self.random = np.random.default_rng(seed)
        self.wording = Wording(self.random)
        self.sources = list(sources)
        self.start = list(start)
        self.shares = _roots([len(source.texts) for source in self.sources])
        tasks: dict[int, list[Triple]] = defaultdict(list)
        for triple in triples:
            tasks[triple.task].append(triple)
        self.tasks = list(tasks.values())
        self.task_shares = _roots([len(task) for task in self.tasks])

    def draw(self) -> list[Part]:
        """Return the parts of one step."""
        return [*(self._labeled() for _ in range(SLOTS)), self._triples()]

    def _labeled(self) -> Part:
        number = self.random.choice(len(self.sources), p=self.shares)
        source = self.sources[number]
        places = self.random.integers(0, len(source.texts), LABELED)
        texts = [source.texts[place] for place in places]
        asked = self.wording.for_label(source.kinds, source.label_kinds)
        other = self.wording.for_others(source.kinds)
        names, labels = np.unique([source.labels[place] for place in places], return_inverse=True)
        name = str(Instruction(source.label_kinds[0]))
        pairs = [Pair(said, text) for said in (asked, other) for text in texts]
        pairs += [Pair(name, str(label)) for label in names]
        right, start = torch.from_numpy(labels), self.start[number][places]

        def loss(vectors: Tensor) -> Tensor:
            obeying, staying, named = vectors.split([len(texts), len(texts), len(names)])
            near = STILL_NEAR * distance(obeying, start, "cosine") + STAYING * distance(staying, start, "cosine")
            return (label_loss(obeying, named, right) + near) / SLOTS

        return Part(pairs, loss)

    def _triples(self) -> Part:
        task = self.tasks[self.random.choice(len(self.tasks), p=self.task_shares)]
        chosen = [self.wording.varied(task[place]) for place in self.random.permutation(len(task))[:TRIPLES]]
        sides = [[triple[side] for triple in chosen] for side in range(3)]
        number: dict[str, int] = {}
        keys = torch.tensor([[number.setdefault(pair.text, len(number)) for pair in side] for side in sides])
        contrast = Contrast(TEMPERATURE, "in-batch", mask_duplicates=True)
        return Part(list(chain(*sides)), lambda vectors: CONTRAST * contrast(*vectors.chunk(3), keys))


def _roots(sizes: Sequence[int]) -> NDArray[np.float64]:
    roots = np.sqrt(sizes)
    return roots / roots.sum()


def train(model: Embedder, steps: Steps, count: int, output: Path, texts: Texts | None = None) -> None:
    """Train what is not frozen; print and note the losses of labels, of triples, and of distance to the teacher."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=RATE, betas=(0.9, 0.98), fused=True)
    fade: Callable[[int], float] = lambda step: min(1, (step + 1) / WARMUP) * (1 - step / count)  # noqa: E731
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, fade)
    taught = _endless(texts) if texts else None
    start, seen = time.perf_counter(), []
    longest = model.tokens.max_length
    for step in range(count):
        parts = steps.draw()
        model.tokens.max_length = LONGEST
        packed = model.tokens.pack([pair for part in parts for pair in part.pairs])
        model.tokens.max_length = longest
        order = np.argsort(packed.lengths, kind="stable")
        with torch.autocast("cpu", torch.bfloat16):
            vectors = model(packed.take(order))[torch.from_numpy(np.argsort(order))]
        rows = vectors.float().split([len(part.pairs) for part in parts])
        told = [part.loss(some) for part, some in zip(parts, rows, strict=True)]
        if taught and texts:
            words, apart = losses(model, next(taught), texts.taught)
            told.append(words + TAUGHT * apart)
        optimizer.zero_grad()
        torch.stack(told).sum().backward()
        torch.nn.utils.clip_grad_norm_(trained, CLIP)
        optimizer.step()
        schedule.step()
        found = [loss.item() for loss in told]
        seen.append([sum(found[:SLOTS]), found[SLOTS], sum(found[SLOTS + 1 :])])
        if step % 20 == 19 or step + 1 == count:
            now = dict(zip(("labels", "triples", "teacher"), np.mean(seen[-20:], 0).tolist(), strict=True))
            note(output, step + 1, now)
            said = ", ".join(f"{name} {value:.3f}" for name, value in now.items())
            print(f"step {step + 1}: {said}, {time.perf_counter() - start:.0f} s", flush=True)  # noqa: T201


def _endless(texts: Texts) -> Iterator[Batch]:
    epoch = 1000  # orders that the steps before did not see
    while True:
        yield from texts.batches(epoch)
        epoch += 1


def main() -> None:
    """Train the layers of a start."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for path in ("start", "taught", "triples", "sources", "output"):
        parser.add_argument(path, type=Path)
    parser.add_argument("--steps", type=int, default=450)
    given = parser.parse_args()
    torch.manual_seed(0)
    sources = [source.part(held=False) for source in labeled_sources(given.sources)]
    parts = read(given.start)
    model = Embedder(parts).train()
    model.set_dropout(0)
    model.freeze(["embedding", "head"])
    place: dict[str, int] = {}
    places = [[place.setdefault(text, len(place)) for text in source.texts] for source in sources]
    vectors = torch.from_numpy(model.encode([Pair("", text[:400]) for text in place]))
    start = [vectors[some] for some in places]
    texts = Texts(Taught.read(given.taught), parts, instructions_of(given.triples), size=TOKENS)
    train(model, Steps(sources, start, list(read_triples(given.triples))), given.steps, given.output, texts)
    write(model.finished(), given.output)


if __name__ == "__main__":
    main()
