"""One training run, from flags to a folder."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stdout
from itertools import islice
from pathlib import Path

from transformers.utils import logging

from instructor_embedding.errors import InputError
from instructor_embedding.medi.triple import TripleFile
from instructor_embedding.model import embedder, hub
from instructor_embedding.model.folder.read import read
from instructor_embedding.model.folder.write import write
from instructor_embedding.model.lowbit_layers import plain
from instructor_embedding.model.scratch import random_embedder
from instructor_embedding.training.arguments import TrainArguments, parse
from instructor_embedding.training.card import Facts, card
from instructor_embedding.training.data import TrainingData, find_triples, read_texts
from instructor_embedding.training.dev import read_dev
from instructor_embedding.training.embedder import Embedder
from instructor_embedding.training.history import History, read_history
from instructor_embedding.training.interrupt import Interrupt
from instructor_embedding.training.static import static_checkpoint
from instructor_embedding.training.teacher import Teacher, encoder_of, sees_instructions
from instructor_embedding.training.tokenizer import train_tokenizer
from instructor_embedding.training.trainer import InstructorTrainer, is_whole, last_checkpoint


class Interrupted(KeyboardInterrupt):
    """A signal ended the training; the message names the checkpoint that it goes on from."""


def train(arguments: Sequence[str]) -> Path:
    """Train as the flags say and return the folder of the trained model.

    Use it from Python as ``train(["--init", "mini", ...])``; ``train.py`` and ``instructor-embed train`` call it.

    Raises
    ------
    InputError
        A flag or a file is not allowed; nothing was written.
    Interrupted
        SIGINT or SIGTERM came; a checkpoint was saved.
    """
    args = parse(arguments)
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    output = Path(str(args.output_dir))
    data = _data(args)
    dev = [read_dev(path, args.dev_instruction, args.max_eval_samples) for path in args.dev_files]
    start = _resume_from(args, output)
    teacher = _teacher(args, data, output)
    model = _model(args, data, teacher, output, start)
    if teacher is not None and args.distill_loss != "similarity":
        teacher.reduce(model.dimension)
    interrupt = Interrupt()
    trainer = InstructorTrainer(model, args, data, teacher, dev, [History(output), interrupt])
    if args.should_save:
        _say(f"{len(data)} records, {trainer.settings.world_size} process(es), {model.count()[0]} weights are trained")
    try:
        with redirect_stdout(sys.stderr):  # transformers prints its progress
            trainer.train(resume_from_checkpoint=str(start) if start else None)
    finally:
        interrupt.restore()
    if interrupt.seen and trainer.state.global_step < trainer.state.max_steps:
        raise Interrupted(f"interrupted; the same command without --overwrite_output_dir goes on from {_last(output)}")
    trainer.save_model()
    if args.should_save:
        facts = _facts(args, data, model)
        text = card(output.resolve().name, model.dimension, facts, read_history(output))
        (output / "README.md").write_text(text, encoding="utf-8")
        (output / "training.json").write_text(json.dumps(facts.settings, indent=2) + "\n", encoding="utf-8")
        _say(f"{trainer.state.global_step} steps done; the model is in {output}")
    return output


def _data(args: TrainArguments) -> TrainingData:
    path = find_triples(args.train_file, args.cache_dir)
    if path is None and not args.text_file:
        where = f"{args.cache_dir} holds no medi-data.json" if args.cache_dir else "there is nothing to train on"
        raise InputError(f"{where}; pass train_file (triples), cache_dir (a folder with medi-data.json) or text_file")
    texts = read_texts(args.text_file, args.text_instruction) if args.text_file else []
    return TrainingData(TripleFile(path) if path else None, texts)


def _resume_from(args: TrainArguments, output: Path) -> Path | None:
    """Return the checkpoint to go on from: the one named, else the newest whole one, else none."""
    named = args.resume_from_checkpoint
    if named and str(named).lower() not in ("true", "last", "false"):
        if not is_whole(Path(named)):
            raise InputError(f"resume_from_checkpoint: {named} is no whole checkpoint of a training")
        return Path(named)
    found = last_checkpoint(output)
    if str(named).lower() in ("true", "last"):
        if found is None:
            raise InputError(f"resume_from_checkpoint: {output} holds no whole checkpoint")
        return found
    if args.overwrite_output_dir:
        if args.should_save:
            for old in output.glob("checkpoint-*"):
                shutil.rmtree(old)
        return None
    if found is None and (output / "modules.json").is_file():
        raise InputError(f"{output} holds a model and no checkpoint; pass --overwrite_output_dir or another folder")
    if found is not None and args.should_save:
        _say(f"going on from {found}; --overwrite_output_dir starts anew")
    return found


def _model(
    args: TrainArguments, data: TrainingData, teacher: Teacher | None, output: Path, start: Path | None
) -> Embedder:
    if start is not None and not args.lora_rank:
        parts = read(start)
    elif args.init:
        parts = _scratch(args, data, teacher, output)
    else:
        name = str(args.model_name_or_path)
        token = True if args.use_auth_token else None
        parts = read(hub.resolve(name, cache_folder=args.cache_dir, revision=args.model_revision, token=token))
    parts.tokens.max_length = args.max_source_length
    model = Embedder(embedder.Embedder(plain(parts.encoder), plain(parts.head), parts.tokens))
    if args.dropout is not None:
        model.set_dropout(args.dropout)
    model.freeze(args.freeze)
    if args.lora_rank:
        model.add_lora(args.lora_rank, args.lora_alpha, args.lora_targets)
    return model


def _scratch(args: TrainArguments, data: TrainingData, teacher: Teacher | None, output: Path) -> embedder.Embedder:
    """Return the untrained model of ``--init``, which the first process writes to ``output/init``."""
    folder = output / "init"
    with args.main_process_first(local=False):
        if args.process_index == 0 and (args.overwrite_output_dir or not (folder / "modules.json").is_file()):
            step = max(1, 3 * len(data) // args.tokenizer_texts)
            texts = (pair.instruction + pair.text for pair in islice(data.pairs(), 0, None, step))
            tokenizer = train_tokenizer(texts, args.vocab_size, uncased=args.uncased)
            if teacher is not None and args.static_epochs:
                said = dict.fromkeys(pair.text for pair in data.pairs())
                epochs = args.static_epochs
                parts = static_checkpoint(str(args.init), tokenizer, teacher, list(said), epochs=epochs, seed=args.seed)
            else:
                parts = random_embedder(str(args.init), tokenizer, seed=args.seed)
            write(parts, folder)
        return read(folder)


def _teacher(args: TrainArguments, data: TrainingData, output: Path) -> Teacher | None:
    """Return the teacher's vectors of all texts; the first process computes those that are not there yet."""
    if not (args.teacher or args.teacher_cache):
        return None
    folder = Path(args.teacher_cache or output / "teacher")
    name, instructions = args.teacher, args.teacher_instructions
    if name is None:
        name, instructions = Teacher.told_by(folder)
    elif instructions is None:
        instructions = sees_instructions(name, args.cache_dir)
    with args.main_process_first(local=False):
        teacher = Teacher(folder, name, bool(instructions))
        if args.process_index == 0:
            teacher.fill(
                data.pairs(),
                lambda: encoder_of(str(args.teacher), str(args.device), bool(instructions), args.cache_dir),
            )
    return teacher


def _facts(args: TrainArguments, data: TrainingData, model: Embedder) -> Facts:
    base = f"random weights of the shape {args.init}" if args.init else str(args.model_name_or_path)
    found: dict[str, str] = {}
    tasks: Counter[str] = Counter()
    path = find_triples(args.train_file, args.cache_dir)
    if path is not None:
        found["triples"] = f"{path.name}, {len(data.triples)} records"
        for triple in data.triples:
            tasks[triple.task_name or f"task {triple.task}"] += 1
    if args.text_file:
        found["texts"] = f"{Path(args.text_file).name}, {len(data.texts)} texts"
    if args.teacher:
        found["teacher"] = args.teacher
    return Facts(base, found, tasks, args.own_settings(), model.count())


def _last(output: Path) -> str:
    found = last_checkpoint(output)
    return found.name if found else "the start"


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - progress belongs on stderr
