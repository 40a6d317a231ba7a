"""Checkpoints to resume from: which one is complete, which one is the newest, and whether it is of the same run."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from instructor_embedding.errors import InputError
from instructor_embedding.training.data import TrainingData
from instructor_embedding.training.settings import Settings, is_secret

STATE = "trainer_state.json"  # written last: a checkpoint without it is not complete
IDENTITY = "run.json"
# what may change between the parts of a run: how long it is, and what has no influence on its steps
FREE = {
    *("output_dir", "overwrite_output_dir", "resume_from_checkpoint", "max_steps", "num_train_epochs", "average"),
    *("logging_strategy", "logging_steps", "logging_first_step", "logging_nan_inf_filter", "log_level", "disable_tqdm"),
    *("log_level_replica", "log_on_each_node", "report_to", "run_name", "project", "include_num_input_tokens_seen"),
    *("trackio_space_id", "trackio_bucket_id", "trackio_static_space_id"),
    *("eval_strategy", "eval_steps", "eval_delay", "eval_on_start", "dev_files", "dev_instruction", "dev_dims"),
    *("max_eval_samples", "metric_for_best_model", "greater_is_better", "load_best_model_at_end"),
    *("save_strategy", "save_steps", "save_total_limit", "save_only_model", "save_on_each_node"),
    *("dataloader_num_workers", "dataloader_prefetch_factor", "dataloader_persistent_workers", "do_train"),
    *("dataloader_pin_memory", "dataloader_multiprocessing_context", "dataloader_in_order", "ignore_data_skip"),
    *("chunk_tokens", "activation_checkpointing", "gradient_checkpointing", "full_determinism", "use_cpu"),
    *("local_rank", "ddp_backend", "ddp_timeout", "ddp_bucket_cap_mb", "ddp_broadcast_buffers", "ddp_static_graph"),
    *("ddp_find_unused_parameters", "cache_dir", "teacher_cache", "use_auth_token", "accelerator_config"),
    # the records themselves are compared, wherever they lie; so is the size of a batch over all processes
    *("train_file", "text_file", "columns", "instructions", "query_instruction", "document_instruction"),
    *("text_instruction", "per_device_train_batch_size", "tokenizer_texts"),
}


def identity_of(settings: Settings, data: TrainingData) -> dict[str, Any]:
    """Return what decides the steps of a run, by name: its data and the settings that are not in ``FREE``."""
    args = settings.trainer
    identity: dict[str, Any] = {
        "records": data.fingerprint,
        "batch_size": args.per_device_train_batch_size * args.world_size,
    }
    for group in settings:
        for setting in fields(group):
            value = getattr(group, setting.name)
            if setting.name not in FREE and not is_secret(setting.name, value):
                identity[setting.name] = getattr(value, "value", value)
    plain: dict[str, Any] = json.loads(json.dumps(identity, default=str))
    return plain


def write_identity(checkpoint: Path, identity: dict[str, Any]) -> None:
    """Write what a run that resumes from this checkpoint must share."""
    (checkpoint / IDENTITY).write_text(json.dumps(identity, indent=2) + "\n", encoding="utf-8")


def refuse_other_run(checkpoint: Path, identity: dict[str, Any]) -> None:
    """Raise `InputError` where a checkpoint belongs to a run of other data or settings."""
    file = checkpoint / IDENTITY
    if not file.is_file():
        return
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(stored, dict):
            raise ValueError("not an object")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file} is corrupt ({error}); remove {checkpoint} to resume from the one before, or start again with "
            "--overwrite_output_dir"
        ) from None
    different = [name for name in identity if name in stored and stored[name] != identity[name]]
    if not different:
        return
    if different[0] == "records":
        what = "other records (their texts, their order or their instructions differ)"
    else:
        name = different[0]
        what = f"{name}={stored[name]}, and this run has {name}={identity[name]}"
    raise InputError(
        f"{checkpoint} was trained with {what}; give the same to resume, --overwrite_output_dir to start again, or "
        f"--model_name_or_path {checkpoint} and another output_dir to train its weights further"
    )


def start_of(settings: Settings) -> Path | None:
    """Return the checkpoint to resume from: the one named, else the newest complete one, else none.

    With ``overwrite_output_dir`` the first process removes the checkpoints of the run before.

    Raises
    ------
    InputError
        The named checkpoint is not complete, or the folder holds a finished model without checkpoints.
    """
    args = settings.trainer
    output = Path(str(args.output_dir))
    named = str(args.resume_from_checkpoint or "")
    if named and named.lower() not in ("true", "last", "false"):
        if not is_complete(Path(named)):
            raise InputError(f"resume_from_checkpoint: {named} is not a complete checkpoint of a training")
        return Path(named)
    newest = last_checkpoint(output)
    if named.lower() in ("true", "last"):
        if newest is None:
            raise InputError(f"resume_from_checkpoint: {output} holds no complete checkpoint")
        return newest
    if args.overwrite_output_dir:
        if args.should_save:
            for old in output.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
                shutil.rmtree(old)
        return None
    if newest is None and (output / "modules.json").is_file():
        raise InputError(f"{output} holds a model and no checkpoint; pass --overwrite_output_dir or another folder")
    return newest


def checkpoints(folder: Path) -> list[Path]:
    """Return the complete checkpoints in a folder, the oldest first."""
    numbered = []
    for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        number = path.name.rpartition("-")[2]
        if number.isdigit() and is_complete(path):
            numbered.append((int(number), path))
    return [path for _, path in sorted(numbered)]


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint in a folder, or None."""
    complete = checkpoints(folder)
    return complete[-1] if complete else None


def is_complete(checkpoint: Path) -> bool:
    """Return True if a checkpoint was written to its end, with all that resuming needs."""
    try:
        if not (checkpoint / "optimizer.pt").is_file():  # --save_only_model
            return False
        state = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
        return isinstance(state, dict) and isinstance(state.get("global_step"), int)
    except (OSError, ValueError):
        return False


def steps_of(checkpoint: Path) -> int:
    """Return the step of a complete checkpoint."""
    return int(json.loads((checkpoint / STATE).read_text(encoding="utf-8"))["global_step"])
