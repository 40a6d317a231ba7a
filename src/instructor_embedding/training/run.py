"""One training run, from flags to a folder."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from itertools import islice
from pathlib import Path

from transformers import TrainerState
from transformers.utils import logging

from instructor_embedding.errors import InputError
from instructor_embedding.files.atomic import check_folder
from instructor_embedding.model import embedder, hub
from instructor_embedding.model.folder.read import read
from instructor_embedding.model.folder.write import write
from instructor_embedding.model.lowbit_layers import without_quantization
from instructor_embedding.model.scratch import random_embedder
from instructor_embedding.training import teacher as teachers
from instructor_embedding.training.arguments import parse
from instructor_embedding.training.average import average
from instructor_embedding.training.batches import Used
from instructor_embedding.training.card import Facts, card, task_rows, task_table
from instructor_embedding.training.data import TrainingData, read_data, reading_of
from instructor_embedding.training.dev import DevSet, held_back, read_dev
from instructor_embedding.training.embedder import Embedder
from instructor_embedding.training.history import History, read_history, write_history
from instructor_embedding.training.interrupt import Interrupt
from instructor_embedding.training.resume import (
    STATE,
    checkpoints,
    identity_of,
    last_checkpoint,
    refuse_other_run,
    start_of,
    steps_of,
)
from instructor_embedding.training.settings import Settings
from instructor_embedding.training.teacher import Teacher
from instructor_embedding.training.tokenizer import train_tokenizer
from instructor_embedding.training.trainer import InstructorTrainer, epoch_batches


class Interrupted(KeyboardInterrupt):
    """A signal ended the training; the message names the checkpoint from which it resumes."""


def train(arguments: Sequence[str]) -> Path:
    """Train as the flags say and return the folder of the trained model.

    Use it from Python as ``train(["--init", "mini", ...])``; ``train.py`` and ``instructor-embed train`` call it.

    Raises
    ------
    InputError
        A flag or a file is not allowed; nothing was written.
    DivergenceError
        The loss, a weight or a vector is not finite; the checkpoints before are not changed.
    Interrupted
        SIGINT or SIGTERM came; a checkpoint was saved.
    """
    settings = parse(arguments)
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    args = settings.trainer
    output = Path(str(args.output_dir))
    check_folder(output)
    data = read_data(settings.data, args.seed, _token(settings))
    evaluation = settings.evaluation
    dev = read_dev(
        evaluation.dev_files, evaluation.dev_instruction, evaluation.max_eval_samples, reading_of(settings.data)
    )
    dev += held_back(data.held_back())
    _check_metric(settings, dev)
    batches = epoch_batches(settings, data)  # refuses what cannot form batches, before anything is written
    identity = identity_of(settings, data)
    start = start_of(settings)
    if start is not None:
        refuse_other_run(start, identity)
    teacher = _teacher(settings, data, output)
    model = _model(settings, data, output, start)
    if teacher is not None and settings.distillation.distill_loss != "similarity":
        teacher.reduce(model.dimension)
    interrupt = Interrupt()
    trainer = InstructorTrainer(model, settings, data, batches, identity, teacher, dev, [History(output), interrupt])
    if start is not None and steps_of(start) >= trainer.total_steps:
        _already_done(trainer, data, start, output)
        return output
    _check_average(trainer)
    _announce(trainer, data, start)
    try:
        with redirect_stdout(sys.stderr):  # transformers prints its progress
            trainer.train(resume_from_checkpoint=str(start) if start else None)
    finally:
        interrupt.restore()
    if interrupt.seen and trainer.state.global_step < trainer.state.max_steps:
        last = last_checkpoint(output)
        raise Interrupted(
            "interrupted; the same command without --overwrite_output_dir resumes from "
            f"{last.name if last else 'the start'}"
        )
    _finish(trainer, data, output)
    return output


def _finish(trainer: InstructorTrainer, data: TrainingData, output: Path) -> None:
    """Write the trained model, its card and its settings."""
    settings = trainer.settings
    count = settings.trainer.averaged()
    if count and settings.trainer.should_save:
        folders = checkpoints(output)[-count:]
        mean = average(folders)
        mean.save(output)
        _say(f"the model is the mean of {', '.join(folder.name for folder in folders)}")
        for dev in trainer.dev:
            for name, value in dev.score(mean.encode).items():
                _say(f"{dev.name}_{name}: {value:.4f} of the mean")
    else:
        trainer.save_model()
    if settings.trainer.should_save:
        facts = _facts(trainer, data)
        text = card(output.resolve().name, trainer.embedder.dimension, facts, read_history(output))
        (output / "README.md").write_text(text, encoding="utf-8")
        (output / "training.json").write_text(json.dumps(facts.settings, indent=2) + "\n", encoding="utf-8")
        for line in _progress(trainer, output):
            _say(line)
        _say(f"{trainer.state.global_step} steps done; the model is in {output}")


def _progress(trainer: InstructorTrainer, output: Path) -> list[str]:
    """Return a line for each score: before training, and of the model that was written, the best or the last one."""
    scored = [line for line in read_history(output) if "eval_mean" in line]
    if not scored or scored[0]["step"]:
        return []
    best = trainer.state.best_global_step if trainer.settings.trainer.load_best_model_at_end else None
    chosen = next((line for line in scored if line["step"] == best), scored[-1])
    names = [name for name in scored[0] if name.startswith("eval_") and name != "eval_mean" and name in chosen]
    step = int(chosen["step"])
    return [f"{name[5:]}: {scored[0][name]:.4f} before, {chosen[name]:.4f} after {step} steps" for name in names]


def _already_done(trainer: InstructorTrainer, data: TrainingData, start: Path, output: Path) -> None:
    """Report that there is nothing left to train, and write the model where a kill left none."""
    if not (output / "modules.json").is_file():
        trainer.state = TrainerState.load_from_json(str(start / STATE))
        best = trainer.state.best_model_checkpoint if trainer.settings.trainer.load_best_model_at_end else None
        trainer.embedder.restore(Path(best) if best and Path(best).is_dir() else start)
        if trainer.settings.trainer.should_save:
            write_history(output, trainer.state.log_history)
        _finish(trainer, data, output)
    if trainer.settings.trainer.should_save:
        _say(
            f"all {steps_of(start)} steps are done already; the model is in {output}; raise --max_steps or "
            "--num_train_epochs to train further, or start again with --overwrite_output_dir"
        )


def _check_average(trainer: InstructorTrainer) -> None:
    """Raise `InputError` where a run saves fewer checkpoints than are averaged at its end."""
    args, total = trainer.settings.trainer, trainer.total_steps
    count = args.averaged()
    every = args.save_steps if args.save_steps >= 1 else total * args.save_steps
    if args.save_strategy == "epoch":
        every = math.ceil(len(trainer.batches) / args.gradient_accumulation_steps)
    saved = 0 if args.save_strategy == "no" else math.ceil(total / every)
    if saved < count:
        raise InputError(
            f"average=last:{count} needs {count} checkpoints, and {total} steps give {saved}; lower save_steps"
        )


def _announce(trainer: InstructorTrainer, data: TrainingData, start: Path | None) -> None:
    """Print what will be trained on, task by task."""
    args = trainer.settings.trainer
    if not args.should_save:
        return
    if start is not None:
        _say(f"resuming from {start}; --overwrite_output_dir starts again from step 0")
    epoch = trainer.batches.used()
    processes = f"{args.world_size} processes" if args.world_size > 1 else "1 process"
    _say(
        f"{len(data)} records, {len(trainer.batches)} batches per epoch, {processes}, "
        f"{trainer.embedder.count()[0]} weights are trained"
    )
    _say(task_table(task_rows(epoch, [task.name for task in data.names]), markdown=False))
    for task, why in {**data.left_out, **_unused(trainer, data, epoch)}.items():
        _say(f"not trained on: {task}: {why}")


def _unused(trainer: InstructorTrainer, data: TrainingData, epoch: Mapping[int, Used]) -> dict[str, str]:
    """Return the tasks of which no record is in a batch of an epoch, and why."""
    args, chosen = trainer.settings.trainer, trainer.settings.data
    total = args.per_device_train_batch_size * args.world_size
    reasons = {}
    for task, counts in epoch.items():
        name = data.names[task].name or "texts"
        if counts.used or name in data.left_out:
            continue
        if chosen.batches == "original":
            reasons[name] = f"no {total} of its {counts.records} records form a window; see --batches shuffled"
        elif counts.records < args.world_size:
            reasons[name] = f"{counts.records} records cannot be shared out to {args.world_size} processes"
        elif chosen.max_examples:
            reasons[name] = f"max_examples={chosen.max_examples} leaves it no record"
        else:
            reasons[name] = "its weight is 0"
    return reasons


def _model(settings: Settings, data: TrainingData, output: Path, start: Path | None) -> Embedder:
    """Return the model to train: that of the checkpoint, of the name, or an untrained one."""
    chosen = settings.model
    if start is not None and not chosen.lora_rank:
        source = read(start)
    elif chosen.init:
        source = _scratch(settings, data, output)
    else:
        source = read(
            hub.resolve(
                str(chosen.model_name_or_path),
                cache_folder=settings.data.cache_dir,
                revision=chosen.model_revision,
                token=_token(settings),
            )
        )
    source.tokens.max_length = chosen.max_source_length
    model = Embedder(without_quantization(source))
    _check_dimensions(settings, model.dimension)
    if chosen.dropout is not None:
        model.set_dropout(chosen.dropout)
    model.freeze(chosen.freeze)
    if chosen.lora_rank:
        model.add_lora(chosen.lora_rank, chosen.lora_alpha, chosen.lora_targets, settings.trainer.seed)
    return model


def _check_dimensions(settings: Settings, dimension: int) -> None:
    """Raise `InputError` for sizes that vectors of this model do not have."""
    named = {"matryoshka_dims": settings.loss.matryoshka_dims, "dev_dims": settings.evaluation.dev_dims}
    for name, sizes in named.items():
        for size in sizes:
            if size >= dimension:
                raise InputError(f"{name}: {size} must be below {dimension}, the dimensions of this model's vectors")


def _check_metric(settings: Settings, dev: Sequence[DevSet]) -> None:
    """Raise `InputError` for a best model by a score that no dev set has."""
    metric = settings.trainer.metric_for_best_model
    if not dev or metric is None or metric.removeprefix("eval_") == "mean":
        return
    names = [dev_set.name for dev_set in dev]
    if not any(metric.removeprefix("eval_").startswith(f"{name}_") for name in names):
        raise InputError(f"metric_for_best_model={metric!r} is unknown; known: mean, or a score of {', '.join(names)}")


def _scratch(settings: Settings, data: TrainingData, output: Path) -> embedder.Embedder:
    """Return the untrained model of ``--init``, which the first process writes to ``output/init``."""
    folder, chosen, args = output / "init", settings.model, settings.trainer
    with _first_process(settings) as first:
        if first and (args.overwrite_output_dir or not (folder / "modules.json").is_file()):
            step = max(1, 3 * len(data) // chosen.tokenizer_texts)
            texts = (pair.instruction + pair.text for pair in islice(data.pairs(), 0, None, step))
            tokenizer = train_tokenizer(texts, chosen.vocab_size, uncased=chosen.uncased)
            write(random_embedder(str(chosen.init), tokenizer, seed=args.seed), folder)
        return read(folder)


def _teacher(settings: Settings, data: TrainingData, output: Path) -> Teacher | None:
    """Return the teacher's vectors of all texts; the first process computes those that are missing."""
    if not settings.distillation.requested:
        return None
    folder = Path(settings.distillation.teacher_cache or output / "teacher")
    with _first_process(settings) as first:
        if first:
            teachers.fill(
                settings.distillation,
                folder,
                data.pairs(),
                str(settings.trainer.device),
                settings.data.cache_dir,
            )
        return teachers.opened(folder)


@contextmanager
def _first_process(settings: Settings) -> Iterator[bool]:
    """Let the first process pass before the others; gives whether this is the first."""
    with settings.trainer.main_process_first(local=False):
        yield settings.trainer.process_index == 0


def _facts(trainer: InstructorTrainer, data: TrainingData) -> Facts:
    settings = trainer.settings
    model, chosen = settings.model, settings.data
    base = f"random weights of the shape {model.init}" if model.init else str(model.model_name_or_path)
    origins: dict[str, str] = {}
    texts = int((data.tasks == next((n for n, task in enumerate(data.names) if task.kind == "texts"), -1)).sum())
    if len(data) > texts:
        names = [Path(name).name for name in chosen.train_file] or ["medi-data"]
        origins["records"] = f"{', '.join(names)}, {len(data) - texts} records"
    if chosen.hold_back:
        origins["held back"] = f"{sum(map(len, data.held_back().values()))} of these records, scored and not trained on"
    if chosen.text_file:
        origins["texts"] = f"{Path(chosen.text_file).name}, {texts} texts"
    if settings.distillation.teacher:
        origins["teacher"] = settings.distillation.teacher
    done = trainer.state.global_step
    accumulated = settings.trainer.gradient_accumulation_steps
    per_epoch = len(trainer.batches)
    epochs, rest = divmod(done, -(-per_epoch // accumulated))
    used = trainer.batches.used(epochs * per_epoch + min(rest * accumulated, per_epoch))
    rows = task_rows(used, [task.name for task in data.names])
    left_out = {**data.left_out, **_unused(trainer, data, trainer.batches.used())}
    return Facts(base, origins, rows, left_out, settings.changed(), trainer.embedder.count())


def _token(settings: Settings) -> str | bool | None:
    return settings.trainer.hub_token or (True if settings.model.use_auth_token else None)


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - progress belongs on stderr
