"""transformers' settings that mean nothing to this trainer: each is refused with its reason, none is ignored.

What is not listed here passes through to transformers and works; `tests/training/test_passthrough.py` goes through all
fields of the installed version, and `checked_optimizer` tries the optimizer and the schedule before any data is read.
"""

from __future__ import annotations

from dataclasses import fields
from importlib.util import find_spec
from typing import Any

import torch
from transformers import Trainer, TrainingArguments, get_scheduler

from instructor_embedding.errors import InputError

_BATCHES = "batches are formed from tasks here; see --batches, --mixing and --per_device_train_batch_size"
_EVALUATION = "dev sets are encoded as the finished model will encode them; see --dev_files"
_SHARDED = "each process holds the complete model here; start several with torchrun, and see --lora_rank for large ones"
_LABELS = "it changes a loss over classes, and the loss here is contrastive"
_HUB = "train first, then publish with INSTRUCTOR(folder).push_to_hub(name)"
_MEMORY = "memory is set by --chunk_tokens"
_MODEL = "it patches transformers' own models, and this one is not among them"

REASONS = {
    "auto_find_batch_size": f"any batch size fits, since {_MEMORY}",
    "train_sampling_strategy": _BATCHES,
    "length_column_name": _BATCHES,
    "dataloader_drop_last": _BATCHES,
    "accelerator_config": _BATCHES,
    "remove_unused_columns": "records are read with all that they need; see --columns",
    "label_names": _LABELS,
    "label_smoothing_factor": _LABELS,
    "average_tokens_across_devices": _LABELS,
    "neftune_noise_alpha": _MODEL,
    "use_liger_kernel": _MODEL,
    "liger_kernel_config": _MODEL,
    "use_cache": _MODEL,
    "torch_compile": _MODEL,
    "torch_compile_backend": _MODEL,
    "torch_compile_mode": _MODEL,
    "debug": _MODEL,
    "activation_checkpointing_kwargs": "--gradient_checkpointing has no options here",
    "gradient_checkpointing_kwargs": "--gradient_checkpointing has no options here",
    "torch_empty_cache_steps": _MEMORY,
    "skip_memory_metrics": "benchmarks/training_memory.py measures a step's memory",
    "fsdp": _SHARDED,
    "fsdp_config": _SHARDED,
    "deepspeed": _SHARDED,
    "parallelism_config": _SHARDED,
    "per_device_eval_batch_size": _EVALUATION,
    "prediction_loss_only": _EVALUATION,
    "eval_do_concat_batches": _EVALUATION,
    "eval_use_gather_object": _EVALUATION,
    "eval_accumulation_steps": _EVALUATION,
    "include_for_metrics": _EVALUATION,
    "batch_eval_metrics": _EVALUATION,
    "bf16_full_eval": _EVALUATION,
    "fp16_full_eval": _EVALUATION,
    "do_eval": _EVALUATION,
    "do_predict": "training ends with a model; encode with instructor-embed encode",
    "push_to_hub": _HUB,
    "hub_model_id": _HUB,
    "hub_private_repo": _HUB,
    "hub_strategy": _HUB,
    "hub_always_push": _HUB,
    "hub_revision": _HUB,
    "enable_jit_checkpoint": "SIGTERM saves a checkpoint already",
    "restore_callback_states_from_checkpoint": "a resumed run restores all that it needs",
    "optim_target_modules": "only optimizers that --optim does not offer here read it",
}


def refuse_useless(args: TrainingArguments) -> None:
    """Raise `InputError` for the first setting that was changed and would have no effect, or a wrong one."""
    for setting in fields(TrainingArguments):
        if setting.name not in REASONS:
            continue
        default = setting.default_factory() if callable(setting.default_factory) else setting.default
        value = getattr(args, setting.name)
        if value != default and value not in (None, [], ""):
            raise InputError(f"--{setting.name} has no use in this training: {REASONS[setting.name]}")


def checked_optimizer(args: TrainingArguments) -> None:
    """Make the optimizer and the schedule once on a single weight, and look for the loggers.

    Raises
    ------
    InputError, MissingExtraError
        In one line, what transformers says of a missing library or a missing option.
    """
    for logger in args.report_to or ():
        if logger not in ("none", "all") and find_spec(_PACKAGES.get(logger, logger)) is None:
            raise InputError(
                f"--report_to {logger}: {logger} is not installed; pip install {_PACKAGES.get(logger, logger)}"
            )
    weight = torch.nn.Parameter(torch.zeros(1))
    module = torch.nn.Module()
    module.weight = weight
    try:
        kind, options = Trainer.get_optimizer_cls_and_kwargs(args, module)  # type: ignore[arg-type]
        options = {name: value for name, value in options.items() if name not in ("params", "model", "optimizer_dict")}
        optimizer: Any = kind([weight], **options)
    except Exception as error:
        raise InputError(f"--optim {_value(args.optim)} cannot be used here: {_line(error)}") from None
    try:
        steps = max(args.max_steps, 10)
        get_scheduler(
            args.lr_scheduler_type,
            optimizer=optimizer,
            num_warmup_steps=args.get_warmup_steps(steps),
            num_training_steps=steps,
            scheduler_specific_kwargs=dict(args.lr_scheduler_kwargs or {}),  # type: ignore[arg-type]
        )
    except Exception as error:
        raise InputError(
            f"--lr_scheduler_type {_value(args.lr_scheduler_type)} cannot be used so: {_line(error)}; "
            "its options go to --lr_scheduler_kwargs as JSON"
        ) from None


_PACKAGES = {"azure_ml": "azureml", "clearml": "clearml", "comet_ml": "comet_ml", "dvclive": "dvclive"}


def _value(setting: Any) -> str:
    return str(getattr(setting, "value", setting))


def _line(error: Exception) -> str:
    """Return an error's first line, which is what a person can act on."""
    lines = str(error).splitlines()
    return (lines[0] if lines else type(error).__name__).strip().rstrip(".")
