"""The trainer: transformers' loop with our batches, loss, checkpoints and evaluation."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from instructor_embedding.training import gradcache
from instructor_embedding.training.arguments import TrainArguments
from instructor_embedding.training.data import Batch, BatchOrder, Collate, EpochBatches, Record, TrainingData
from instructor_embedding.training.dev import DevSet
from instructor_embedding.training.embedder import Embedder
from instructor_embedding.training.loss import Contrast, distance
from instructor_embedding.training.teacher import Teacher

_STATE = "trainer_state.json"  # written last: a checkpoint without it is not whole


class InstructorTrainer(Trainer):
    """transformers' ``Trainer`` for triples and teachers.

    Parameters
    ----------
    model : Embedder
    args : TrainArguments
    data : TrainingData
    teacher : Teacher, optional
        Holds the vectors of every text of `data`.
    dev : sequence of DevSet
    callbacks : list of TrainerCallback
    """

    def __init__(
        self,
        model: Embedder,
        args: TrainArguments,
        data: TrainingData,
        teacher: Teacher | None = None,
        dev: Sequence[DevSet] = (),
        callbacks: Sequence[TrainerCallback] = (),
    ) -> None:
        self.contrast = Contrast(
            temperature=args.cl_temperature,
            form=args.loss_form,
            mask_duplicates=args.mask_duplicates,
            margin=args.false_negative_margin,
            dimensions=tuple(sorted(args.matryoshka_dims, reverse=True)),
        )
        self.data = data
        self.dev = list(dev)
        self.embedder = model
        self.settings = args
        self._since = (time.perf_counter(), 0)
        super().__init__(
            model=model,
            args=args,
            data_collator=Collate(model.tokens, teacher, args.distill_skip),  # type: ignore[arg-type]
            train_dataset=data,
            eval_dataset=self.dev or None,
            callbacks=list(callbacks),
        )

    def get_train_dataloader(self) -> DataLoader[Record]:
        """Return the batches of this process; every rank forms the same ones and takes its part of each."""
        args = self.settings
        seed = args.seed if args.data_seed is None else args.data_seed
        order = BatchOrder(
            args.batches, args.per_device_train_batch_size, seed, args.process_index, args.world_size, args.max_examples
        )
        return _EpochLoader(
            self.data,
            batch_sampler=EpochBatches(self.data.tasks, order),
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            generator=torch.Generator(),  # the loader draws from its own numbers, not from those of the dropout
        )

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | int | None]:
        """Take the batches of one step; their losses are means, so nothing is counted."""
        return list(islice(epoch_iterator, num_batches)), None

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Go forward and back through one batch, in parts where it is larger than ``chunk_tokens``."""
        batch: Batch = inputs
        model.train()
        self.state.num_input_tokens_seen += int(batch.packed.starts[-1]) * self.args.world_size
        share = 1.0 / self.current_gradient_accumulation_steps

        def step(goal: Tensor) -> None:
            self.accelerator.backward(goal)

        loss = gradcache.backward(
            model, batch.packed, self.settings.chunk_tokens, partial(self._loss, batch=batch, share=share), step
        )
        return loss.to(self.args.device)

    def _loss(self, vectors: Tensor, batch: Batch, share: float) -> tuple[Tensor, Tensor]:
        """Return the loss whose mean gradient over the processes is meant, and the loss to show."""
        goal = shown = vectors.new_zeros(())
        if batch.keys is not None:
            sides, keys, scale = list(vectors.chunk(3)), batch.keys.to(vectors.device), 1
            if self.settings.cross_device_negatives and self.args.world_size > 1:
                sides = [_gathered(side) for side in sides]
                keys = torch.cat([_gathered(key) for key in keys]).view(3, -1)
                # each process has the gradient of its own vectors alone, and the mean over processes is taken later
                scale = self.args.world_size
            shown = self.contrast(sides[0], sides[1], sides[2], keys)
            goal = shown * scale
        if batch.teacher is not None:
            teacher = batch.teacher.to(vectors.device)
            width = min(vectors.shape[1], teacher.shape[1])
            mine = vectors if self.settings.distill_loss == "similarity" else vectors[:, :width]
            told = self.settings.distill_weight * distance(mine, teacher, self.settings.distill_loss)
            goal, shown = goal + told, shown + told
        return goal * share, shown * share

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add tokens per second to what is logged while training."""
        if "loss" in logs:
            now, (then, seen) = time.perf_counter(), self._since
            logs["tokens_per_second"] = round((self.state.num_input_tokens_seen - seen) / max(now - then, 1e-9), 1)
            logs["tokens"] = self.state.num_input_tokens_seen
            self._since = (now, self.state.num_input_tokens_seen)
        super().log(logs, start_time)

    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval") -> Any:
        """Score the dev sets; every process computes the same numbers."""
        found: dict[str, float] = {}
        main = []
        for dev in self.dev:
            scores = dev.score(self.embedder.encode)
            main.append(next(iter(scores.values())))
            found |= {f"{metric_key_prefix}_{dev.name}_{name}": round(value, 6) for name, value in scores.items()}
        if main:
            found[f"{metric_key_prefix}_mean"] = round(sum(main) / len(main), 6)
        self.log(found)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
        self._since = (time.perf_counter(), self.state.num_input_tokens_seen)
        return found

    def floating_point_ops(self, inputs: Any) -> int:
        """Return 0: not counted."""
        return 0

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        if self.args.should_save:
            self.embedder.save(Path(output_dir or str(self.args.output_dir)))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Save so that a kill at any moment leaves checkpoints that are whole or are seen not to be."""
        folder = Path(str(self.args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        if self.args.should_save and folder.is_dir():
            (folder / _STATE).unlink(missing_ok=True)
            shutil.rmtree(folder)
        self._meet()
        super()._save_checkpoint(model, trial)

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        self._meet()  # the file that marks the checkpoint as whole is written after this

    def _meet(self) -> None:
        if self.args.world_size > 1:
            dist.barrier()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        self.embedder.restore(Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        if self.state.best_model_checkpoint:
            self.embedder.restore(Path(self.state.best_model_checkpoint))


class _EpochLoader(DataLoader[Record]):
    def set_epoch(self, epoch: int) -> None:
        sampler = self.batch_sampler
        assert isinstance(sampler, EpochBatches)
        sampler.set_epoch(epoch)


def _gathered(rows: Tensor) -> Tensor:
    """Join the rows of all processes; only the own ones carry gradients."""
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.detach().contiguous())
    parts[dist.get_rank()] = rows
    return torch.cat(parts)


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint in a folder that is whole, or None."""
    found = []
    for place in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        number = place.name.rpartition("-")[2]
        if number.isdigit() and is_whole(place):
            found.append((int(number), place))
    return max(found)[1] if found else None


def is_whole(checkpoint: Path) -> bool:
    """Tell whether a checkpoint was written to its end, with all that training goes on from."""
    try:
        if not (checkpoint / "optimizer.pt").is_file():  # --save_only_model
            return False
        return isinstance(json.loads((checkpoint / _STATE).read_text(encoding="utf-8")), dict)
    except (OSError, ValueError):
        return False
