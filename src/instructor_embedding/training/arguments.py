"""Settings of a training run: those of transformers' TrainingArguments, those of the original, and ours.

Every field is a flag of ``train.py`` and ``instructor-embed train`` and a key of a toml file.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from transformers import HfArgumentParser, TrainingArguments

from instructor_embedding.errors import InputError, nearest
from instructor_embedding.extras import need
from instructor_embedding.model.scratch import SHAPES
from instructor_embedding.training.data import ORDERS
from instructor_embedding.training.embedder import PARTS
from instructor_embedding.training.loss import DISTANCES, FORMS


def _flag(default: Any, text: str) -> Any:
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"help": text})
    return field(default=default, metadata={"help": text})


@dataclass
class TrainArguments(TrainingArguments):
    """All settings of a run; the names are the flags.

    Raises
    ------
    InputError
        A value is not allowed or two settings contradict each other.
    """

    # defaults of transformers that do not fit a run of hours
    logging_steps: float = _flag(50, "Steps between two lines of the history.")
    save_total_limit: int | None = _flag(3, "Checkpoints kept besides the best one.")
    # the order of the types is what transformers' parser can read
    report_to: None | str | list[str] = _flag("installed", "Loggers; by default tensorboard where it is installed.")  # noqa: RUF036
    # flags that transformers 5 dropped
    overwrite_output_dir: bool = _flag(
        False, "Start anew where output_dir holds checkpoints; otherwise go on from them."
    )
    warmup_ratio: float | None = _flag(None, "Part of all steps in which the learning rate rises.")
    # the model
    model_name_or_path: str | None = _flag(None, "Hub id or folder to start from: INSTRUCTOR, GTR, Sentence-T5, T5.")
    model_revision: str | None = _flag(None, "Branch, tag or commit on the hub.")
    use_auth_token: bool = _flag(False, "Use the hub's stored token.")
    init: str | None = _flag(None, f"Start from random weights of a shape instead: {', '.join(SHAPES)}.")
    vocab_size: int = _flag(16384, "With --init: pieces of the tokenizer that is trained on the texts.")
    tokenizer_texts: int = _flag(200_000, "With --init: at most so many texts for the tokenizer.")
    uncased: bool = _flag(False, "With --init: a tokenizer that reads all letters as small ones.")
    static_epochs: int = _flag(0, "With --init and a teacher: first fit the embedding table alone, so many passes.")
    dropout: float | None = _flag(None, "Dropout rate; by default the checkpoint's, 0.1 for T5.")
    freeze: list[str] = _flag([], f"Parts whose weights stay as they are: {', '.join(PARTS)}.")
    lora_rank: int = _flag(0, "Train low-rank additions of this rank instead of the weights; 0: off.")
    lora_alpha: float = _flag(32.0, "Scale of the additions, over the rank.")
    lora_targets: list[str] = _flag(["q", "k", "v", "o"], "Products that get additions: q k v o wi wi_0 wi_1 wo.")
    # the data
    cache_dir: str | None = _flag(None, "Folder that holds medi-data.json, and downloads.")
    train_file: str | None = _flag(None, "Triples, instead of medi-data.json: json, jsonl or parquet, also .gz.")
    text_file: str | None = _flag(None, "Texts for distillation alone: one a line, or json lines.")
    text_instruction: str = _flag("", "Instruction of the texts that have none.")
    max_source_length: int = _flag(512, "Tokens kept of a text, instruction included.")
    max_examples: int | None = _flag(None, "Train on at most so many records.")
    batches: str = _flag("shuffled", f"How records become batches: {' or '.join(ORDERS)}.")
    chunk_tokens: int = _flag(8192, "Tokens held with gradients at a time; larger batches go through GradCache.")
    # the loss
    cl_temperature: float = _flag(0.1, "Divides the cosines.")
    loss_form: str = _flag("original", f"Negatives of a query: {' or '.join(FORMS)} (see docs/training.md).")
    cross_device_negatives: bool = _flag(True, "The batches of all processes are one batch, as on several GPUs before.")
    mask_duplicates: bool = _flag(False, "No text that the batch itself marks as a match is a negative.")
    false_negative_margin: float | None = _flag(None, "No negative nearer than the positive by more than this cosine.")
    matryoshka_dims: list[int] = _flag([], "Add the loss of vectors cut to these lengths.")
    # distillation
    teacher: str | None = _flag(None, "Folder or hub id of an encoder whose vectors are a target too.")
    teacher_cache: str | None = _flag(None, "Folder of the teacher's vectors; by default output_dir/teacher.")
    teacher_instructions: bool | None = _flag(
        None, "The teacher reads instructions; by default if it is a T5 embedder."
    )
    distill_loss: str = _flag("cosine", f"Distance to the teacher: {', '.join(DISTANCES)}.")
    distill_weight: float = _flag(1.0, "Weight of that distance beside the contrastive loss.")
    distill_skip: list[str] = _flag([], "Tasks, by name or pattern, whose vectors need not follow the teacher's.")
    # evaluation
    dev_files: list[str] = _flag([], "Small sets to evaluate on: triples, or sentence pairs with scores.")
    dev_instruction: str = _flag("Represent the sentence: ", "Instruction of sentence pairs that have none.")
    max_eval_samples: int = _flag(1000, "Records used of each of dev_files.")

    def __post_init__(self) -> None:
        """Check values, fill in what follows from others, and let transformers do the same."""
        self._check()
        if self.warmup_ratio is not None:
            if not 0 <= self.warmup_ratio < 1 or self.warmup_steps:
                raise InputError(f"warmup_ratio={self.warmup_ratio} must be from 0 to below 1, without warmup_steps")
            self.warmup_steps = self.warmup_ratio
        if self.report_to in ("installed", ["installed"]):
            self.report_to = ["tensorboard"] if find_spec("tensorboard") else "none"
        if self.activation_checkpointing is None and self.gradient_checkpointing is not None:
            self.activation_checkpointing = self.gradient_checkpointing
        if not (torch.cuda.is_available() or torch.backends.mps.is_available()):
            self.use_cpu = True
        if self.ddp_find_unused_parameters is None:
            self.ddp_find_unused_parameters = False
        self.include_num_input_tokens_seen = "no"  # the trainer counts, whatever the model's inputs are called
        if self.dev_files:
            self._evaluate_by_default()
        super().__post_init__()  # type: ignore[no-untyped-call]
        if self.n_gpu > 1:
            self._n_gpu = 1  # one process drives one GPU; torchrun starts one process for each

    def _evaluate_by_default(self) -> None:
        """Evaluate whenever a checkpoint is saved and keep the best one, unless something else was asked for."""
        if self.eval_strategy == "no" and self.save_strategy != "no":
            self.eval_strategy = self.save_strategy
            self.eval_steps = self.eval_steps or self.save_steps
        if self.metric_for_best_model is None:
            self.metric_for_best_model, self.greater_is_better = "mean", True
            together = self.eval_strategy == self.save_strategy != "no"
            self.load_best_model_at_end = together and self.save_steps % (self.eval_steps or self.save_steps) == 0

    def _check(self) -> None:
        allowed: dict[str, Sequence[str]] = {"batches": ORDERS, "loss_form": FORMS, "distill_loss": DISTANCES}
        allowed |= {"init": tuple(SHAPES)} if self.init else {}
        for name, known in allowed.items():
            value = getattr(self, name)
            if value not in known:
                raise InputError(f"{name}={value!r} is unknown{nearest(value, known)}; known: {', '.join(known)}")
        if bool(self.model_name_or_path) == bool(self.init):
            raise InputError("pass one of model_name_or_path (where to start from) and init (a shape, from scratch)")
        for name in ("max_source_length", "chunk_tokens", "max_eval_samples", "tokenizer_texts"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.text_file and not (self.teacher or self.teacher_cache):
            raise InputError("text_file holds texts without partners, which only a teacher can teach; pass teacher")
        if self.static_epochs and not (self.init and (self.teacher or self.teacher_cache)):
            raise InputError("static_epochs fits a new model's table to a teacher; pass init and teacher as well")
        wrong = [part for part in self.freeze if part not in PARTS]
        if wrong:
            raise InputError(f"freeze={wrong[0]!r} is unknown{nearest(wrong[0], PARTS)}; known: {', '.join(PARTS)}")
        if set(self.freeze) == set(PARTS) or (self.freeze and self.lora_rank):
            raise InputError("freeze leaves nothing to train; leave out a part, or lora_rank, which freezes all")
        if any(size < 1 for size in self.matryoshka_dims):
            raise InputError(f"matryoshka_dims must be at least 1 each, got {self.matryoshka_dims}")

    def own_settings(self) -> dict[str, Any]:
        """Return the settings that were changed from their defaults, for the model card."""
        plain = {
            one.name: one.default for one in fields(self) if isinstance(one.default, (str, int, float, type(None)))
        }
        skipped = {"output_dir", "use_cpu", "report_to", "ddp_find_unused_parameters", "local_rank", "disable_tqdm"}
        skipped |= {"overwrite_output_dir", "warmup_ratio", "dataloader_pin_memory", "gradient_checkpointing"}
        skipped |= {"resume_from_checkpoint"}
        kept = {name: getattr(self, name) for name, default in plain.items() if getattr(self, name) != default}
        kept |= {name: getattr(self, name) for name in _ALWAYS_TOLD}
        return {
            name: value
            for name, value in sorted(kept.items())
            if name not in skipped and isinstance(value, (str, int, float, list)) and value not in ("", [], False)
        }


_ALWAYS_TOLD = (
    "cl_temperature",
    "learning_rate",
    "loss_form",
    "num_train_epochs",
    "per_device_train_batch_size",
    "seed",
)


class _Parser(HfArgumentParser):  # type: ignore[misc, unused-ignore]
    """Argparse with errors of one line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def parse(arguments: Sequence[str]) -> TrainArguments:
    """Turn flags into settings; ``--config FILE`` or a first ``FILE.toml`` are read before the other flags.

    Raises
    ------
    InputError
        A flag is unknown (the nearest known one is named) or its value is not allowed.
    """
    given = list(arguments)
    if given and given[0].endswith(".toml"):
        given.insert(0, "--config")
    if "--config" in given:
        place = given.index("--config")
        if place + 1 == len(given):
            raise InputError("--config needs a toml file")
        given[place : place + 2] = []
        given = [*_flags_of(Path(list(arguments)[place + 1 if arguments[0] == "--config" or place else 0])), *given]
    parser = _Parser(cast(Any, TrainArguments), allow_abbrev=False, prog="train")
    if "--output_dir" not in given and "--output-dir" not in given and "--help" not in given:
        raise InputError("output_dir is missing: the folder for checkpoints and the trained model")
    try:
        known = {option for action in cast(ArgumentParser, parser)._actions for option in action.option_strings}
        for flag in (part.partition("=")[0] for part in given if part.startswith("--")):
            if flag not in known:
                raise InputError(
                    f"{flag} is unknown{nearest(flag, known)}; instructor-embed train --all-flags lists all"
                )
        (settings,) = parser.parse_args_into_dataclasses(args=given)
    except InputError:
        raise
    except (ValueError, TypeError, ImportError) as error:
        raise InputError(str(error)) from None
    return cast(TrainArguments, settings)


def flags_help() -> str:
    """Return the help text of every flag, transformers' included."""
    return cast(ArgumentParser, _Parser(cast(Any, TrainArguments), allow_abbrev=False, prog="train")).format_help()


def _flags_of(path: Path) -> list[str]:
    """Return a toml file's keys as flags."""
    if not path.is_file():
        raise InputError(f"--config: there is no file {path}")
    reader = need("tomllib" if sys.version_info >= (3, 11) else "tomli", "reading toml files")
    try:
        content = reader.loads(path.read_text(encoding="utf-8"))
    except (reader.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no toml file: {error}") from None
    flags: list[str] = []
    for key, value in content.items():
        if isinstance(value, dict):
            raise InputError(f"{path}: [{key}] is a table; write the settings without tables, as key = value")
        values = value if isinstance(value, list) else [value]
        flags += [f"--{key}", *(str(part).lower() if isinstance(part, bool) else str(part) for part in values)]
    return flags
