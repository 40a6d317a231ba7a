"""Train the layers to follow instructions; the table and the head are frozen.

Under an instruction that requests a label, a text moves to the label's name and to other texts of that label, whatever
they are about, yet stays near its first vector, since labels to come may need what the known ones do not. The same text
under an instruction that requests another label moves to that one. Under instructions to ignore the label, under those
that request nothing in particular and without any it stays where it was, and texts of all groups stay where the teacher
puts them. Triples, under their instructions, pull queries a little towards their answers.

    python -m recipes.mini.obey START TARGETS TRIPLES.jsonl OUTPUT --data DATA [--steps 1500]
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from instructor_embedding.instruction import Instruction, Pair
from instructor_embedding.medi.triple import Triple
from instructor_embedding.medi.triple import read as read_triples
from instructor_embedding.model.folder.read import read
from instructor_embedding.model.folder.write import write
from instructor_embedding.training.embedder import Embedder
from instructor_embedding.training.loss import Contrast, distance
from recipes.mini import resume
from recipes.mini.batches import Batch, Batches, instructions_of
from recipes.mini.curve import note
from recipes.mini.distill import losses
from recipes.mini.labels import HELD_OUT, MOST, Labeled, labeled_sets
from recipes.mini.teacher import Targets, device_of, mixed
from recipes.mini.wording import Wording
from recipes.mini.words import synonyms

LABELED, SLOTS, TRIPLES = 96, 2, 48  # texts with labels in each slot, slots of a step, triples of a step
TOKENS = 4096  # of a step's texts with targets of the teacher
LONGEST = 64  # tokens that are read of a text with a label or of a triple, instruction included
STEPS = 1500
RATE, WARMUP, CLIP = 1e-3, 15, 5.0
TEMPERATURE, AMONG_TEXTS = 0.05, 0.1  # of texts against names, and against each other
TAUGHT, STAYING, STILL_NEAR, LIKE_TEXTS, CONTRAST = 10.0, 8.0, 1.0, 0.5, 0.2  # weights beside texts against names
KEEP = 50  # steps between files to resume from


@dataclass(frozen=True)
class Portion:
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
        The index of each text's name.
    """
    to_names = F.cross_entropy(texts @ names.T / TEMPERATURE, labels)
    own = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    same = (labels[:, None] == labels[None]) & ~own
    likely = (texts @ texts.T / AMONG_TEXTS).masked_fill(own, -1e4).log_softmax(1)
    counts = same.sum(1)
    if not counts.any():
        return to_names
    among = -(likely * same).sum(1)[counts > 0] / counts[counts > 0]
    return to_names + LIKE_TEXTS * among.mean()


class Steps:
    """Draws the portions of each step.

    Parameters
    ----------
    sets : sequence of Labeled
    start : function
        Texts to the vectors that they begin with, float32 of shape (n, dim).
    triples : sequence of Triple
    names : mapping
        Words for each label, see `words.synonyms`; a label that it lacks has its own name alone.
    """

    def __init__(
        self,
        sets: Sequence[Labeled],
        start: Callable[[Sequence[str]], Tensor],
        triples: Sequence[Triple],
        names: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.sets, self.start, self.names = list(sets), start, names or {}
        # kinds count alike, and the sets of a kind by the root of their size
        kinds = {own.kind for own in sets}
        shares = {kind: _roots([len(own.texts) for own in sets if own.kind == kind]) for kind in kinds}
        position: dict[str, int] = defaultdict(int)
        weights = []
        for own in sets:
            weights.append(shares[own.kind][position[own.kind]] / len(kinds))
            position[own.kind] += 1
        self.shares = np.array(weights)
        self.labels_of: dict[str, dict[int, str]] = defaultdict(dict)
        for index, own in enumerate(sets):
            for text, label in zip(own.texts, own.labels, strict=True):
                self.labels_of[text][index] = label
        tasks: dict[int, list[Triple]] = defaultdict(list)
        for triple in triples:
            tasks[triple.task].append(triple)
        self.tasks = list(tasks.values())
        self.task_shares = _roots([len(task) for task in self.tasks])

    def draw(self, seed: int) -> list[Portion]:
        """Return the portions of the step with this number, the same whenever it is drawn."""
        random = np.random.default_rng(seed)
        wording = Wording(random)
        return [*(self._labeled(random, wording) for _ in range(SLOTS)), self._triples(random, wording)]

    def _labeled(self, random: np.random.Generator, wording: Wording) -> Portion:
        number = int(random.choice(len(self.sets), p=self.shares))
        own = self.sets[number]
        texts = [own.texts[index] for index in random.integers(0, len(own.texts), LABELED)]
        labels = [self.labels_of[text][number] for text in texts]
        requested = self._requested(wording.for_label(own.text_types, own.words), own, texts, labels, random)
        counterpart = self._counterpart(own, texts, random, wording)
        near = self.start(texts)

        def loss(vectors: Tensor) -> Tensor:
            first, second = vectors.split([len(requested.pairs), len(counterpart.pairs)])
            stay = STILL_NEAR * distance(first[: len(texts)], near.to(first.device), "cosine")
            return (requested.loss(first) + stay + counterpart.loss(second)) / SLOTS

        return Portion([*requested.pairs, *counterpart.pairs], loss)

    def _requested(
        self, instruction: str, own: Labeled, texts: list[str], labels: list[str], random: np.random.Generator
    ) -> Portion:
        """Return texts under an instruction that requests their label, with the names of all labels."""
        names, index = np.unique(labels, return_inverse=True)
        words = [self.names.get(str(name), [str(name)]) for name in names]
        said = [row[int(random.integers(len(row)))] for row in words]
        asking = str(Instruction(own.words[0]))
        pairs = [Pair(instruction, text) for text in texts] + [Pair(asking, word) for word in said]
        target = torch.from_numpy(index)

        def loss(vectors: Tensor) -> Tensor:
            return label_loss(vectors[: len(texts)], vectors[len(texts) :], target.to(vectors.device))

        return Portion(pairs, loss)

    def _counterpart(self, own: Labeled, texts: list[str], random: np.random.Generator, wording: Wording) -> Portion:
        """Return the same texts under an instruction that does not request their label: they stay, or go elsewhere."""
        draw = random.random()
        other = self._other(own, texts, random)
        if other is not None and draw < 0.4:
            rows = [text for text in texts if other in self.labels_of[text]]
            labels = [self.labels_of[text][other] for text in rows]
            words = self.sets[other]
            instruction = (
                wording.instead(own.text_types, own.words, words.words)
                if draw < 0.2
                else wording.for_label(own.text_types, words.words)
            )
            return self._requested(instruction, words, rows, labels, random)
        if draw < 0.6:
            instruction = wording.ignoring(own.text_types, own.words)
        elif draw < 0.7:
            instruction = wording.instead(own.text_types, own.words, ("topic", "subject", "theme"))
        else:
            instruction = wording.for_others(own.text_types)
        start = self.start(texts)
        pairs = [Pair(instruction, text) for text in texts]
        return Portion(pairs, lambda vectors: STAYING * distance(vectors, start.to(vectors.device), "cosine"))

    def _other(self, own: Labeled, texts: list[str], random: np.random.Generator) -> int | None:
        """Return the index of a set of another kind that half of the texts have a label of, with several labels."""
        counts: dict[int, set[str]] = defaultdict(set)
        sizes: dict[int, int] = defaultdict(int)
        for text in texts:
            for index, label in self.labels_of[text].items():
                counts[index].add(label)
                sizes[index] += 1
        known = [
            index
            for index, labels in counts.items()
            if self.sets[index].kind != own.kind and len(labels) > 1 and sizes[index] >= len(texts) / 2
        ]
        return int(random.choice(known)) if known else None

    def _triples(self, random: np.random.Generator, wording: Wording) -> Portion:
        task = self.tasks[random.choice(len(self.tasks), p=self.task_shares)]
        chosen = [wording.varied(task[index]) for index in random.permutation(len(task))[:TRIPLES]]
        sides: list[list[Pair]] = [list(side) for side in zip(*(triple[:3] for triple in chosen), strict=True)]
        numbers: dict[str, int] = {}
        keys = torch.tensor([[numbers.setdefault(pair.text, len(numbers)) for pair in side] for side in sides])
        contrast = Contrast(TEMPERATURE, "in-batch", mask_duplicates=True)

        def loss(vectors: Tensor) -> Tensor:
            query, pos, neg = vectors.chunk(3)
            return CONTRAST * contrast(query, pos, neg, list(keys.to(vectors.device)))

        return Portion(list(chain(*sides)), loss)


def _roots(sizes: Sequence[int]) -> NDArray[np.float64]:
    roots = np.sqrt(np.asarray(sizes, np.float64))
    shares: NDArray[np.float64] = roots / roots.sum()
    return shares


def train(model: Embedder, steps: Steps, count: int, output: Path, taught: Batches | None = None) -> None:
    """Train what is not frozen for `count` steps in all; resumes from the file beside `output` where it exists."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=RATE, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / WARMUP) * (1 - step / count)
    )
    stateful = {"model": model, "optimizer": optimizer, "schedule": schedule}
    file = output.with_suffix(".resume")
    first = 0
    if file.is_file():
        first = resume.load(file, stateful)["step"]
    batches = _endless(taught, first) if taught else None
    start, recent = time.perf_counter(), []
    for step in range(first, count):
        values = _losses(model, steps.draw(step), next(batches) if batches else None, taught)
        optimizer.zero_grad()
        torch.stack(values).sum().backward()
        torch.nn.utils.clip_grad_norm_(weights, CLIP)
        optimizer.step()
        schedule.step()
        numbers = [value.item() for value in values]
        recent.append([sum(numbers[:SLOTS]), numbers[SLOTS], sum(numbers[SLOTS + 1 :])])
        if step % 20 == 19 or step + 1 == count:
            now = dict(zip(("labels", "triples", "teacher"), np.mean(recent[-20:], 0).tolist(), strict=True))
            note(output, step + 1, now)
            text = ", ".join(f"{name} {value:.3f}" for name, value in now.items())
            print(f"step {step + 1}: {text}, {time.perf_counter() - start:.0f} s", flush=True)
        if (step + 1) % KEEP == 0:
            resume.save(file, stateful, step=step + 1)


def _losses(model: Embedder, portions: list[Portion], batch: Batch | None, taught: Batches | None) -> list[Tensor]:
    """Return the losses of a step: of each portion, and of the batch with the teacher's targets."""
    longest, model.tokens.max_length = model.tokens.max_length, LONGEST
    packed = model.tokens.pack([pair for portion in portions for pair in portion.pairs])
    model.tokens.max_length = longest
    order = np.argsort(packed.lengths, kind="stable")
    device = model.encoder.device
    ordered = packed.take(order)
    with mixed(device):
        states = model.encoder.packed(ordered)
    with torch.autocast(device.type, enabled=False):
        vectors = model.head.packed(states.float(), ordered)[torch.from_numpy(np.argsort(order)).to(device)]
    rows = vectors.split([len(portion.pairs) for portion in portions])
    values = [portion.loss(own) for portion, own in zip(portions, rows, strict=True)]
    if batch is not None and taught is not None:
        now = losses(model, batch, taught.targets)
        values.append(now.tokens + TAUGHT * now.vectors)
    return values


def _endless(taught: Batches, first: int) -> Iterator[Batch]:
    epoch = 1000  # orders that distillation did not see
    while True:
        yield from taught.epoch(epoch, first if epoch == 1000 else 0)
        epoch += 1


def main() -> None:
    """Train the layers of a student."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for path in ("start", "targets", "triples", "output"):
        parser.add_argument(path, type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--most", type=int, default=MOST, help="texts of a labeled set")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    labeled = labeled_sets(arguments.data, most=arguments.most)
    sets = [own.subset(held_back=False) for own in labeled if own.kind not in HELD_OUT]
    checkpoint = read(arguments.start)
    model = Embedder(checkpoint).train()
    model.set_dropout(0)
    model.freeze(["embedding", "head"])
    texts = list(dict.fromkeys(text for own in sets for text in own.texts))
    index = {text: row for row, text in enumerate(texts)}
    vectors = torch.from_numpy(model.encode([Pair("", text) for text in texts]))
    labels = [label for own in sets for label in own.labels]
    names = synonyms(labels, arguments.data / "train", lambda rows: model.encode([Pair("", row) for row in rows]))
    steps = Steps(
        sets, lambda rows: vectors[[index[row] for row in rows]], list(read_triples(arguments.triples)), names
    )
    targets = Targets.read(arguments.targets)
    taught = Batches(targets, checkpoint.tokens, instructions_of(arguments.triples), size=TOKENS)
    model.to(device_of(arguments.device))
    train(model, steps, arguments.steps, arguments.output, taught)
    write(model.to("cpu").finished(), arguments.output)


if __name__ == "__main__":
    main()
