"""MTEB: each text gets the instruction of its task and side; results are mteb's; nothing runs twice."""

import json

import pytest

from instructor_embedding import InputError
from instructor_embedding.evaluation.cached_encoder import CachedEncoder
from instructor_embedding.evaluation.instructions import Instructions, published
from instructor_embedding.evaluation.score import Results

pytest.importorskip("mteb")
from instructor_embedding.evaluation import mteb as benchmark
from instructor_embedding.evaluation import robustness
from instructor_embedding.evaluation.mteb import registry


def run(recording, tasks, names, results=None, **options):
    chosen = benchmark.tasks_named(names, [], tasks)
    return benchmark.evaluate(CachedEncoder(recording, "recording"), chosen, results=results, **options)


def test_each_side_gets_its_instruction(recording, tasks):
    run(recording, tasks, ["SciFact", "STSBenchmark"])
    by_instruction = {}
    for pair in recording.seen:
        by_instruction.setdefault(pair.instruction, set()).add(pair.text)
    query, document = (str(published("SciFact", side)) for side in ("query", "document"))
    assert query != document
    assert set(by_instruction) == {query, document, str(published("STSBenchmark"))}
    assert "sun sun" in by_instruction[query]
    assert len(by_instruction[document]) == 10


def test_mteb_accepts_the_encoder(recording):
    import mteb

    results = mteb.mock_run(benchmark.InstructedEncoder(CachedEncoder(recording, "recording")))
    ran = [name for name, result in results.items() if result is not None]
    assert results.all_passed
    assert len(ran) > 20


def test_settings_of_the_original(recording, tasks):
    run(recording, tasks, ["SciFact"], settings="original-2023")
    assert {pair.instruction for pair in recording.seen} == {str(published("SciFact", "query")), ""}
    with pytest.raises(InputError, match="settings='orignal'"):
        run(recording, tasks, ["SciFact"], settings="orignal")


def test_scores(recording, tasks, tmp_path):
    results = Results(tmp_path / "scores.jsonl")
    names = ["STSBenchmark", "Banking77Classification", "SciFact", "TwentyNewsgroupsClustering"]
    scores = run(recording, tasks, names, results)
    values = {score.task: score.value for score in scores}
    assert values["SciFact"] > 95
    assert values["Banking77Classification"] > 90
    assert values["STSBenchmark"] > 80
    assert 0 < values["TwentyNewsgroupsClustering"] <= 100
    assert {score.metric for score in scores} == {"cosine_spearman", "accuracy", "ndcg_at_10", "v_measure"}
    config = scores[0].config
    assert set(config) >= {"benchmark", "category", "model", "instructions", "sources", "data", "settings", "versions"}
    before = len(recording.seen)
    again = run(recording, tasks, names, Results(tmp_path / "scores.jsonl"))
    assert [score.value for score in again] == [score.value for score in scores]
    assert len(recording.seen) == before
    other = run(
        recording, tasks, ["STSBenchmark"], Results(tmp_path / "scores.jsonl"), instructions=Instructions("none")
    )
    assert len(recording.seen) > before
    assert other[0].key != scores[0].key


def test_the_command_of_the_original(folders, tasks, tmp_path, cli):
    output = tmp_path / "outputs"
    arguments = ["--model_name", folders["relu"], "--output_dir", output, "--task_name", "STSBenchmark"]
    arguments += ["--result_file", tmp_path / "results", "--data_dir", tasks, "--device", "cpu"]
    out = cli("evaluate", "mteb", *arguments).out
    assert out.startswith("STSBenchmark cosine_spearman ")
    line = json.loads((tmp_path / "results").read_text())
    assert line["config"]["instructions"] == {"text": str(published("STSBenchmark"))}
    written = list(output.rglob("STSBenchmark.json"))
    assert len(written) == 1
    assert json.loads(written[0].read_text())["task_name"] == "STSBenchmark"
    assert (written[0].parent / "model_meta.json").is_file()


def test_robustness(recording, tasks):
    chosen = benchmark.tasks_named(["STSBenchmark"], [], tasks)
    scores = robustness.evaluate(CachedEncoder(recording, "recording"), chosen)
    (row,) = robustness.summary(scores)
    assert row["gap"] == 0  # counts of words mind no instruction
    assert set(row) == {"task", "best", "worst", "gap", *robustness.VARIANTS}
    assert len({pair.instruction for pair in recording.seen}) == len(robustness.VARIANTS)
    with pytest.raises(InputError, match="variant='paraphrase 9'"):
        robustness.check(["paraphrase 9"])


@pytest.mark.parametrize(
    ("names", "message"),
    [(["STSBenchmrk"], "did you mean 'STSBenchmark'|holds no task 'STSBenchmrk'"), (["SICK-R"], "holds no task")],
)
def test_unknown_tasks(names, message, tasks):
    with pytest.raises(InputError, match=message):
        benchmark.tasks_named(names, [], tasks)
    with pytest.raises(InputError, match="there is no folder"):
        benchmark.tasks_named([], [], tasks / "nothing")


def test_mteb_knows_the_published_models():
    mteb = pytest.importorskip("mteb")
    assert registry.register() == ["hkunlp/instructor-base", "hkunlp/instructor-large", "hkunlp/instructor-xl"]
    meta = mteb.get_model_meta("hkunlp/instructor-large")
    assert meta.embed_dim == 768
    assert meta.use_instructions
    assert "MSMARCO" in str(meta.training_datasets)
