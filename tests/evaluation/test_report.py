"""Reports: the paper's averages, what may be compared, differences with their noise, every form of output."""

import csv
import io
import json
from dataclasses import replace

import pytest

from instructor_embedding import InputError
from instructor_embedding.evaluation.report import averages, make, pictures, published
from instructor_embedding.evaluation.report.comparison import comparable, delta, differing
from instructor_embedding.evaluation.report.render import FORMATS, format_of, render
from instructor_embedding.evaluation.report.runs import Entry
from instructor_embedding.evaluation.report.sections import sections
from instructor_embedding.evaluation.score import Results, Score
from tests.conftest import SHARED

# paper, table 2: seven categories of MTEB, their mean over 56 data sets, Billboard, Prompt Retrieval, the headline
TABLE = {
    "SimCSE": (21.9, 47.5, 33.4, 73.7, 67.3, 79.1, 23.3, 48.7, 29.4, 58.3, 48.2),
    "coCondenser": (33.0, 51.8, 37.6, 81.7, 64.7, 76.5, 29.5, 52.4, 31.5, 59.6, 51.8),
    "Contriever": (41.9, 53.1, 41.1, 82.5, 66.7, 76.5, 30.4, 56.0, 29.0, 57.3, 53.2),
    "GTR-Large": (47.4, 55.4, 41.6, 85.3, 67.1, 78.2, 29.5, 58.3, 31.2, 59.8, 55.1),
    "INSTRUCTOR": (47.6, 57.5, 45.3, 85.9, 73.9, 83.2, 31.8, 61.6, 36.9, 63.2, 58.4),
    "Sent-T5-XXL": (42.2, 56.4, 43.7, 85.1, 73.4, 82.6, 30.1, 59.5, 33.9, 61.5, 56.5),
    "GTR-XXL": (48.1, 56.7, 42.4, 86.1, 67.4, 78.4, 30.6, 58.9, 32.0, 60.8, 55.8),
    "SGPT-NLI": (32.3, 52.3, 37.0, 77.0, 70.1, 80.5, 30.4, 53.7, 29.6, 57.9, 51.9),
    "GTR-XL": (48.0, 56.0, 41.5, 86.1, 67.1, 77.8, 30.2, 58.4, 32.0, 60.4, 55.5),
    "INSTRUCTOR-XL": (49.3, 57.3, 44.7, 86.6, 73.2, 83.1, 32.0, 61.8, 34.1, 68.6, 58.8),
}
LARGE = SHARED / "reference" / "mteb_instructor_large_published.json"


@pytest.mark.parametrize("model", TABLE)
def test_the_headline_is_the_mean_of_nine_category_means(model):
    row = TABLE[model]
    means = dict(zip(averages.CATEGORIES, (*row[:7], *row[8:10]), strict=True))
    assert round(averages.headline(means), 1) == pytest.approx(row[-1])
    sizes = [len(averages.paper_tasks()[category]) for category in averages.MTEB]
    assert sizes == [15, 4, 11, 3, 12, 10, 1]
    over_data_sets = sum(mean * size for mean, size in zip(row[:7], sizes, strict=True)) / 56
    # the category means are rounded to one digit, so their weighted mean may be off by half of one
    assert over_data_sets == pytest.approx(row[7], abs=0.1)


@pytest.mark.skipif(not LARGE.is_file(), reason="the shared reference is not here")
def test_the_headline_from_the_published_scores(tmp_path):
    (run,) = published.of_json(LARGE)
    result = averages.of_run(run)
    assert run.label == "hkunlp/instructor-large"
    assert round(result.mteb, 2) == 61.59
    expected = dict(zip(averages.MTEB, (47.57, 57.54, 45.29, 85.89, 73.86, 83.15, 31.84), strict=True))
    assert {name: round(mean, 2) for name, mean in result.categories.items()} == expected
    assert result.headline is None
    assert {line.partition(":")[0] for line in result.lacking} == {"TextEvaluation", "PromptRetrieval"}
    # Billboard of a third party's rerun, Prompt Retrieval of the paper
    billboard = {"TextEvaluation": {"mscoco": 41.57, "cnndm": 30.33, "wmt20-zh-en": 38.85}}
    table = json.loads(LARGE.read_text()) | {"category_means": {"PromptRetrieval": 63.2}}
    table["scores"] |= billboard
    (tmp_path / "large.json").write_text(json.dumps(table, indent=1))
    (run,) = published.of_json(tmp_path / "large.json")
    assert round(averages.of_run(run).headline, 1) == 58.4


def test_an_incomplete_run_has_no_headline():
    with pytest.raises(InputError, match="missing: PromptRetrieval"):
        averages.headline(dict.fromkeys(averages.CATEGORIES[:-1], 50.0))


def config(name, revision="1", seed=None, repeats=(), **more):
    settings = {"name": "instructed"} | ({} if seed is None else {"seed": seed})
    return {
        "benchmark": "MTEB",
        "category": "Classification",
        "model": {"name": name, "fingerprint": name},
        "sources": {"text": "published (large)"},
        "data": {"path": "x", "revision": revision},
        "settings": settings,
        "versions": {"mteb": "2"},
        "repeats": {"accuracy": list(repeats)},
        "cost": {"texts_per_second": 100.0, "peak_memory_mb": 500.0},
        "size": {"parameters": 13_000_000, "bytes": 14_000_000},
        "seconds": 3.0,
    } | more


@pytest.fixture
def files(tmp_path):
    first, second = Results(tmp_path / "a.jsonl"), Results(tmp_path / "b.jsonl")
    first.add(Score("T1", "accuracy", 70.0, 10, config("a", repeats=(0.69, 0.70, 0.71))))
    first.add(Score("T2", "accuracy", 50.0, 10, config("a")))
    second.add(Score("T1", "accuracy", 72.0, 10, config("b", repeats=(0.71, 0.72, 0.73), versions={"mteb": "3"})))
    return [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]


def test_runs_and_differences(files):
    first, second = make.read(files)
    assert (first.label, second.label) == ("a", "b")
    assert first.entries["T1"].error == pytest.approx(1 / 3**0.5)
    difference = delta(second.entries["T1"], first.entries["T1"])
    # both gained the same in each repetition, so nothing of the difference is noise
    assert (round(difference.value, 6), round(difference.error, 6), difference.paired) == (2, 0, True)
    assert difference.clear
    assert delta(second.entries["T1"], first.entries["T2"]).clear is None
    changes = differing([first, second])
    assert changes["mteb"] == ["2", "3"]
    assert set(changes) == {"model", "fingerprint", "mteb"}


def test_seeds_are_repetitions(tmp_path):
    results = Results(tmp_path / "a.jsonl")
    for seed, value in enumerate((60.0, 62.0, 64.0)):
        results.add(Score("rte", "rouge_l", value, 10, config("a", seed=seed)))
    (run,) = make.read([tmp_path / "a.jsonl"])
    assert run.entries["rte"].value == 62
    assert run.entries["rte"].repeats == (60, 62, 64)


@pytest.mark.parametrize(
    ("change", "message"), [({"data": "x 2"}, "T1 cannot be compared: different data"), ({"metric": "f1"}, "metrics")]
)
def test_unlike_scores_are_refused(files, change, message):
    first, second = make.read(files)
    other = replace(second, entries={"T1": replace(second.entries["T1"], **change)})
    with pytest.raises(InputError, match=message):
        comparable([first, other])
    left = comparable([first, other], leave_out=True)
    assert [set(run.entries) for run in left] == [{"T2"}, set()]


def test_older_names_of_a_metric_are_no_difference(files):
    first, _ = make.read(files)
    old, new = (Entry("S", "STS", metric, 80.0) for metric in ("cos_sim_spearman", "cosine_spearman"))
    runs = [replace(first, entries={"S": old}), replace(first, entries={"S": new})]
    assert comparable(runs) == runs


def test_labels_tell_runs_of_one_model_apart(tmp_path):
    for name, table in (("plain", "none"), ("told", "published")):
        Results(tmp_path / f"{name}.jsonl").add(
            Score("T1", "accuracy", 1.0, 3, config("org/model", instructions_from=table))
        )
    runs = make.read([tmp_path / "plain.jsonl", tmp_path / "told.jsonl"])
    assert [run.label for run in runs] == ["model (none)", "model (published)"]
    # the same settings, other tasks: one run
    Results(tmp_path / "more.jsonl").add(Score("T2", "accuracy", 1.0, 3, config("org/model", instructions_from="none")))
    runs = make.read([tmp_path / "plain.jsonl", tmp_path / "more.jsonl"])
    assert [(run.label, set(run.entries)) for run in runs] == [("model", {"T1", "T2"})]
    with pytest.raises(InputError, match="no run is called 'x'; there are model"):
        make.read([tmp_path / "plain.jsonl"], ["x"])


def test_forms(files, tmp_path):
    (tmp_path / "known.json").write_text(
        json.dumps({"scores": {"Classification": {"T1": 90.0, "T9": 80.0}}, "model": "x/big"})
    )
    runs = make.read([*files, tmp_path / "known.json"])
    tables = sections(runs)
    assert [section.title for section in tables] == [
        "Averages",
        "Scores",
        "Differences from a",
        "Settings that differ",
        "Cost",
    ]
    text = {form: render(runs, tables, form) for form in FORMATS}
    assert "big, published" in text["terminal"]
    assert "T9" not in text["terminal"]  # no measured run has it
    assert "| T1 | accuracy | 70.00 ±0.58 | 72.00 ±0.58 | 90.00 |" in text["markdown"]
    assert "+2.00 ±0.00 *" in text["markdown"]
    rows = list(csv.DictReader(io.StringIO(text["csv"])))
    assert [(row["run"], row["task"], float(row["value"])) for row in rows][:2] == [("a", "T1", 70), ("a", "T2", 50)]
    parsed = json.loads(text["json"])
    assert parsed["runs"][0]["scores"]["T1"]["error"] == pytest.approx(0.577, abs=1e-3)
    assert parsed["runs"][1]["averages"]["headline"] is None
    assert format_of("x.md", None) == "markdown"
    with pytest.raises(InputError, match="the extension tells no format"):
        format_of("x.pdf", None)


def test_other_forms_of_published_figures(tmp_path):
    forms = {
        "models": {"models": {"m": {"scores": {"STS12": 1.0, "STS17 (en-en)": 2.0, "SciFact": None}}}},
        "tasks": {"tasks": {"STS12": {"m": {"main_score": 1.0, "metric": "cosine_spearman"}}}},
        "category_means": {"category_means": {"m": dict(zip(averages.CATEGORIES, range(9), strict=True))}},
    }
    runs = {}
    for name, table in forms.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(table, indent=1))
        (runs[name],) = published.of_json(tmp_path / f"{name}.json")
    assert set(runs["models"].entries) == {"STS12", "STS17"}
    assert runs["tasks"].entries["STS12"].category == "STS"
    assert averages.of_run(runs["category_means"]).headline == 4
    (tmp_path / "x.json").write_text('{"a": 1}')
    with pytest.raises(InputError, match="known forms"):
        published.of_json(tmp_path / "x.json")


def test_pictures(files, tmp_path):
    pytest.importorskip("matplotlib")
    runs = make.read(files)
    names = {path.name: path.read_bytes() for path in pictures.draw(runs, tmp_path / "one")}
    assert set(names) == {"scores.png", "speed.png"}
    assert {path.name: path.read_bytes() for path in pictures.draw(runs, tmp_path / "two")} == names


def test_the_command(files, tmp_path, run):
    out = run("report", *files)
    assert "Differences from a" in out
    run("report", *files, "--reference", "b", "-o", tmp_path / "r.md")
    assert "### Differences from b" in (tmp_path / "r.md").read_text()
    assert "cannot read" in run("report", tmp_path / "nothing", code=2)


def test_results_of_mteb(run, tasks, tmp_path):
    pytest.importorskip("mteb")
    options = ("--library", "baseline", "-m", "random", "--data-dir", tasks, "-t", "STSBenchmark")
    run("mteb", *options, "--output-dir", tmp_path / "out")
    (theirs,) = make.read([tmp_path / "out" / "results"])
    (ours,) = make.read([tmp_path / "out" / "scores.jsonl"])
    assert theirs.entries["STSBenchmark"].value == pytest.approx(ours.entries["STSBenchmark"].value, abs=1e-3)
    assert theirs.entries["STSBenchmark"].metric == "cosine_spearman"
