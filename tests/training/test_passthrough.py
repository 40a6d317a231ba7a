"""transformers' flags, one by one: each works in a run or is refused in one line, and none is forgotten."""

import json
from dataclasses import fields

import pytest

pytest.importorskip("transformers")

from transformers import TrainingArguments

from instructor_embedding import InputError
from instructor_embedding.training.arguments import parse
from instructor_embedding.training.passthrough import REASONS
from instructor_embedding.training.run import train
from instructor_embedding.training.settings import is_secret
from instructor_embedding.training.trainer import InstructorTrainer
from tests.training.conftest import triples

# runs of two steps, each with many flags that do not contradict each other
RUNS = [
    "--per_device_train_batch_size 8 --num_train_epochs 0.2 --learning_rate 1e-3 --lr_scheduler_type cosine "
    "--warmup_steps 1 --optim adamw_torch --weight_decay 0.1 --adam_beta1 0.8 --adam_beta2 0.9 --adam_epsilon 1e-7 "
    "--max_grad_norm 0.5 --gradient_accumulation_steps 2 --logging_strategy steps --logging_steps 1 "
    "--logging_first_step --log_on_each_node false --log_level error --log_level_replica error --disable_tqdm true "
    "--report_to none --run_name mine --save_strategy steps --save_steps 1 --save_total_limit 1 "
    "--save_on_each_node false --seed 3 --data_seed 4 --full_determinism false --use_cpu --do_train "
    "--dataloader_num_workers 1 --dataloader_prefetch_factor 1 --dataloader_persistent_workers true "
    "--dataloader_multiprocessing_context fork --dataloader_pin_memory false --dataloader_in_order true",
    "--max_steps 2 --lr_scheduler_type cosine_with_min_lr --lr_scheduler_kwargs {'min_lr':1e-5} --optim adafactor "
    "--bf16 --gradient_checkpointing --save_only_model --eval_strategy steps --eval_steps 1 --eval_delay 1 "
    "--eval_on_start --metric_for_best_model dev_accuracy --greater_is_better true --load_best_model_at_end false "
    "--hub_token secret --ignore_data_skip --logging_nan_inf_filter true "
    "--include_num_input_tokens_seen true --project mine --activation_checkpointing true",
    "--max_steps 2 --optim sgd --optim_args momentum=0.5 --lr_scheduler_type reduce_lr_on_plateau "
    "--eval_strategy steps --eval_steps 1 --save_strategy no",
]
TWO_PROCESSES = (
    "--max_steps 1 --ddp_find_unused_parameters false --ddp_bucket_cap_mb 5 --ddp_broadcast_buffers false "
    "--ddp_timeout 60 --ddp_static_graph false --ddp_backend gloo"
)
BY_HAND = {
    "output_dir": "every run",
    "resume_from_checkpoint": "tests/training/test_run.py",
    "fp16": "needs a GPU",
    "tf32": "needs a GPU",
    "local_rank": "set by torchrun",
    "trackio_space_id": "read with --report_to trackio alone",
    "trackio_bucket_id": "read with --report_to trackio alone",
    "trackio_static_space_id": "read with --report_to trackio alone",
}
VALUES = {
    "label_smoothing_factor": "0.1",
    "neftune_noise_alpha": "5",
    "fsdp": "full_shard",
    "fsdp_config": "{'version':2}",
    "deepspeed": "{'zero_optimization':{'stage':2}}",
    "train_sampling_strategy": "group_by_length",
    "length_column_name": "size",
    "accelerator_config": "{'split_batches':true}",
    "label_names": "a",
    "average_tokens_across_devices": "false",
    "remove_unused_columns": "false",
    "liger_kernel_config": None,
    "parallelism_config": None,
    "torch_compile_backend": "inductor",
    "torch_compile_mode": "default",
    "debug": "underflow_overflow",
    "activation_checkpointing_kwargs": "{'use_reentrant':false}",
    "gradient_checkpointing_kwargs": "{'use_reentrant':false}",
    "torch_empty_cache_steps": "1",
    "skip_memory_metrics": "false",
    "per_device_eval_batch_size": "2",
    "eval_do_concat_batches": "false",
    "eval_accumulation_steps": "2",
    "include_for_metrics": "inputs",
    "hub_model_id": "me/mine",
    "hub_strategy": "end",
    "hub_revision": "main",
    "optim_target_modules": "q",
}
START = ["--init", "tiny", "--vocab_size", "150"]


@pytest.fixture
def files(cache, tmp_path):
    dev = tmp_path / "dev.json"
    dev.write_text(json.dumps(triples(24, 1, seed=9)), encoding="utf-8")
    return ["--cache_dir", str(cache), "--output_dir", str(tmp_path / "out")], ["--dev_files", str(dev)]


@pytest.mark.slow
@pytest.mark.parametrize("flags", RUNS, ids=range(len(RUNS)))
def test_flags_that_work(files, folders, flags, tmp_path):
    where, dev = files
    line = [flag.replace("'", '"') for flag in flags.split()]
    start = ["--model_name_or_path", str(folders["relu"]), "--report_to", "none"]
    train([*start, *where, *(dev if "--eval_strategy" in line else []), *line])
    history = (tmp_path / "out" / "history.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(history[-1])["step"] in (1, 2)
    for file in tmp_path.rglob("*"):
        assert file.suffix not in (".json", ".md", ".jsonl") or "secret" not in file.read_text(encoding="utf-8"), file


@pytest.mark.parametrize("name", sorted(REASONS))
def test_flags_that_are_refused(files, name):
    value = VALUES.get(name, "true")
    if value is None:
        pytest.skip("transformers' parser does not take it as a flag")
    with pytest.raises(InputError) as error:
        parse([*START, *files[0], f"--{name}", *[value.replace("'", '"')]])
    assert str(error.value) == f"--{name} has no use in this training: {REASONS[name]}"
    assert "\n" not in str(error.value)


def test_no_flag_is_forgotten():
    """A new release of transformers adds flags: each must be tried before the pin moves."""
    tried = {flag.removeprefix("--") for run in (*RUNS, TWO_PROCESSES) for flag in run.split() if flag.startswith("--")}
    assert {setting.name for setting in fields(TrainingArguments)} - tried - set(REASONS) == set(BY_HAND)


def test_every_hook_that_is_overridden_exists():
    from transformers import Trainer

    ours = {name for name, value in vars(InstructorTrainer).items() if callable(value)}
    hooks = {
        *("get_train_dataloader", "get_batch_samples", "training_step", "evaluate", "floating_point_ops", "log"),
        *("_save", "_save_checkpoint", "_save_rng_state", "_load_from_checkpoint", "_load_best_model"),
        "_load_optimizer_and_scheduler",
    }
    assert hooks == {name for name in ours if hasattr(Trainer, name) and name != "__init__"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--report_to wandb", "--report_to wandb: wandb is not installed; pip install wandb"),
        ("--optim adamw_8bit", "--optim adamw_8bit cannot be used here: "),
        ("--optim adamw", "optim: invalid choice: 'adamw'"),
        ("--lr_scheduler_type cosine_with_min_lr", "--lr_scheduler_type cosine_with_min_lr cannot be used so: "),
        ("--lr_scheduler_type reduce_lr_on_plateau", "follows a score; pass dev_files and --eval_strategy steps"),
        ("--eval_strategy steps", "eval_strategy needs something to evaluate on; pass dev_files"),
        ("--eval_on_start", "eval_on_start needs something to evaluate on; pass dev_files"),
        ("--load_best_model_at_end --save_strategy epoch --eval_strategy epoch", "pass dev_files"),
        ("--save_strategy best", "pass dev_files"),
        ("--max_examples -5", "max_examples must be at least 1, got -5"),
        ("--max_steps 0", "max_steps must be at least 1, got 0; leave it out to train for num_train_epochs"),
        ("--max_steps -3", "max_steps must be at least 1, got -3"),
        ("--num_train_epochs 0", "num_train_epochs must be above 0, got 0"),
        ("--max_source_length 1", "max_source_length must be at least 2"),
        ("--per_device_train_batch_size 0", "per_device_train_batch_size must be at least 1, got 0"),
        ("--gradient_accumulation_steps 0", "gradient_accumulation_steps must be at least 1"),
        ("--learning_rate -1", "learning_rate must be at least 0, got -1"),
        ("--save_total_limit 0", "save_total_limit must be at least 1"),
        ("--warmup_ratio 1.5", "must be from 0 to below 1"),
        ("--warmup_steps -1", "warmup_steps must be at least 0"),
        ("--dropout 1", "dropout must be from 0 to below 1, got 1"),
        ("--lora_rank -1", "lora_rank must be at least 0"),
        ("--matryoshka_dims 0", "matryoshka_dims must be at least 1"),
        ("--cl_temperature 0", "cl_temperature must be above 0"),
        ("--distill_weight 0", "distill_weight must be above 0"),
        ("--negatives 0", "negatives must be at least 1"),
        ("--mixing temperatur", "mixing='temperatur' is unknown; did you mean 'temperature'?"),
        ("--mixing weights", "pass both or neither"),
        ("--mixing equal --batches original", "mixing needs --batches shuffled"),
        ("--average 3", "average='3' must be last:N"),
        ("--average last:9", "needs 9 checkpoints; pass --save_total_limit 9"),
        ("--fp16", "fp16 needs a GPU; --bf16 works on CPUs, too"),
        ("stray", "'stray' belongs to no flag"),
    ],
)  # fmt: skip
def test_wrong_values_are_one_line(files, flags, message):
    with pytest.raises(InputError) as error:
        parse([*START, *files[0], *flags.split()])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_sizes_beyond_the_model_are_refused(files, tmp_path):
    for flag in ("--matryoshka_dims", "--dev_dims"):
        with pytest.raises(InputError, match=f"{flag[2:]}: 999 must be below 48"):
            train([*START, *files[0], *files[1], flag, "16", "999", "--max_steps", "1", "--report_to", "none"])
    with pytest.raises(InputError, match="no tokenizer of 3 pieces can be trained"):
        train(["--init", "tiny", "--vocab_size", "3", *files[0][:3], str(tmp_path / "other"), "--report_to", "none"])
    with pytest.raises(InputError, match="metric_for_best_model='accuracy' is unknown; known: mean, or a score of dev"):
        train([*START, *files[0], *files[1], "--metric_for_best_model", "accuracy"])


def test_secrets_are_neither_shown_nor_stored():
    """Every field that may hold a secret, of this and of later releases, by its name; and values that look like one."""
    names = [setting.name for setting in fields(TrainingArguments)]
    assert [name for name in names if "token" in name and is_secret(name, "x")] == ["hub_token"]
    for name in ("push_to_hub_token", "wandb_api_key", "password", "client_secret", "aws_access_key", "token"):
        assert is_secret(name, "x")
    for name in ("chunk_tokens", "tokenizer_texts", "include_num_input_tokens_seen", "monkey"):
        assert not is_secret(name, "x")
    assert is_secret("run_name", "hf_abcdefghijkl")
    assert is_secret("train_file", ["https://me:word@host/x"])
    shown = parse([*START, "--output_dir", "x", "--hub_token", "S3CRET", "--run_name", "hf_S3CRETS3CRET"]).changed()
    assert "S3CRET" not in json.dumps(shown)
