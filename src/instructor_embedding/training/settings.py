"""The settings of a training run, in groups: model, data, loss, distillation, evaluation, trainer.

Every field is a flag of ``train.py`` and ``instructor-embed train`` and a key of a toml file; names are unique over all
groups. Each group checks its own values; `Settings` checks what concerns two of them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from transformers import TrainingArguments

from instructor_embedding.errors import InputError, choose
from instructor_embedding.model.scratch import SHAPES
from instructor_embedding.training.batches import MIXINGS, ORDERS
from instructor_embedding.training.embedder import PARTS
from instructor_embedding.training.loss import DISTANCES, FORMS
from instructor_embedding.training.passthrough import refuse_useless


def _flag(default: Any, text: str) -> Any:
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"help": text})
    return field(default=default, metadata={"help": text})


def _at_least(minimum: float, **values: float | None) -> None:
    """Raise `InputError` for the first value below the minimum."""
    for name, value in values.items():
        if value is not None and value < minimum:
            raise InputError(f"{name} must be at least {minimum}, got {value}")


@dataclass
class ModelSettings:
    """What training starts from, and which of its weights are trained."""

    model_name_or_path: str | None = _flag(None, "Hub id or folder to start from: INSTRUCTOR, GTR, Sentence-T5, T5.")
    model_revision: str | None = _flag(None, "Branch, tag or commit on the hub.")
    use_auth_token: bool = _flag(False, "Use the hub's stored token.")
    init: str | None = _flag(None, f"Start from random weights of a shape instead: {', '.join(SHAPES)}.")
    vocab_size: int = _flag(16384, "With --init: size of the vocabulary that is trained on the texts.")
    tokenizer_texts: int = _flag(200_000, "With --init: train the tokenizer on at most this many texts.")
    uncased: bool = _flag(False, "With --init: a tokenizer that lowercases.")
    max_source_length: int = _flag(512, "Tokens of a text, instruction included; longer texts are truncated.")
    dropout: float | None = _flag(None, "Dropout rate; by default the checkpoint's, 0.1 for T5.")
    freeze: list[str] = _flag([], f"Weights that are not trained: {', '.join(PARTS)}.")
    lora_rank: int = _flag(0, "Train low-rank adapters of this rank instead of the weights; 0: off.")
    lora_alpha: float = _flag(32.0, "Scale of the adapters, divided by the rank.")
    lora_targets: list[str] = _flag(["q", "k", "v", "o"], "Linear layers that get adapters: q k v o wi wi_0 wi_1 wo.")

    def __post_init__(self) -> None:
        """Check the values."""
        if self.init:
            choose("init", self.init, SHAPES)
        for name in self.freeze:
            choose("freeze", name, PARTS)
        if bool(self.model_name_or_path) == bool(self.init):
            raise InputError(
                "pass one of --model_name_or_path (where to start from) and --init (a shape, from scratch)"
            )
        if self.max_source_length < 2:
            raise InputError(f"max_source_length must be at least 2 (a token and EOS), got {self.max_source_length}")
        _at_least(1, tokenizer_texts=self.tokenizer_texts, vocab_size=self.vocab_size)
        _at_least(0, lora_rank=self.lora_rank)
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise InputError(f"dropout must be from 0 to below 1, got {self.dropout}")
        if set(self.freeze) == set(PARTS) or (self.freeze and self.lora_rank):
            raise InputError("freeze leaves nothing to train; leave out a part, or lora_rank, which freezes all")


@dataclass
class DataSettings:
    """What is trained on, and how records become batches."""

    cache_dir: str | None = _flag(None, "Folder that holds medi-data.json, and downloads.")
    train_file: list[str] = _flag(
        [],
        "Records: files (json, jsonl, csv, tsv, parquet, also .gz and .zst), folders, globs, saved datasets, hub ids.",
    )
    columns: list[str] = _flag([], "Names of your columns, as query=title positive=body negative=other task=topic.")
    query_instruction: str | None = _flag(None, "Instruction of queries whose record has none.")
    document_instruction: str | None = _flag(None, "Instruction of positives and negatives whose record has none.")
    instructions: str | None = _flag(None, "Table of instructions: rows of task, query, document (csv, jsonl, ...).")
    text_file: str | None = _flag(None, "Texts for distillation alone, one per line or as records.")
    text_instruction: str = _flag("", "Instruction of the texts that have none.")
    max_examples: int | None = _flag(None, "Train on at most this many records, the same share of each task.")
    hold_back: int = _flag(0, "Records that are not trained on, but scored before, during and after training.")
    negatives: int = _flag(1, "Hard negatives per query and step, drawn in each epoch where a record has more.")
    batches: str = _flag("shuffled", f"How records become batches: {' or '.join(ORDERS)}.")
    mixing: str = _flag("size", f"Share of each task: {', '.join(MIXINGS)}.")
    mixing_temperature: float = _flag(2.0, "With --mixing temperature: shares are sizes to the power of 1 / T.")
    task_weights: list[str] = _flag([], "With --mixing weights: shares, as task=3 other=1; patterns are allowed.")

    def __post_init__(self) -> None:
        """Check the values."""
        if isinstance(self.train_file, str):
            self.train_file = [self.train_file]
        choose("batches", self.batches, ORDERS)
        choose("mixing", self.mixing, MIXINGS)
        _at_least(1, max_examples=self.max_examples, negatives=self.negatives)
        if self.hold_back < 0 or self.hold_back == 1:
            raise InputError(f"hold_back must be 0 or at least 2, got {self.hold_back}")
        if not self.mixing_temperature > 0:
            raise InputError(f"mixing_temperature must be above 0, got {self.mixing_temperature}")
        if bool(self.task_weights) != (self.mixing == "weights"):
            raise InputError("task_weights belongs to --mixing weights: pass both or neither")
        if self.batches == "original" and self.mixing != "size":
            raise InputError("batches=original has the file's own order; mixing needs --batches shuffled")


@dataclass
class LossSettings:
    """The contrastive loss."""

    cl_temperature: float = _flag(0.1, "Divides the cosines.")
    loss_form: str = _flag("original", f"Negatives of a query: {' or '.join(FORMS)} (see docs/training.md).")
    cross_device_negatives: bool = _flag(True, "The batches of all processes form one batch with shared negatives.")
    mask_duplicates: bool = _flag(False, "A text that the batch marks as a match is never a negative.")
    false_negative_margin: float | None = _flag(
        None, "A negative nearer than the positive by more than this cosine is masked."
    )
    matryoshka_dims: list[int] = _flag([], "Add the loss of the vectors' first dimensions, as 256 128 64.")

    def __post_init__(self) -> None:
        """Check the values."""
        choose("loss_form", self.loss_form, FORMS)
        if not self.cl_temperature > 0:
            raise InputError(f"cl_temperature must be above 0, got {self.cl_temperature}")
        for size in self.matryoshka_dims:
            _at_least(1, matryoshka_dims=size)


@dataclass
class DistillationSettings:
    """A teacher whose vectors are a target."""

    teacher: str | None = _flag(None, "Folder or hub id of an encoder whose vectors are a target too.")
    teacher_cache: str | None = _flag(None, "Folder of the teacher's vectors; by default output_dir/teacher.")
    teacher_instructions: bool | None = _flag(
        None, "The teacher reads instructions; by default if it is a T5 embedder."
    )
    distill_loss: str = _flag("cosine", f"Distance to the teacher: {', '.join(DISTANCES)}.")
    distill_weight: float = _flag(1.0, "Weight of that distance beside the contrastive loss.")
    distill_skip: list[str] = _flag([], "Tasks, by name or pattern, whose vectors need not follow the teacher's.")

    def __post_init__(self) -> None:
        """Check the values."""
        choose("distill_loss", self.distill_loss, DISTANCES)
        if not self.distill_weight > 0:
            raise InputError(f"distill_weight must be above 0, got {self.distill_weight}")

    @property
    def requested(self) -> bool:
        """Whether there is a teacher at all."""
        return bool(self.teacher or self.teacher_cache)


@dataclass
class EvaluationSettings:
    """Small sets that are scored while training."""

    dev_files: list[str] = _flag([], "Small sets to evaluate on: every form of --train_file, scores and labels too.")
    dev_instruction: str = _flag("Represent the sentence: ", "Instruction of sentence pairs that have none.")
    dev_dims: list[int] = _flag([], "Score the first dimensions of the vectors, too, as 64 128.")
    max_eval_samples: int = _flag(1000, "Use at most this many records of each of dev_files.")

    def __post_init__(self) -> None:
        """Check the values."""
        _at_least(2, max_eval_samples=self.max_eval_samples)
        for size in self.dev_dims:
            _at_least(1, dev_dims=size)


@dataclass
class TrainerSettings(TrainingArguments):
    """The optimizer, the schedule, checkpoints and logs: transformers' own settings and a few more."""

    # defaults of transformers that do not fit a run of hours
    logging_steps: float = _flag(50, "Steps between two lines of the history.")
    save_total_limit: int | None = _flag(3, "Checkpoints that stay besides the best one.")
    # the order of the types is what transformers' parser can read
    report_to: None | str | list[str] = _flag("installed", "Loggers; by default tensorboard where it is installed.")  # noqa: RUF036
    # flags that transformers 5 dropped
    overwrite_output_dir: bool = _flag(False, "Start again where output_dir holds checkpoints; by default it resumes.")
    warmup_ratio: float | None = _flag(None, "Share of all steps in which the learning rate rises.")
    # ours
    chunk_tokens: int = _flag(8192, "Tokens that have gradients at a time; larger batches go through GradCache.")
    average: str | None = _flag(None, "Finish with the mean of the last checkpoints' weights, as last:3.")

    def __post_init__(self) -> None:
        """Check values, fill in what follows from others, and let transformers do the same."""
        refuse_useless(self)
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
        if self.disable_tqdm is None:
            self.disable_tqdm = not sys.stderr.isatty()  # no progress bar in files and pipes
        self.include_num_input_tokens_seen = "no"  # the trainer counts, whatever the model's inputs are called
        self.logging_nan_inf_filter = False  # a loss that is not finite stops the run
        super().__post_init__()  # type: ignore[no-untyped-call]
        if self.n_gpu > 1:
            self._n_gpu = 1  # one process drives one GPU; torchrun starts one process for each

    def _check(self) -> None:
        if self.max_steps == 0 or self.max_steps < -1:
            raise InputError(
                f"max_steps must be at least 1, got {self.max_steps}; leave it out to train for num_train_epochs"
            )
        if not self.num_train_epochs > 0:
            raise InputError(f"num_train_epochs must be above 0, got {self.num_train_epochs}")
        _at_least(
            1,
            per_device_train_batch_size=self.per_device_train_batch_size,
            gradient_accumulation_steps=self.gradient_accumulation_steps,
            chunk_tokens=self.chunk_tokens,
            save_total_limit=self.save_total_limit,
        )
        _at_least(0, learning_rate=self.learning_rate, weight_decay=self.weight_decay, max_grad_norm=self.max_grad_norm)
        _at_least(0, dataloader_num_workers=self.dataloader_num_workers, warmup_steps=self.warmup_steps)
        for name, seed in {"seed": self.seed, "data_seed": self.data_seed}.items():
            if seed is not None and not 0 <= seed < 2**32:
                raise InputError(f"{name} must be from 0 to {2**32 - 1}, got {seed}")
        if self.fp16 and not torch.cuda.is_available():
            raise InputError("fp16 needs a GPU; --bf16 works on CPUs, too")
        if self.lr_scheduler_type == "reduce_lr_on_plateau" and self.eval_strategy == "no":
            raise InputError(
                "lr_scheduler_type=reduce_lr_on_plateau follows a score; pass dev_files and --eval_strategy steps"
            )
        if self.average is not None:
            self.averaged()

    def averaged(self) -> int:
        """Return how many of the last checkpoints are averaged at the end; 0: none."""
        if self.average is None:
            return 0
        match = re.fullmatch(r"last:([1-9]\d*)", self.average)
        if match is None or int(match[1]) < 2:
            raise InputError(f"average={self.average!r} must be last:N with N of at least 2, such as last:3")
        count = int(match[1])
        if self.save_total_limit is not None and self.save_total_limit < count:
            raise InputError(f"average=last:{count} needs {count} checkpoints; pass --save_total_limit {count} or more")
        if self.save_only_model:
            raise InputError("average reads complete checkpoints; leave out save_only_model")
        return count

    def evaluate_by_default(self) -> None:
        """Evaluate whenever a checkpoint is saved and keep the best one, unless something else was requested."""
        if self.eval_strategy == "no" and self.save_strategy != "no":
            self.eval_strategy = self.save_strategy if self.save_strategy != "best" else "steps"
            self.eval_steps = self.eval_steps or self.save_steps
        if self.metric_for_best_model in (None, "loss"):  # transformers' own default, which no dev set has
            self.metric_for_best_model, self.greater_is_better = "mean", True
            together = self.eval_strategy == self.save_strategy != "no"
            steps = self.save_steps % (self.eval_steps or self.save_steps) == 0
            self.load_best_model_at_end = together and steps and not self.average

    def refuse_evaluation(self) -> None:
        """Raise `InputError` for settings that need dev sets where there are none."""
        for name in ("eval_strategy", "eval_on_start", "load_best_model_at_end", "metric_for_best_model"):
            if getattr(self, name) not in ("no", False, None, "loss"):
                raise InputError(f"{name} needs something to evaluate on; pass dev_files")
        if self.save_strategy == "best":
            raise InputError("save_strategy=best needs something to evaluate on; pass dev_files")


class Settings(NamedTuple):
    """All settings of a run, by group."""

    model: ModelSettings
    data: DataSettings
    loss: LossSettings
    distillation: DistillationSettings
    evaluation: EvaluationSettings
    trainer: TrainerSettings

    def checked(self) -> Settings:
        """Check what concerns two groups, and return these settings.

        Raises
        ------
        InputError
            Two settings contradict each other.
        """
        if self.data.text_file and not self.distillation.requested:
            raise InputError("text_file holds texts without partners, which only a teacher can teach; pass teacher")
        if self.data.text_file and self.data.hold_back:
            raise InputError("hold_back scores records of train_file; texts of text_file have nothing to score")
        if self.evaluation.dev_files or self.data.hold_back:
            self.trainer.eval_on_start = self.trainer.eval_on_start or bool(self.data.hold_back)
            self.trainer.evaluate_by_default()
        else:
            self.trainer.refuse_evaluation()
        return self

    def changed(self) -> dict[str, Any]:
        """Return the settings that differ from their defaults, for the card; none that may hold a secret."""
        values: dict[str, Any] = {}
        for group in self:
            for setting in fields(group):
                value = getattr(group, setting.name)
                default = setting.default_factory() if callable(setting.default_factory) else setting.default
                if setting.name in _ALWAYS_SHOWN or (value != default and value not in ("", [], False, None)):
                    values[setting.name] = getattr(value, "value", value)  # transformers has enums
        return {name: value for name, value in sorted(values.items()) if _is_shown(name, value)}


GROUPS: Sequence[type[Any]] = (
    ModelSettings,
    DataSettings,
    LossSettings,
    DistillationSettings,
    EvaluationSettings,
    TrainerSettings,
)
_ALWAYS_SHOWN = (
    "cl_temperature",
    "learning_rate",
    "loss_form",
    "num_train_epochs",
    "per_device_train_batch_size",
    "seed",
)
_OF_THE_MACHINE = {
    "output_dir",
    "use_cpu",
    "report_to",
    "ddp_find_unused_parameters",
    "local_rank",
    "disable_tqdm",
    "overwrite_output_dir",
    "warmup_ratio",
    "dataloader_pin_memory",
    "gradient_checkpointing",
    "resume_from_checkpoint",
    "logging_nan_inf_filter",
}
_SECRET_NAME = re.compile(r"(^|_)(token|password|passwd|secret|credentials?|(api|access)_key|key)$")
_SECRET_VALUE = re.compile(r"\bhf_\w{8,}|\bsk-\w{8,}|://[^/\s]*:[^/\s]*@")


def is_secret(name: str, value: Any) -> bool:
    """Return True if a setting may hold a secret, by its name or by what its value looks like."""
    return bool(_SECRET_NAME.search(name)) or bool(_SECRET_VALUE.search(str(value)))


def _is_shown(name: str, value: Any) -> bool:
    plain = isinstance(value, (str, int, float)) or (
        isinstance(value, list) and all(isinstance(item, (str, int, float)) for item in value)
    )
    return plain and name not in _OF_THE_MACHINE and not is_secret(name, value)
