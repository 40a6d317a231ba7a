"""Train the layers above the table to obey instructions; the table and the head stay as they are.

Under an instruction that asks for a label (emotion, sentiment, intent) a text belongs to its label's name and to other
texts of that label, whatever they speak of. Under all others its vector stays near the teacher's, and a little under
these too, as labels to come may ask for what the known ones do not tell. Triples with their
own instructions take part in both: distance to the teacher, and a little contrast.

    python recipes/mini/obey.py START TRIPLES.jsonl SOURCES OUTPUT --teacher_cache FOLDER [--steps 1000]
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from labels import Labeled, labeled_sources
from numpy.typing import NDArray
from options import parser_of
from polish import contrast
from torch import Tensor
from wording import Wording

from instructor_embedding.instruction import Instruction, Pair
from instructor_embedding.medi.triple import Triple
from instructor_embedding.medi.triple import read as read_triples
from instructor_embedding.model.checkpoint import read
from instructor_embedding.model.layout import write
from instructor_embedding.training.embedder import Embedder
from instructor_embedding.training.loss import distance
from instructor_embedding.training.teacher import Teacher, encoder_of

LABELED, SLOTS, OTHERS, TRIPLES = 128, 3, 128, 64  # texts with labels in each slot, texts without, triples of a step
LONGEST = 48  # tokens read of a text, instruction included
RATE, WARMUP, CLIP = 2e-3, 100, 5.0
TEMPERATURE, AMONG_TEXTS = 0.05, 0.1  # of texts against names, and against each other
NEAR_TEACHER, STILL_NEAR, LIKE_TEXTS, CONTRAST = 10.0, 3.0, 0.5, 0.2  # weights beside that of texts against names


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
    """Draws the parts of each step."""

    def __init__(self, sources: Sequence[Labeled], triples: Sequence[Triple], teacher: Teacher, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.wording = Wording(self.random)
        self.sources = list(sources)
        self.shares = _roots([len(source.texts) for source in self.sources])
        self.teacher = teacher
        tasks: dict[int, list[Triple]] = defaultdict(list)
        for triple in triples:
            tasks[triple.task].append(triple)
        self.triples = list(triples)
        self.tasks = list(tasks.values())
        self.task_shares = _roots([len(task) for task in self.tasks])

    def draw(self) -> list[Part]:
        """Return the parts of one step."""
        labeled = [self._labeled() for _ in range(SLOTS)]
        others = [self._others(OTHERS // 2) for _ in range(2)]
        return [*labeled, *others, self._triples()]

    def _labeled(self) -> Part:
        source, texts, places = self._texts(LABELED)
        asked = self.wording.for_label(source.kinds, source.label_kinds)
        names, labels = np.unique([source.labels[place] for place in places], return_inverse=True)
        name = str(Instruction(source.label_kinds[0]))
        pairs = [Pair(asked, text) for text in texts] + [Pair(name, str(label)) for label in names]
        right, goals = torch.from_numpy(labels), self._taught(texts)

        def loss(vectors: Tensor) -> Tensor:
            asked_for, named = vectors[: len(texts)], vectors[len(texts) :]
            return (label_loss(asked_for, named, right) + STILL_NEAR * distance(asked_for, goals, "cosine")) / SLOTS

        return Part(pairs, loss)

    def _others(self, count: int) -> Part:
        source, texts, _ = self._texts(count)
        asked = self.wording.for_others(source.kinds)
        goals = self._taught(texts)
        return Part(
            [Pair(asked, text) for text in texts], lambda vectors: NEAR_TEACHER / 2 * distance(vectors, goals, "cosine")
        )

    def _triples(self) -> Part:
        task = self.tasks[self.random.choice(len(self.tasks), p=self.task_shares)]
        chosen = [self.wording.varied(task[place]) for place in self.random.permutation(len(task))[:TRIPLES]]
        single = [self.wording.varied(self.triples[place]).query for place in self._places(len(self.triples), TRIPLES)]
        sides = [[triple[side] for triple in chosen] for side in range(3)]
        numbers: dict[str, int] = {}
        query, pos, neg = (np.array([numbers.setdefault(pair.text, len(numbers)) for pair in side]) for side in sides)
        pairs = [*sides[0], *sides[1], *sides[2], *single]
        goals = self._taught([pair.text for pair in pairs])

        def loss(vectors: Tensor) -> Tensor:
            apart = contrast(vectors[: 3 * len(chosen)], query, pos, neg)
            return NEAR_TEACHER * distance(vectors, goals, "cosine") + CONTRAST * apart

        return Part(pairs, loss)

    def _texts(self, count: int) -> tuple[Labeled, list[str], NDArray[np.int64]]:
        source = self.sources[self.random.choice(len(self.sources), p=self.shares)]
        places = self._places(len(source.texts), count)
        return source, [source.texts[place] for place in places], places

    def _places(self, size: int, count: int) -> NDArray[np.int64]:
        return self.random.integers(0, size, count)

    def _taught(self, texts: Sequence[str]) -> Tensor:
        return torch.from_numpy(self.teacher.vectors([Pair("", text) for text in texts]))


def _roots(sizes: Sequence[int]) -> NDArray[np.float64]:
    roots = np.sqrt(sizes)
    return roots / roots.sum()


def train(model: Embedder, steps: Steps, count: int) -> None:
    """Train what is not frozen; prints the losses of the three kinds of parts."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=RATE, betas=(0.9, 0.98))
    fade: Callable[[int], float] = lambda step: min(1, (step + 1) / WARMUP) * (1 - step / count)  # noqa: E731
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, fade)
    start, tokens, seen = time.perf_counter(), 0, []
    for step in range(count):
        parts = steps.draw()
        packed = model.tokens.pack([pair for part in parts for pair in part.pairs])
        tokens += int(packed.starts[-1])
        with torch.autocast("cpu", torch.bfloat16):
            vectors = model(packed)
        rows = vectors.float().split([len(part.pairs) for part in parts])
        losses = [part.loss(some) for part, some in zip(parts, rows, strict=True)]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        torch.nn.utils.clip_grad_norm_(trained, CLIP)
        optimizer.step()
        schedule.step()
        told = [float(loss.detach()) for loss in losses]
        seen.append([sum(told[:SLOTS]), sum(told[SLOTS:-1]), told[-1]])
        if step % 20 == 19:
            means = "labels {:.3f}, teacher {:.3f}, triples {:.3f}".format(*np.mean(seen[-20:], 0))
            rate = tokens / (time.perf_counter() - start)
            print(f"step {step + 1}: {means}, {rate:.0f} tokens/s", flush=True)  # noqa: T201


def main() -> None:
    """Train the layers of a start."""
    parser = parser_of(__doc__, "start", "triples", "sources", "output")
    parser.add_argument("--steps", type=int, default=1000)
    given = parser.parse_args()
    torch.manual_seed(0)
    sources = [source.part(held=False) for source in labeled_sources(given.sources)]
    triples = list(read_triples(given.triples))
    teacher = Teacher(given.teacher_cache, given.teacher)
    texts = [text for source in sources for text in source.texts]
    texts += [side.text for triple in triples for side in triple[:3]]
    teacher.fill((Pair("", text) for text in texts), lambda: encoder_of(given.teacher, "cpu", False))
    parts = read(given.start)
    longest, parts.tokens.max_length = parts.tokens.max_length, LONGEST
    model = Embedder(parts).train()
    model.set_dropout(0)
    model.freeze(["embedding", "head"])
    train(model, Steps(sources, triples, teacher), given.steps)
    parts.tokens.max_length = longest
    write(model.finished(), given.output)


if __name__ == "__main__":
    main()
