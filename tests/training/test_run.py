"""Complete runs of the command: as documented, resumed, interrupted, killed."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from instructor_embedding import INSTRUCTOR, CheckpointError, InputError
from instructor_embedding.model.folder.read import read
from tests.training.conftest import ROOT, history, triples

pytest.importorskip("transformers")

from instructor_embedding.training.resume import is_complete, last_checkpoint
from instructor_embedding.training.run import train

SHORT = (
    "--max_source_length",
    "32",
    "--per_device_train_batch_size",
    "8",
    "--logging_steps",
    "1",
    "--report_to",
    "none",
)
SHORT = (*SHORT, "--learning_rate", "1e-3", "--disable_tqdm", "true")


def weights(folder):
    model = read(folder)
    return {**model.encoder.state_dict(), **model.head.state_dict()}


def same(first, second):
    first, second = weights(first), weights(second)
    return all(np.array_equal(first[name].numpy(), second[name].numpy()) for name in first)


@pytest.mark.slow
def test_the_documented_command(command, folders, cache, tmp_path):
    """The README's line, with a small model instead of GTR; the one flag added ends it after three steps."""
    out = tmp_path / "out"
    line = (
        f"--model_name_or_path {folders['relu']} --output_dir {out} --cache_dir {cache} --max_source_length 512 "
        "--num_train_epochs 10 --save_steps 500 --cl_temperature 0.1 --warmup_ratio 0.1 --learning_rate 2e-5 "
        "--overwrite_output_dir"
    )
    done = command(*line.split(), "--max_steps", "3")
    assert done.returncode == 0, done.stderr
    model = INSTRUCTOR(out)
    assert model.encode([["Represent the question 0: ", "what is appleer"]]).shape == (1, 48)
    assert model.max_seq_length == 512
    assert not same(out, folders["relu"])
    assert "cl_temperature" in (out / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["t5", "sentence-transformers"])
def test_other_checkpoints_to_start_from(folders, models, cache, tmp_path, kind):
    """A plain T5 folder has no dense layer; GTR and Sentence-T5 come as sentence-transformers folders."""
    start = tmp_path / "start"
    models["gated"].save(start)
    if kind == "t5":
        (start / "modules.json").unlink()
        for module in start.glob("[0-9]_*"):
            shutil.rmtree(module)
    flags = ["--model_name_or_path", start, "--cache_dir", cache, "--output_dir", tmp_path / "out", *SHORT]
    train([*map(str, flags), "--max_steps", "2", "--gradient_checkpointing", "--bf16"])
    vectors = INSTRUCTOR(tmp_path / "out", device="cpu").encode(["a text"])
    assert vectors.shape == (1, 64 if kind == "t5" else 48)
    assert not same(tmp_path / "out", start)


@pytest.mark.slow
@pytest.mark.parametrize(
    "extra",
    [
        (),
        ("--gradient_accumulation_steps", "2", "--chunk_tokens", "60"),
        ("--lora_rank", "4"),
        ("--init", "tiny", "--vocab_size", "120", "--batches", "original"),
    ],
    ids=["plain", "accumulated-gradcache", "lora", "scratch-original"],
)
def test_a_resumed_run_equals_an_uninterrupted_one(folders, cache, tmp_path, extra):
    start = () if "--init" in extra else ("--model_name_or_path", folders["relu"])
    flags = [*start, "--cache_dir", cache, *SHORT, "--max_steps", "14", "--save_steps", "5", *extra]
    complete, cut = tmp_path / "whole", tmp_path / "cut"
    train([*map(str, flags), "--output_dir", str(complete)])
    shutil.copytree(complete, cut)
    for gone in ("checkpoint-10", "checkpoint-14"):
        shutil.rmtree(cut / gone, ignore_errors=True)
    train([*map(str, flags), "--output_dir", str(cut)])
    assert history(cut) == history(complete)
    assert len(history(complete)) == 14
    assert same(cut, complete)


@pytest.mark.slow
def test_a_signal_saves_and_the_run_resumes(environment, folders, cache, tmp_path):
    flags = ["--model_name_or_path", folders["relu"], "--cache_dir", cache, *SHORT, "--max_steps", "400"]
    flags = list(map(str, [*flags, "--save_steps", "1000"]))
    out = tmp_path / "out"
    line = [sys.executable, "train.py", *flags, "--output_dir", str(out)]
    running = subprocess.Popen(line, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: (out / "history.jsonl").is_file() and len(history(out)) > 5, running)
    running.send_signal(signal.SIGTERM)
    message = running.communicate(timeout=120)[1]
    assert running.returncode == 130, message
    saved = last_checkpoint(out)
    assert saved is not None
    assert saved.name in message
    assert not (out / "modules.json").exists()
    step = int(saved.name.rpartition("-")[2])
    before = history(out)
    train([*flags[:-2], "--save_steps", "1000", "--max_steps", str(step + 3), "--output_dir", str(out)])
    assert history(out)[:step] == before[:step]
    assert len(history(out)) == step + 3


def wait_for(condition, running, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert running.poll() is None, running.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_nothing_that_loads_wrongly(environment, folders, cache, tmp_path):
    """Kills while it saves at every step: what loads has the weights of its step, what is incomplete is passed over."""
    flags = ["--model_name_or_path", folders["relu"], "--cache_dir", cache, *SHORT, "--max_steps", "300"]
    flags = list(map(str, [*flags, "--save_steps", "1", "--save_total_limit", "400"]))
    complete = tmp_path / "whole"
    train([*flags, "--output_dir", str(complete), "--max_steps", "12", "--lr_scheduler_type", "constant"])
    out = tmp_path / "out"
    line = [sys.executable, "train.py", *flags, "--output_dir", str(out), "--lr_scheduler_type", "constant"]
    for step in (2, 7):
        running = subprocess.Popen(line, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        wait_for(lambda step=step: len(list(out.glob(f"checkpoint-{step}*"))) > 0, running)
        running.kill()
        running.wait()
        for folder in out.glob("checkpoint-*"):
            if (complete / folder.name).is_dir():
                try:
                    read(folder)
                except CheckpointError:
                    assert not is_complete(folder)
                else:
                    assert same(folder, complete / folder.name), folder
        newest = last_checkpoint(out)
        assert newest is not None
        assert int(newest.name.rpartition("-")[2]) >= step - 1


@pytest.mark.slow
def test_it_learns_and_keeps_the_best(cache, tmp_path):
    dev = tmp_path / "small.json"
    dev.write_text(json.dumps(triples(24, 1, seed=9)), encoding="utf-8")
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"sentence1": f"apple {n}", "sentence2": "apple " * (n % 3 + 1), "score": n % 5} for n in range(12)]
    pairs.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    out = tmp_path / "out"
    flags = ["--init", "tiny", "--vocab_size", "150", "--cache_dir", cache, *SHORT, "--learning_rate", "3e-3"]
    flags += ["--max_steps", "60", "--save_steps", "20", "--dev_files", dev, pairs, "--matryoshka_dims", "16"]
    train([*map(str, flags), "--output_dir", str(out)])
    losses, recall = history(out), history(out, "eval_small_recall_at_1")
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert len(recall) == 3
    state = json.loads((last_checkpoint(out) / "trainer_state.json").read_text(encoding="utf-8"))
    assert same(out, Path(state["best_model_checkpoint"]))
    assert state["best_metric"] == max(history(out, "eval_mean"))
    assert (out / "history.png").stat().st_size > 5000
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "| small_recall_at_1 |" in card
    assert "random weights of the shape tiny" in card


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--init", "tiny"], "output_dir is missing"),
        (["--output_dir", "x"], "pass one of --model_name_or_path"),
        (["--output_dir", "x", "--init", "tinny"], "init='tinny' is unknown; did you mean 'tiny'?"),
        (
            ["--output_dir", "x", "--init", "tiny", "--freeze", "layer"],
            "'layer' is unknown; did you mean 'layers'?",
        ),
        (["--output_dir", "x", "--init", "tiny"], "there is nothing to train on"),
        (["--output_dir", "x", "--init", "tiny", "--cache_dir", "nowhere"], "nowhere holds no medi-data.json"),
        (["--output_dir", "x", "--init", "tiny", "--learning_rat", "1"], "did you mean '--learning_rate'?"),
        (["--output_dir", "x", "--init", "tiny", "--learning_rate", "fast"], "learning-rate: invalid float value"),
        (["--output_dir", "x", "--init", "tiny", "--loss_form", "x"], "loss_form='x' is unknown"),
        (["--output_dir", "x", "--init", "tiny", "--text_file", "t"], "only a teacher can teach"),
        (["--output_dir", "x", "--init", "tiny", "--train_file", "gone.json"], "there is no file gone.json"),
        (["--output_dir", "x", "--init", "tiny", "--seed", "-1"], "seed must be from 0 to 4294967295, got -1"),
        (["--output_dir", "x", "--init", "tiny", "--data_seed", "-1"], "data_seed must be from 0"),
        (["--output_dir", "/dev/null/x", "--init", "tiny"], "cannot write the folder /dev/null/x"),
        (["--output_dir", "/proc/x", "--init", "tiny"], "cannot write the folder /proc/x"),
        (["--config", "gone.toml"], "there is no file gone.toml"),
    ],
)
def test_wrong_flags_are_reported(flags, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        train(flags)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_without_its_optimizer_is_not_resumed_from(folders, cache, tmp_path):
    flags = ["--model_name_or_path", folders["relu"], "--cache_dir", cache, *SHORT, "--output_dir", tmp_path / "out"]
    train([*map(str, flags), "--max_steps", "2", "--save_only_model", "true"])
    assert last_checkpoint(tmp_path / "out") is None
    with pytest.raises(InputError, match="is not a complete checkpoint of a training"):
        train([*map(str, flags), "--resume_from_checkpoint", str(tmp_path / "out" / "checkpoint-2")])
    with pytest.raises(InputError, match="holds a model and no checkpoint; pass --overwrite_output_dir"):
        train([*map(str, flags)])


def test_a_toml_file_and_flags_that_win(folders, cache, tmp_path):
    config = tmp_path / "run.toml"
    settings = {
        "model_name_or_path": str(folders["relu"]),
        "cache_dir": str(cache),
        "output_dir": str(tmp_path / "out"),
    }
    settings |= {"max_steps": 9, "lora_targets": ["q", "v"], "lora_rank": 2, "disable_tqdm": True, "report_to": "none"}
    config.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()), encoding="utf-8")
    train(["--config", str(config), "--max_steps", "2", "--logging_steps", "1"])
    assert len(history(tmp_path / "out")) == 2
