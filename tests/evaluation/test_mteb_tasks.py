"""mteb's benchmarks by name, each able to finish, and the instruction of each query where it belongs."""

import json

import pytest

from instructor_embedding import InputError
from instructor_embedding.evaluation import network
from instructor_embedding.evaluation.cached_encoder import CachedEncoder
from instructor_embedding.evaluation.instructions import Instructions, published
from tests.evaluation.conftest import WORDS, write_rows

pytest.importorskip("mteb")
from instructor_embedding.evaluation import mteb as benchmark
from instructor_embedding.evaluation.mteb import folder, tasks
from instructor_embedding.evaluation.mteb.instructed import InstructedEncoder, Settings
from instructor_embedding.evaluation.mteb.run import judged, verify

LIKE = "Only texts on {} are relevant."


def names(*benchmarks):
    return [task.metadata.name for task in benchmark.tasks_named(benchmarks)]


@pytest.fixture(scope="module")
def following(tmp_path_factory):
    """The instruction-following tasks of mteb on mock data of their own shape: one sky, wind and weather for all."""
    home = tmp_path_factory.mktemp("following")
    corpus = [
        {"_id": f"d{n}", "title": "", "text": f"{word} {word} {WORDS[(n + 1) % 10]}"} for n, word in enumerate(WORDS)
    ]
    queries = [(f"q{n}", f"{word} and", LIKE.format(WORDS[(n + 1) % 10])) for n, word in enumerate(WORDS[:4])]
    for name in ("InstructIR", "IFIRAila", "BrightBiologyRetrieval", "NevIR", "Core17InstructionRetrieval"):
        task = home / name
        write_rows(task / "corpus" / "corpus-00000-of-00001.jsonl", corpus)
        asked, judgments, instructions, ranked = [], [], [], []
        suffixes = {"InstructIR": ("_1", "_2"), "IFIRAila": ("v1", "v2", "v3"), "NevIR": ("_q1", "_q2")}
        suffixes["Core17InstructionRetrieval"] = ("-og", "-changed")
        for id_, text, instruction in queries:
            for position, suffix in enumerate(
                suffixes.get(name, ("-og", "-changed") if name.startswith("Core") else ("",))
            ):
                own = int(id_[1:]) + position
                asked.append({"_id": id_ + suffix, "text": text if name != "NevIR" else corpus[own]["text"]})
                instructions.append({"query-id": id_ + suffix, "instruction": instruction})
                judgments.append({"query-id": id_ + suffix, "corpus-id": f"d{own}", "score": 1})
                ranked.append({"query-id": id_ + suffix, "corpus-ids": [row["_id"] for row in corpus]})
        write_rows(task / "queries.jsonl", asked)
        write_rows(task / "qrels" / f"{'standard' if name.startswith('Bright') else 'test'}.jsonl", judgments)
        if not name.startswith(("Bright", "Nev")):
            write_rows(task / "instruction.jsonl", instructions)
        if name.startswith(("Core", "Nev")):
            write_rows(task / "top_ranked.jsonl", ranked)
    write_rows(home / "Core17InstructionRetrieval" / "qrel_diff.jsonl", [{"query-id": "q0", "corpus-ids": ["d0"]}])
    return home


def test_the_benchmarks_have_no_aggregate():
    first, second = names("MTEB(eng, v1)"), names("MTEB(eng, v2)")
    assert len(first) == 55 + 12
    assert len(second) == 41
    members = names("CQADupstackRetrieval")
    assert len(members) == 12
    assert set(members) <= set(first)
    assert "CQADupstackRetrieval" not in first
    assert set(tasks.FOLLOWING) <= set(names("instruction-following"))
    assert len(names("IFIR")) == 7
    assert names("FollowIR", "FollowIR") == names("FollowIR")
    with pytest.raises(InputError, match="did you mean 'instruction-following'"):
        names("instruction-folowing")


def test_every_task_of_the_two_benchmarks_has_its_published_instruction():
    chooser = InstructedEncoder(CachedEncoder(Echo(), "echo"))
    for task in benchmark.tasks_named(["MTEB(eng, v1)", "MTEB(eng, v2)"]):
        sides = ("query", "document") if task.metadata.type in ("Retrieval", "Reranking") else ("text",)
        for side in sides:
            assert chooser.choose(task.metadata, side).source == "published (large)", task.metadata.name


@pytest.mark.parametrize(
    ("variant", "parent", "side"),
    [
        ("HotpotQAHardNegatives", "HotpotQA", "query"),
        ("FEVERHardNegatives.v2", "FEVER", "document"),
        ("ClimateFEVER.v2", "ClimateFEVER", "query"),
        ("SummEvalSummarization.v2", "SummEval", "text"),
        ("ArXivHierarchicalClusteringP2P", "ArxivClusteringP2P", "text"),
        ("NanoSciFactRetrieval", "SciFact", "query"),
        ("Touche2020Retrieval.v3", "Touche2020", "document"),
    ],
)
def test_variants_inherit(variant, parent, side):
    assert published(variant, side) == published(parent, side) is not None


class Echo:
    fingerprint = "echo"

    def encode(self, pairs):
        raise AssertionError("nothing is encoded here")


def test_each_query_brings_its_instruction(recording, following):
    scores = benchmark.evaluate(CachedEncoder(recording, "recording"), benchmark.tasks_named([], [], following))
    metrics = {score.task: score.metric for score in scores}
    assert metrics == {
        "BrightBiologyRetrieval": "ndcg_at_10",
        "Core17InstructionRetrieval": "p-MRR",
        "IFIRAila": "ndcg_at_20",
        "InstructIR": "robustness_at_10",
        "NevIR": "paired_accuracy",
    }
    assert {score.task: score.n for score in scores}["IFIRAila"] == 12
    queries = {pair.instruction: pair.text for pair in recording.seen if "Only texts" in pair.instruction}
    # the query's instruction follows that of the task, and is not part of the text
    assert len(queries) == 4
    start = Instructions().choose("InstructIR", "InstructionRetrieval", "query").instruction
    assert set(queries) == {f"{start}{LIKE.format(word)} " for word in WORDS[1:5]}
    assert not [pair for pair in recording.seen if "Only texts" in pair.text]
    assert "Represent this biology post for searching relevant passages: " in {
        pair.instruction for pair in recording.seen
    }


@pytest.mark.parametrize(("where", "in_text"), [("text", True), ("none", False)])
def test_other_uses_of_the_query_instruction(recording, following, where, in_text):
    settings = Settings("instructed", query_instructions=where)
    (score,) = benchmark.evaluate(recording, benchmark.tasks_named(["InstructIR"], [], following), settings=settings)
    assert score.config["settings"]["query_instructions"] == where
    assert any("Only texts" in pair.text for pair in recording.seen) == in_text
    assert not [pair for pair in recording.seen if "Only texts" in pair.instruction]


def test_a_benchmark_on_a_folder_runs_what_is_there(following):
    chosen = benchmark.tasks_named(["instruction-following"], [], following)
    assert len(chosen) == 5
    with pytest.raises(InputError, match=r"holds no task of MTEB\(eng, v2\)"):
        benchmark.tasks_named(["MTEB(eng, v2)"], [], following)


def test_faults_of_such_folders(following, tmp_path):
    write_rows(tmp_path / "Core17InstructionRetrieval" / "corpus.jsonl", [{"_id": "d", "text": "x"}])
    with pytest.raises(InputError, match="has no queries"):
        folder.load(tmp_path, "Core17InstructionRetrieval")
    write_rows(tmp_path / "CQADupstackRetrieval" / "corpus.jsonl", [{"_id": "d", "text": "x"}])
    write_rows(tmp_path / "CQADupstackRetrieval" / "queries.jsonl", [{"_id": "q", "text": "x"}])
    with pytest.raises(InputError, match=r"mean of several tasks.*CQADupstackAndroidRetrieval"):
        folder.load(tmp_path, "CQADupstackRetrieval")


def test_a_key_that_fits_nothing(tasks, recording):
    chosen = benchmark.tasks_named(["STSBenchmark"], [], tasks)
    for key, hint in (("STSBenchmrk", "STSBenchmark"), ("Clasification", "Classification")):
        table = Instructions({key: "Represent the text: "}, name="mine.json")
        with pytest.raises(InputError, match=f"mine.json: '{key}' is neither .* did you mean '{hint}'"):
            benchmark.evaluate(recording, chosen, instructions=table)
    assert not recording.seen
    # of other tasks of the folder, of mteb, of a type, of all
    verify(Instructions(dict.fromkeys(("SciFact", "TRECCOVID", "ArguAna-PL", "Reranking", "*"), "A: ")), chosen)


def test_no_network_is_one_line_at_once(monkeypatch, recording):
    monkeypatch.setattr(network, "reachable", lambda: False)
    monkeypatch.setattr("instructor_embedding.evaluation.mteb.run.reachable", lambda: False)
    for name in ("STS12", "SciFact", "BrightBiologyRetrieval", "Core17InstructionRetrieval"):
        (task,) = benchmark.tasks_named([name])
        with pytest.raises(
            InputError, match=f"cannot load the data of {name}: the hub cannot be reached; use --data-dir"
        ):
            benchmark.evaluate(recording, [task])


def test_parameters_of_quantized_models_are_counted():
    from instructor_embedding import INSTRUCTOR

    model = CachedEncoder(INSTRUCTOR("instructor-mini", device="cpu"), "instructor-mini")
    meta = InstructedEncoder(model).mteb_model_meta
    assert meta.n_parameters == model.size["parameters"]
    assert 13_000_000 < meta.n_parameters < 13_200_000
    assert 12 < meta.memory_usage_mb < 16  # eight bits per weight, and scales


def test_what_is_judged(tasks):
    counts = {task.metadata.name: judged(task, "test") for task in benchmark.tasks_named([], [], tasks)}
    assert counts == {
        "Banking77Classification": 80,
        "STSBenchmark": 40,
        "SciFact": 10,
        "TwentyNewsgroupsClustering": 160,
    }


def test_newer_clustering_takes_single_texts(recording, tmp_path):
    rows = [{"sentences": [f"{word} {n}" for n in range(8)], "labels": [word] * 8} for word in WORDS[:4]]
    write_rows(tmp_path / "TwentyNewsgroupsClustering.v2" / "test.jsonl", rows)
    (task,) = benchmark.tasks_named([], [], tmp_path)
    assert len(task.dataset["test"]) == 32
    (score,) = benchmark.evaluate(recording, [task])
    assert score.metric == "v_measure"
    assert json.dumps(score.config["repeats"])
