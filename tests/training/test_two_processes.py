"""Two processes of torchrun give the run of one: plain, resumed, with GradCache, on streamed and mixed data."""

import json
import random
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("transformers")

from instructor_embedding.training.run import train
from tests.training.conftest import ROOT, history, triples
from tests.training.test_forms import write
from tests.training.test_mixed import flags_of, several
from tests.training.test_passthrough import TWO_PROCESSES
from tests.training.test_run import SHORT, weights

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(folders, tmp_path_factory, environment):
    """A folder with the models of all runs, made by one launch, since starting the processes takes longest."""
    home = tmp_path_factory.mktemp("two-processes")
    (home / "medi-data.json").write_text(json.dumps(triples(96, 3)), encoding="utf-8")
    write(home / "several.jsonl", several(triples(64, 1)))
    half = ["--per_device_train_batch_size", 4]
    plain, mixed = plain_flags(home, folders), mixed_flags(home, folders)
    start = ["--model_name_or_path", folders["relu"], "--cache_dir", home, "--report_to", "none"]
    steps = [
        [*plain, *half, "--output_dir", home / "two"],
        [*plain, *half, "--output_dir", home / "chunks", "--chunk_tokens", 40, "--mask_duplicates", "true"],
        home / "two" / "checkpoint-8",
        [*plain, *half, "--output_dir", home / "two"],
        [*mixed, *half, "--output_dir", home / "two-mixed"],
        [*start, *TWO_PROCESSES.split(), "--output_dir", home / "passed-through"],
    ]
    lines = [{"flags": list(map(str, step))} if isinstance(step, list) else {"remove": str(step)} for step in steps]
    (home / "steps.json").write_text(json.dumps(lines), encoding="utf-8")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    launch += ["--master_port", str(random.randint(20000, 60000))]
    launch += ["-m", "tests.training.several_runs", str(home / "steps.json")]
    done = subprocess.run(launch, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return home


def plain_flags(home, folders):
    start = ["--model_name_or_path", folders["relu"], "--cache_dir", home, *SHORT, "--dropout", "0"]
    return [*start, "--max_steps", "8", "--save_steps", "4"]


def mixed_flags(home, folders):
    more = ("--dropout", 0, "--max_steps", 12, "--loss_form", "in-batch")
    return flags_of(folders, home / "several.jsonl", home / "unused", *more)


def test_batches_are_shared(home, folders):
    """Batches of 4 on two processes give the run of batches of 8 on one: same tasks, shared negatives; resumed, too."""
    train([*map(str, plain_flags(home, folders)), "--output_dir", str(home / "one")])
    for folder in (home / "two", home / "chunks"):
        assert history(folder) == pytest.approx(history(home / "one"), rel=1e-4)
        for name, value in weights(home / "one").items():
            np.testing.assert_allclose(weights(folder)[name], value, atol=2e-4)


def test_shares_may_differ_in_their_negatives(home, folders):
    """Batches of 4 on two processes, whose shares differ in how many negatives they have, give those of 8 on one."""
    train([*mixed_flags(home, folders), "--output_dir", str(home / "one-mixed")])
    assert history(home / "two-mixed") == pytest.approx(history(home / "one-mixed"), rel=1e-4)
    for name, value in weights(home / "one-mixed").items():
        np.testing.assert_allclose(weights(home / "two-mixed")[name], value, atol=2e-4)


def test_flags_of_several_processes_work(home):
    assert (home / "passed-through" / "model.safetensors").is_file()
