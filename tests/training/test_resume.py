"""Stopped, finished, changed and diverged runs: what resumes, what is refused, what is not changed."""

import hashlib
import json
import sys

import pytest

pytest.importorskip("transformers")

from instructor_embedding import INSTRUCTOR, DivergenceError, InputError
from instructor_embedding.training.resume import last_checkpoint
from instructor_embedding.training.run import train
from tests.training.conftest import history, triples

SHORT = "--max_source_length 32 --per_device_train_batch_size 8 --logging_steps 1 --report_to none --disable_tqdm true"


def flags_of(folders, cache, out, more=""):
    start = ["--model_name_or_path", str(folders["relu"]), "--cache_dir", str(cache), "--output_dir", str(out)]
    return [*start, *SHORT.split(), *more.split()]


def content(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_a_finished_training_is_not_trained_further(folders, cache, tmp_path, capsys):
    out = tmp_path / "out"
    flags = flags_of(folders, cache, out, "--max_steps 3 --save_steps 2")
    train(flags)
    before = content(out)
    for _ in range(2):
        train(flags)
    assert content(out) == before
    assert "all 3 steps are done already; the model is in" in capsys.readouterr().err
    for file in out.glob("*"):  # a kill between the last checkpoint and the model
        if file.is_file():
            file.unlink()
    train(flags)
    assert content(out)["model.safetensors"] == before["model.safetensors"]
    train([*flags, "--max_steps", "5"])
    assert len(history(out)) == 5


CHANGES = {
    "--learning_rate 1e-4": "trained with learning_rate=5e-05, and this run has learning_rate=0.0001",
    "--per_device_train_batch_size 4": "trained with batch_size=8, and this run has batch_size=4",
    "--seed 3": "trained with seed=42",
    "--cl_temperature 0.2": "trained with cl_temperature=0.1",
    "--train_file other.json": r"trained with other records \(their texts, their order",
    "--mixing equal": "trained with mixing=size, and this run has mixing=equal",
}


@pytest.mark.slow
def test_damaged_checkpoints_are_named(folders, cache, tmp_path):
    out = tmp_path / "out"
    flags = flags_of(folders, cache, out, "--max_steps 2 --save_steps 1")
    train(flags)
    last, flags = out / "checkpoint-2", [*flags, "--max_steps", "3"]
    optimizer, identity = (last / "optimizer.pt").read_bytes(), (last / "run.json").read_bytes()
    (last / "run.json").write_bytes(identity[:20])
    with pytest.raises(
        InputError, match=r"run\.json is corrupt .*; remove .*checkpoint-2 to resume from the one before"
    ):
        train(flags)
    (last / "run.json").write_bytes(identity)
    (last / "optimizer.pt").write_bytes(optimizer[: len(optimizer) // 2])
    with pytest.raises(InputError, match=r"the optimizer's state in .*checkpoint-2 is corrupt"):
        train(flags)
    (last / "trainer_state.json").write_text("{}")
    assert last_checkpoint(out).name == "checkpoint-1"


@pytest.mark.slow
def test_a_changed_run_is_not_resumed(folders, cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.json").write_text(json.dumps(triples(96, 3, seed=1)), encoding="utf-8")
    flags = flags_of(folders, cache, "out", "--max_steps 4 --save_steps 2 --save_total_limit 1")
    train([*flags, "--max_steps", "2"])
    before = content(tmp_path / "out")
    for change, message in CHANGES.items():
        with pytest.raises(InputError, match=message):
            train([*flags, *change.split()])
    assert content(tmp_path / "out") == before
    train(flags)
    assert len(history("out")) == 4


@pytest.mark.slow
def test_what_does_not_change_the_steps_may_differ(folders, cache, tmp_path):
    flags = flags_of(folders, cache, tmp_path / "out", "--max_steps 4 --save_steps 2 --lr_scheduler_type constant")
    train([*flags, "--max_steps", "2"])
    train([*flags, "--chunk_tokens", "100", "--logging_steps", "2", "--save_steps", "4", "--gradient_checkpointing"])
    assert last_checkpoint(tmp_path / "out").name == "checkpoint-4"


@pytest.mark.parametrize("rate", ["1e12", "1e30"])
def test_a_diverging_run_stops_with_its_step(folders, cache, tmp_path, rate):
    out = tmp_path / "out"
    start = f"--max_steps 3 --save_steps 1 --lr_scheduler_type constant --learning_rate {rate}"
    with pytest.raises(DivergenceError, match=r"training diverged: .*step \d.*lower --learning_rate"):
        train(flags_of(folders, cache, out, start))
    assert not (out / "modules.json").exists()
    for checkpoint in out.glob("checkpoint-*"):
        assert INSTRUCTOR(checkpoint, device="cpu").encode(["a text"]).shape == (1, 48)


def test_divergence_keeps_the_last_good_checkpoint_and_is_exit_code_one(folders, cache, tmp_path, monkeypatch, capfd):
    from instructor_embedding.cli.main import main
    from instructor_embedding.training.loss import Contrast

    calls = []
    computed = Contrast.__call__

    def diverging(self, *args, **options):
        calls.append(1)
        return computed(self, *args, **options) * (float("nan") if len(calls) > 3 else 1)

    monkeypatch.setattr(Contrast, "__call__", diverging)
    out = tmp_path / "out"
    flags = flags_of(folders, cache, out, "--max_steps 8 --save_steps 2")
    monkeypatch.setattr(sys, "argv", ["instructor-embed", "train", *flags])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    line = capfd.readouterr().err.strip().splitlines()[-1]
    assert "training diverged: the loss of step 4 is nan" in line
    assert "checkpoint-2 is the last good checkpoint" in line
    assert last_checkpoint(out).name == "checkpoint-2"
    assert not (out / "modules.json").exists()


@pytest.mark.slow
def test_the_same_command_gives_the_same_model(folders, cache, tmp_path, environment):
    """In two processes, whose hash tables iterate in different orders; from scratch and with adapters."""
    import subprocess

    from tests.training.conftest import ROOT

    variants = {
        "scratch": "--init tiny --vocab_size 120",
        "lora": f"--model_name_or_path {folders['relu']} --lora_rank 2",
    }
    for process in ("one", "two"):
        lines = [
            [*extra.split(), "--cache_dir", str(cache), "--output_dir", str(tmp_path / process / name), *SHORT.split()]
            for name, extra in variants.items()
        ]
        steps = [{"flags": [*line, "--max_steps", "2"]} for line in lines]
        (tmp_path / "steps.json").write_text(json.dumps(steps), encoding="utf-8")
        command = [sys.executable, "-m", "tests.training.several_runs", str(tmp_path / "steps.json")]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    for name in variants:
        first, second = tmp_path / "one" / name, tmp_path / "two" / name
        assert history(first) == history(second)
        for file in ("tokenizer.json", "model.safetensors"):
            assert (first / file).read_bytes() == (second / file).read_bytes()
