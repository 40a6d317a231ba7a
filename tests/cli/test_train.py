"""The verb ``train``: flags that argparse reads, messages, exit codes; runs are tested in tests/training."""

import pytest

pytest.importorskip("transformers")


@pytest.fixture
def command(cli):
    def run(*arguments):
        done = cli("train", *arguments)
        return done.code, done.out, done.err

    return run


def test_all_flags_are_listed(command):
    code, out, _ = command("--all-flags")
    assert code == 0
    for flag in ("--cl_temperature", "--max_source_length", "--weight_decay", "--overwrite_output_dir", "--teacher"):
        assert flag in out


def test_wrong_usage_is_exit_code_two(command, tmp_path):
    code, _, err = command("--output_dir", tmp_path / "out", "--init", "tiny", "--cl_temperatur", "1")
    assert code == 2
    assert err.strip() == (
        "instructor-embed: --cl_temperatur is unknown; did you mean '--cl_temperature'?; "
        "instructor-embed train --all-flags lists all"
    )
    assert not (tmp_path / "out").exists()


def test_a_run(command, folders, tmp_path):
    import json

    from tests.training.conftest import triples

    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, triples(16, 1))), encoding="utf-8")
    config = tmp_path / "run.toml"
    config.write_text(f'model_name_or_path = "{folders["relu"]}"\nmax_steps = 1\n', encoding="utf-8")
    out = tmp_path / "out"
    code, _, err = command(config, "--train_file", tmp_path / "t.jsonl", "--output_dir", out, "--report_to", "none")
    assert code == 0, err
    assert err.splitlines()[-1] == f"1 steps done; the model is in {out}"
    assert (out / "model.safetensors").is_file()
