"""The evaluate verbs: spellings of flags, where results go, runs that are repeated or killed, the self-test."""

import json

import pytest

pytest.importorskip("mteb")


RANDOM = ("--library", "baseline", "-m", "random")


@pytest.mark.parametrize(
    "spelling",
    [
        ("--model_name", "random", "--data_dir", "--task_name", "--result_file"),
        ("--model", "random", "--data-dir", "--task", "--result-file"),
        ("-m", "random", "--data_dir", "-t", "--result_file"),
    ],
)
def test_spellings(run, tasks, tmp_path, spelling):
    model, name, data, task, file = spelling
    options = [model, name, data, tasks, task, "STSBenchmark", file, tmp_path / "scores"]
    out = run("mteb", "--library", "baseline", *options)
    assert out.startswith("STSBenchmark cosine_spearman ")
    # exactly in the file that was given, whatever its extension
    assert [path.name for path in tmp_path.iterdir()] == ["scores"]


def test_old_spellings_are_hidden(run):
    for verb in ("mteb", "billboard", "prompt-retrieval", "robustness", "following", "selftest"):
        out = run(verb, "--help")
        assert "-m, --model" in out
        assert "--precision" in out
        assert "--backend" in out
        assert "_" not in "".join(word for word in out.split() if word.startswith("--"))


def test_a_misspelled_flag(run):
    assert "--data-dir" in run("mteb", "--data-dri", "x", code=2)


def without_times(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        for name in ("seconds", "date", "cost"):
            del line["config"][name]
    return lines


def test_two_runs_are_identical_but_for_times(run, tasks, tmp_path):
    for name in ("a", "b"):
        run("mteb", *RANDOM, "--data-dir", tasks, "--result-file", tmp_path / name)
    assert without_times(tmp_path / "a") == without_times(tmp_path / "b")
    before = (tmp_path / "a").read_bytes()
    run("mteb", *RANDOM, "--data-dir", tasks, "--result-file", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == before


def test_a_killed_run_resumes_and_ends_equal(run, tasks, tmp_path):
    arguments = ("mteb", *RANDOM, "--data-dir", tasks, "--result-file")
    run(*arguments, tmp_path / "a")
    content = (tmp_path / "a").read_bytes()
    ends = [position for position, byte in enumerate(content) if byte == 10]
    for cut in (ends[0] + 40, ends[1], ends[1] + 1):  # inside a line, before its end, after it
        (tmp_path / "b").write_bytes(content[:cut])
        run(*arguments, tmp_path / "b")
        assert without_times(tmp_path / "b") == without_times(tmp_path / "a")


def test_results_load_with_the_tools_of_mteb(run, folders, tasks, tmp_path):
    import mteb

    options = ("--data-dir", tasks, "--output-dir", tmp_path, "-t", "STSBenchmark", "-m", folders["relu"])
    run("mteb", *options)
    run("mteb", *options, "--instructions", "none")
    cache = mteb.ResultCache(tmp_path)
    for experiments, count in (("no_experiments", 1), ("match_name", 2)):
        loaded = cache.load_results(load_experiments=experiments).model_results
        assert [result.task_name for model in loaded for result in model.task_results] == ["STSBenchmark"] * count
    assert len((tmp_path / "scores.jsonl").read_text().splitlines()) == 2


def test_a_file_that_cannot_be_written(run, tasks, tmp_path):
    (tmp_path / "file").write_text("")
    arguments = (*RANDOM, "--data-dir", tasks, "-t", "STSBenchmark", "--result-file", tmp_path / "file" / "x")
    err = run("mteb", *arguments, code=2)
    assert "cannot write" in err
    assert "Traceback" not in err


def test_selftest(run):
    out = run("selftest", *RANDOM, "--json")
    checks = [json.loads(line) for line in out.splitlines()]
    assert not [check for check in checks if check["error"]]
    assert {check["kind"] for check in checks} == {
        "STS", "PairClassification", "Classification", "Clustering", "Reranking", "Retrieval", "Summarization",
        "InstructionRetrieval", "Core17InstructionRetrieval", "Billboard", "PromptRetrieval", "Following",
    }  # fmt: skip


def test_tf_idf_learns_the_words_of_each_task(run, tasks):
    pytest.importorskip("sklearn")
    arguments = ("--library", "baseline", "-m", "tf-idf", "--data-dir", tasks, "-t", "SciFact", "-t", "STSBenchmark")
    out = run("mteb", *arguments, "--json")
    first, second = (json.loads(line) for line in out.splitlines())
    assert (
        first["config"]["model"]
        == second["config"]["model"]
        == {"name": "tf-idf", "fingerprint": "baseline:tf-idf-8192"}
    )
    assert first["value"] > 90


def test_precision_is_part_of_a_score(run, folders, tasks):
    arguments = ("-m", folders["relu"], "--data-dir", tasks, "-t", "STSBenchmark", "--device", "cpu", "--json")
    exact = json.loads(run("mteb", *arguments))
    named = json.loads(run("mteb", *arguments, "--precision", "exact"))
    assert "precision" not in exact["config"]["model"]
    assert named["config"]["model"]["precision"] == "exact"
    assert exact["value"] == named["value"]
    assert exact["config"]["size"]["parameters"] > 0
    assert exact["config"]["cost"]["texts_per_second"] > 0


@pytest.mark.parametrize(("library", "package"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_the_folder_of_an_export_is_scored(run, folders, models, tasks, tmp_path, library, package):
    pytest.importorskip("onnx")
    pytest.importorskip(package)
    from instructor_embedding import export

    export(models["relu"], tmp_path / "export", library)
    files = sorted(path.name for path in (tmp_path / "export").iterdir())
    values = []
    for folder in (folders["relu"], tmp_path / "export"):
        arguments = ("-m", folder, "--data-dir", tasks, "-t", "STSBenchmark", "--device", "cpu", "--json")
        line = json.loads(run("mteb", *arguments))
        values.append(line["value"])
    assert values[0] == pytest.approx(values[1], abs=0.01)
    assert line["config"]["model"]["fingerprint"].startswith("export:sha256:")
    assert line["config"]["size"]["bytes"] > 1000
    assert sorted(path.name for path in (tmp_path / "export").iterdir()) == files
    err = run("mteb", *arguments, "--precision", "int8", code=2)
    assert "precision='int8' is unknown" in err


def test_a_local_model_never_touches_the_network(run, monkeypatch, folders, tasks):
    def connect(*_arguments, **_options):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.create_connection", connect)
    arguments = ("-m", folders["relu"], "--data-dir", tasks, "-t", "STSBenchmark", "--device", "cpu")
    assert "STSBenchmark" in run("mteb", *arguments)


def test_an_unknown_model_is_one_line_without_waiting(run, monkeypatch, tasks):
    monkeypatch.setattr("instructor_embedding.evaluation.network.reachable", lambda: False)
    arguments = ("-m", "nobody/nothing", "--data-dir", tasks, "-t", "STSBenchmark")
    err = run("mteb", *arguments, code=1)
    assert "nobody/nothing" in err
    assert "Traceback" not in err
