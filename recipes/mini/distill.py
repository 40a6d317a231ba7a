"""Train a T5 encoder to reproduce the teacher: states of tokens, vectors of texts and, at first, states of each layer.

The table begins as the mean state of each piece, the layers as zero. A third of the texts has an instruction, under
which nothing changes yet: what an instruction requests is learned in `obey`. Layer-wise targets bring the layers into
the order of the teacher's and then fade, since a student with other attention reaches the same output by other states.

    python -m recipes.mini.distill TARGETS TOKENIZER.json TRIPLES.jsonl OUTPUT --teacher FOLDER [--steps 25000]

The command resumes at the last hundredth step. ``--similarity 1000`` compares, in the last steps, all texts of a batch
of one group with each other; leave it out if the development sets do not improve.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from instructor_embedding.model.folder.write import write
from instructor_embedding.model.scratch import SHAPES, random_embedder
from instructor_embedding.model.t5 import Attention, FeedForward, RMSNorm
from instructor_embedding.training.embedder import Embedder
from instructor_embedding.training.loss import distance
from recipes.mini import resume
from recipes.mini import tokenizer as tokenizers
from recipes.mini.batches import Batch, Batches, instructions_of
from recipes.mini.curve import note
from recipes.mini.teacher import TEACHER, Targets, Teacher, device_of, mixed

# d_model, d_kv, d_ff, layers, heads, gated, dimension
SHAPE = (384, 64, 1024, 6, 4, False, 384)
STEPS = 25_000
RATE, TABLE_RATE, LAST_RATE, WARMUP, CLIP = 1e-3, 2e-3, 0.02, 300, 5.0
VECTORS = 8.0  # weight of the texts' vectors beside the tokens' states
LAYERS, FADED = 1.0, 0.3  # weight of layer-wise targets at the start, and the share of the steps when it reaches 0
LAYERED = 2048  # tokens of a step that have layer-wise targets: the teacher runs on them
SIMILARITY = 50.0  # weight of the similarity matrices
KEEP = 100  # steps between files to resume from
BEGUN = 120_000  # texts that the table is computed from


class Losses(NamedTuple):
    """The losses of a batch: states of tokens, vectors, states of layers, similarities; 0 where not requested."""

    tokens: Tensor
    vectors: Tensor
    layers: Tensor
    similarities: Tensor


class LayerTargets:
    """Compares the states after each layer with the teacher's, through one learned map per layer.

    Parameters
    ----------
    teacher : Teacher
    ids : int array of shape (vocabulary,)
        The teacher's id of each id of the student.
    width, layers : int
    """

    def __init__(self, teacher: Teacher, ids: np.ndarray, width: int, layers: int) -> None:
        self.teacher = teacher
        self.ids = torch.from_numpy(ids)
        self.maps = nn.ModuleList(nn.Linear(width, width) for _ in range(layers)).to(teacher.device)
        self.states: list[Tensor] = []
        self.recording = False

    def watch(self, model: Embedder) -> None:
        """Record the states after each layer of the forward passes of `losses`."""

        def record(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            if self.recording:
                self.states.append(output)

        for block in model.encoder.blocks:
            block.register_forward_hook(record)

    def loss(self, batch: Batch) -> Tensor:
        """Return the distance of the recorded states of the first texts of a batch, relative to the variance."""
        packed = batch.packed
        total = torch.zeros((), device=self.teacher.device)
        seen = count = 0
        for first, number, length in packed.runs():
            start = int(packed.starts[first])
            skip = int(packed.skip[first : first + number].max())
            if seen > LAYERED or length - skip < 3 or packed.skip[first : first + number].any():
                continue  # texts after an instruction have other lengths for the teacher
            ids = torch.from_numpy(packed.ids[start : start + number * length]).view(number, length)
            columns = torch.cat([torch.zeros(number, 1, dtype=torch.long), ids.long()], 1)
            goals = self.teacher.layers(self.ids[columns])
            for states, goal, linear in zip(self.states, goals, self.maps, strict=True):
                own = states[start : start + number * length].view(number, length, -1)[:, :-1]
                goal = goal[:, 1:-1].clone()
                normed = own * torch.rsqrt(own.square().mean(-1, keepdim=True) + 1e-6)
                total = total + (linear(normed) - goal).square().mean() / goal.var()
            seen, count = seen + number * length, count + len(self.maps)
        self.states.clear()
        return total / max(1, count)


def losses(
    model: Embedder, batch: Batch, targets: Targets, layers: LayerTargets | None = None, similar: bool = False
) -> Losses:
    """Return the losses of a batch, each relative to the variance of its target."""
    device = model.encoder.device
    if layers is not None:
        layers.recording = True
    with mixed(device):
        states = model.encoder.packed(batch.packed)
    if layers is not None:
        layers.recording = False
    with mixed(device):
        outputs = model.head.dense_layers()[-1].linear(states[batch.tokens.to(device)]).float()
    with torch.autocast(device.type, enabled=False):
        vectors = model.head.packed(states.float(), batch.packed)
    goals, mean = targets.states(batch.rows).to(device), targets.mean.to(device)
    tokens = (outputs - goals).square().mean() / (goals - mean).square().mean()
    targets_of_texts = targets.vectors_of(batch.rows).to(device)
    none = torch.zeros((), device=device)
    similarities = (vectors @ vectors.T - targets_of_texts @ targets_of_texts.T).square().mean() if similar else none
    by_layer = none if layers is None else layers.loss(batch)
    return Losses(tokens, distance(vectors, targets_of_texts, "cosine"), by_layer, similarities)


@torch.no_grad()
def begin(model: Embedder, batches: Batches) -> None:
    """Set the table to the mean state of each piece, scaled to mean square 1, and the layers' outputs to zero."""
    encoder, targets = model.encoder, batches.targets
    sums, seen = torch.zeros(encoder.embedding.weight.shape), torch.zeros(len(encoder.embedding.weight))
    rows = batches.trained[:BEGUN]
    for block in np.array_split(rows, max(1, len(rows) // 4000)):
        batch = batches.batch(block, [""] * len(block))
        ids = torch.from_numpy(batch.packed.ids).long()[batch.tokens]
        sums.index_add_(0, ids, targets.states(batch.rows))
        seen += ids.bincount(minlength=len(seen))
    table = (sums + 2 * targets.mean) / (seen + 2)[:, None]
    scale = table[seen > 0].square().mean().sqrt()
    encoder.embedding.weight.copy_(table / scale)
    for module in encoder.modules():
        if isinstance(module, Attention):
            module.o.weight.zero_()
        elif isinstance(module, FeedForward):
            module.wo.weight.zero_()
        elif isinstance(module, RMSNorm) and module is encoder.final_norm:
            module.weight.fill_(float(scale))
    nn.init.eye_(model.head.dense_layers()[-1].linear.weight)


class Training:
    """A training with its optimizer and its position, which `save` and `resume` write and read."""

    def __init__(self, model: Embedder, steps: int, layers: LayerTargets | None, file: Path) -> None:
        table = model.encoder.embedding.weight
        others = [weight for weight in model.parameters() if weight is not table]
        maps = [] if layers is None else list(layers.maps.parameters())
        groups = [{"params": [*others, *maps], "lr": RATE}, {"params": [table], "lr": TABLE_RATE}]
        self.steps, self.file = steps, file
        self.optimizer = torch.optim.Adam(groups, betas=(0.9, 0.98), eps=1e-10)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: min(1, (step + 1) / WARMUP) * (1 - (1 - LAST_RATE) * step / steps)
        )
        self.stateful = {"model": model, "optimizer": self.optimizer, "schedule": self.schedule}
        if layers is not None:
            self.stateful["maps"] = layers.maps
        self.step = self.epoch = self.index = 0

    def resume(self) -> None:
        """Continue where the file of an earlier start ends."""
        self.step, self.epoch, self.index = resume.load(self.file, self.stateful)["position"]

    def save(self) -> None:
        """Write the file that `resume` reads."""
        resume.save(self.file, self.stateful, position=(self.step, self.epoch, self.index))

    def batches(self, source: Batches, similarity: int) -> Iterator[Batch]:
        """Yield the batches that are left, and count them; the last `similarity` ones are of one group each."""
        while self.step < self.steps:
            by_group = self.step >= self.steps - similarity
            for batch in source.epoch(self.epoch, self.index, by_group=by_group):
                self.index += 1
                yield batch
                if self.step >= self.steps or (self.step >= self.steps - similarity) != by_group:
                    break
            self.epoch, self.index = self.epoch + 1, 0


def train(
    model: Embedder, source: Batches, steps: int, file: Path, layers: LayerTargets | None = None, similarity: int = 0
) -> None:
    """Train for `steps` steps in all; resumes from `file` where it exists."""
    training = Training(model, steps, layers, file)
    if file.is_file():
        training.resume()
    recent: list[list[float]] = []
    tokens, start = 0, time.perf_counter()
    for batch in training.batches(source, similarity):
        weight = LAYERS * max(0.0, 1 - training.step / (FADED * steps)) if layers is not None else 0.0
        similar = training.step >= steps - similarity
        now = losses(model, batch, source.targets, layers if weight else None, similar)
        training.optimizer.zero_grad()
        total = now.tokens + VECTORS * now.vectors + weight * now.layers + SIMILARITY * now.similarities
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        training.optimizer.step()
        training.schedule.step()
        training.step += 1
        recent.append([value.item() for value in now])
        tokens += len(batch.packed.ids)
        if training.step % KEEP == 0 or training.step == steps:
            report(model, source, training.step, recent[-KEEP:], file)
            print(f"{tokens / (time.perf_counter() - start):.0f} tokens/s", flush=True)
            training.save()


@torch.no_grad()
def report(model: Embedder, source: Batches, step: int, recent: list[list[float]], file: Path) -> None:
    """Print and note the mean losses of the last steps and those of texts that are not trained on."""
    blocks = np.array_split(source.held_back, max(1, len(source.held_back) // 250))
    new = [losses(model, source.batch(rows, [""] * len(rows)), source.targets)[:2] for rows in blocks]
    means = np.mean(recent, 0).tolist()
    values = dict(zip(Losses._fields, means, strict=True))
    values |= dict(zip(("new tokens", "new vectors"), torch.tensor(new).mean(0).tolist(), strict=True))
    note(file, step, values)
    text = ", ".join(f"{name} {value:.4f}" for name, value in values.items() if value)
    print(f"step {step}: {text}", end="; ", flush=True)


def student(tokenizer: Tokenizer) -> Embedder:
    """Return an untrained student."""
    SHAPES["instructor-mini"] = SHAPE
    model = Embedder(random_embedder("instructor-mini", tokenizer)).train()
    model.set_dropout(0)
    return model


def main() -> None:
    """Train a student from the targets of a teacher."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for path in ("targets", "tokenizer", "triples", "output"):
        parser.add_argument(path, type=Path)
    parser.add_argument("--teacher", default=TEACHER)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--similarity", type=int, default=0)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    device = device_of(arguments.device)
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer))
    ids = tokenizers.to_teacher(tokenizer, tokenizers.read(arguments.teacher))
    model = student(tokenizer)
    source = Batches(Targets.read(arguments.targets), model.tokens, instructions_of(arguments.triples))
    file = arguments.output.with_suffix(".resume")
    if not file.is_file():
        begin(model, source)
    model.to(device)
    layers = LayerTargets(Teacher(arguments.teacher, device), ids, SHAPE[0], SHAPE[3])
    layers.watch(model)
    train(model, source, arguments.steps, file, layers, arguments.similarity)
    write(model.to("cpu").finished(), arguments.output)


if __name__ == "__main__":
    main()
