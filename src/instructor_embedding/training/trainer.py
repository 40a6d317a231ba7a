"""The trainer: transformers' loop with our batches, loss, checkpoints and evaluation.

The hooks that it overrides are those of transformers 5.23, which the extra ``train`` pins; see
docs/decisions/0004-the-training-loop.md.
"""

from __future__ import annotations

import math
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

from instructor_embedding.errors import DivergenceError, InputError, OutputError, VectorError, in_one_line
from instructor_embedding.instruction import Pair
from instructor_embedding.training import gradcache
from instructor_embedding.training.batch import Batch, Collate
from instructor_embedding.training.batches import BatchOrder, EpochBatches, Mixing, weights_of
from instructor_embedding.training.data import Drawn, TrainingData
from instructor_embedding.training.dev import DevSet
from instructor_embedding.training.embedder import Embedder
from instructor_embedding.training.loss import Contrast, distance
from instructor_embedding.training.resume import STATE, last_checkpoint, write_identity
from instructor_embedding.training.settings import Settings
from instructor_embedding.training.teacher import Teacher


class InstructorTrainer(Trainer):
    """transformers' ``Trainer`` for tasks of an embedder and for teachers.

    Parameters
    ----------
    model : Embedder
    settings : Settings
    data : TrainingData
    batches : EpochBatches
        Of `data`; see `epoch_batches`.
    identity : dict
        What a resumed run must share with this one; see `resume.identity_of`.
    teacher : Teacher, optional
        Holds the vectors of every text of `data`.
    dev : sequence of DevSet
    callbacks : list of TrainerCallback

    Raises
    ------
    InputError
        transformers does not accept a setting; in one line.
    """

    def __init__(
        self,
        model: Embedder,
        settings: Settings,
        data: TrainingData,
        batches: EpochBatches,
        identity: dict[str, Any],
        teacher: Teacher | None = None,
        dev: Sequence[DevSet] = (),
        callbacks: Sequence[TrainerCallback] = (),
    ) -> None:
        loss = settings.loss
        self.contrast = Contrast(
            temperature=loss.cl_temperature,
            form=loss.loss_form,
            mask_duplicates=loss.mask_duplicates,
            margin=loss.false_negative_margin,
            dimensions=tuple(sorted(loss.matryoshka_dims, reverse=True)),
        )
        self.data = data
        self.dev = list(dev)
        self.embedder = model
        self.settings = settings
        self.batches = batches
        self._identity = identity
        self._since = (time.perf_counter(), 0)
        try:
            super().__init__(
                model=model,
                args=settings.trainer,
                data_collator=Collate(model.tokens, teacher, settings.distillation.distill_skip),  # type: ignore[arg-type]
                train_dataset=data,
                eval_dataset=self.dev or None,
                callbacks=list(callbacks),
            )
        except (ValueError, ImportError, RuntimeError) as error:
            raise InputError(in_one_line(error)) from None

    @property
    def total_steps(self) -> int:
        """Steps of the complete run."""
        args = self.settings.trainer
        if args.max_steps > 0:
            return args.max_steps
        return math.ceil(args.num_train_epochs * math.ceil(len(self.batches) / args.gradient_accumulation_steps))

    def get_train_dataloader(self) -> DataLoader[Drawn]:
        """Return the batches of this process; every rank forms the same ones and takes its share of each."""
        args = self.settings.trainer
        workers: dict[str, Any] = {}
        if args.dataloader_num_workers:
            workers = {
                "persistent_workers": args.dataloader_persistent_workers,
                "prefetch_factor": args.dataloader_prefetch_factor,
                "multiprocessing_context": args.dataloader_multiprocessing_context,
                "in_order": args.dataloader_in_order,
            }
        return _EpochLoader(
            self.data,
            batch_sampler=self.batches,
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            generator=torch.Generator(),  # the loader has a random state of its own, apart from the dropout's
            **workers,
        )

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | int | None]:
        """Return the batches of one step; their losses are means, so nothing is counted."""
        return list(islice(epoch_iterator, num_batches)), None

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Run the forward and the backward pass of one batch, in chunks where it is larger than ``chunk_tokens``."""
        batch: Batch = inputs
        model.train()
        self.state.num_input_tokens_seen += int(batch.packed.starts[-1]) * self.args.world_size
        share = 1.0 / self.current_gradient_accumulation_steps

        def step(goal: Tensor) -> None:
            self.accelerator.backward(goal)

        loss = gradcache.backward(
            model, batch.packed, self.settings.trainer.chunk_tokens, partial(self._loss, batch=batch, share=share), step
        )
        if not torch.isfinite(loss):
            raise self._diverged(f"the loss of step {self.state.global_step + 1} is {loss.item()}")
        return loss.to(self.args.device)

    def _loss(self, vectors: Tensor, batch: Batch, share: float) -> tuple[Tensor, Tensor]:
        """Return the loss whose gradient is averaged over the processes, and the loss to show."""
        goal = shown = vectors.new_zeros(())
        if len(batch.sizes) > 1:
            shown, scale = self._contrast(list(vectors.split(list(batch.sizes))), batch)
            goal = shown * scale
        if batch.teacher is not None:
            settings = self.settings.distillation
            teacher = batch.teacher.to(vectors.device)
            width = min(vectors.shape[1], teacher.shape[1])
            student = vectors if settings.distill_loss == "similarity" else vectors[:, :width]
            away = settings.distill_weight * distance(student, teacher, settings.distill_loss)
            goal, shown = goal + away, shown + away
        return goal * share, shown * share

    def _contrast(self, sides: list[Tensor], batch: Batch) -> tuple[Tensor, int]:
        """Return the loss of matches or of scored pairs, and what its gradient is multiplied with."""
        device = sides[0].device
        others = [other.to(device) for other in (batch.keys or (batch.scores,)) if other is not None]
        scale = 1
        if self.settings.loss.cross_device_negatives and self.args.world_size > 1:
            sides, others = [_gathered(side) for side in sides], [_gathered(other) for other in others]
            # each process has the gradient of its own vectors alone, and the mean over processes is taken later
            scale = self.args.world_size
        if batch.scores is not None:
            return self.contrast.ranked(sides[0], sides[1], others[0]), scale
        return self.contrast(sides[0], sides[1], sides[2], others, mask=batch.labelled), scale

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add tokens per second to what is logged while training."""
        if "loss" in logs:
            now, (then, seen) = time.perf_counter(), self._since
            logs["tokens_per_second"] = round((self.state.num_input_tokens_seen - seen) / max(now - then, 1e-9), 1)
            logs["tokens"] = self.state.num_input_tokens_seen
            self._since = (now, self.state.num_input_tokens_seen)
        super().log(logs, start_time)

    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval") -> Any:
        """Score the dev sets; every process computes the same values."""
        scores: dict[str, float] = {}
        main = []
        for dev in self.dev:
            try:
                values = dev.score(self.embedder.encode, self.settings.evaluation.dev_dims)
            except VectorError as error:
                raise self._diverged(str(error)) from None
            main.append(next(iter(values.values())))
            scores |= {f"{metric_key_prefix}_{dev.name}_{name}": round(value, 6) for name, value in values.items()}
        if main:
            scores[f"{metric_key_prefix}_mean"] = round(sum(main) / len(main), 6)
        self.log(scores)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, scores)
        self._since = (time.perf_counter(), self.state.num_input_tokens_seen)
        return scores

    def floating_point_ops(self, inputs: Any) -> int:
        """Return 0: not counted."""
        return 0

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        if not self.args.should_save:
            return
        if not self.embedder.is_finite():
            raise self._diverged(f"a weight is not finite after step {self.state.global_step}")
        try:
            self.embedder.encode([Pair("Represent the text: ", "a text")])
        except VectorError as error:
            raise self._diverged(f"after step {self.state.global_step}, {error}") from None
        self.embedder.save(Path(output_dir or str(self.args.output_dir)))

    def _diverged(self, what: str) -> DivergenceError:
        """Return the error of a run that cannot get better any more."""
        last = last_checkpoint(Path(str(self.args.output_dir)))
        stored = f"{last} is the last good checkpoint" if last else "no checkpoint was saved before"
        return DivergenceError(
            f"training diverged: {what}; {stored}; lower --learning_rate ({self.settings.trainer.learning_rate:g}) or "
            "raise --warmup_ratio, and start again with --overwrite_output_dir"
        )

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Save so that a kill at any moment leaves checkpoints that are complete or are seen not to be."""
        folder = Path(str(self.args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        if self.args.should_save and folder.is_dir():
            (folder / STATE).unlink(missing_ok=True)
            shutil.rmtree(folder)
        self._meet()
        try:
            super()._save_checkpoint(model, trial)
        except RuntimeError as error:
            if "inline_container" not in str(error):  # torch reports a full disk as an error of its file writer
                raise
            raise OutputError(f"cannot write {folder}: the disk is full or refuses to be written to") from None

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        if self.args.should_save:
            write_identity(Path(output_dir), self._identity)
        self._meet()  # the file that marks the checkpoint as complete is written after this

    def _meet(self) -> None:
        if self.args.world_size > 1:
            dist.barrier()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        self.embedder.restore(Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        try:
            super()._load_optimizer_and_scheduler(checkpoint)
        except Exception as error:  # torch's readers raise whatever damaged bytes lead them to
            raise InputError(
                f"the optimizer's state in {checkpoint} is corrupt ({type(error).__name__}); remove that folder to "
                "resume from the one before, or start again with --overwrite_output_dir"
            ) from None

    def _load_best_model(self) -> None:
        if self.state.best_model_checkpoint:
            self.embedder.restore(Path(self.state.best_model_checkpoint))


class _EpochLoader(DataLoader[Drawn]):
    def set_epoch(self, epoch: int) -> None:
        sampler = self.batch_sampler
        assert isinstance(sampler, EpochBatches)
        sampler.set_epoch(epoch)


def epoch_batches(settings: Settings, data: TrainingData) -> EpochBatches:
    """Return the batches that the settings form of the data, for this process.

    Raises
    ------
    InputError
        No batch can be formed, or the weights of tasks do not fit the tasks.
    """
    args, chosen = settings.trainer, settings.data
    mixing = Mixing(chosen.mixing, chosen.mixing_temperature, weights_of(chosen.task_weights))
    order = BatchOrder(
        chosen.batches,
        args.per_device_train_batch_size,
        args.seed if args.data_seed is None else args.data_seed,
        args.process_index,
        args.world_size,
        chosen.max_examples,
        mixing,
    )
    return EpochBatches(data.tasks, order, [task.name for task in data.names], data.usable)


def _gathered(rows: Tensor) -> Tensor:
    """Join the rows of all processes, which may differ in number; only the own ones carry gradients."""
    counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    lengths = [int(count) for count in counts]
    padded = rows.new_zeros((max(lengths), *rows.shape[1:]))
    padded[: len(rows)] = rows.detach()
    blocks = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(blocks, padded)
    blocks = [block[:length] for block, length in zip(blocks, lengths, strict=True)]
    blocks[dist.get_rank()] = rows
    return torch.cat(blocks)
