"""Scores models and baselines on the eight sets and on instruction following, and writes the report of docs/.

    python benchmarks/evaluation.py sets ../shared/data --minilm FOLDER         # an hour on two cores; resumes
    python benchmarks/evaluation.py following ../shared/data --minilm FOLDER    # a quarter of an hour; resumes
    python benchmarks/evaluation.py speed ../shared/data --minilm FOLDER        # a minute of an idle machine
    python benchmarks/evaluation.py report ../shared/data                       # seconds

The scores are in benchmarks/results/evaluation_sets.jsonl and evaluation_following.jsonl, the speeds in
evaluation_speed.json; the report is docs/evaluation_report.md with its pictures.
all-MiniLM-L6-v2 is the folder that sentence-transformers loads; it is not a dependency of this package.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import json
import os
import statistics
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from rank_fusion import bm25, ndcg, retrieval_set

from instructor_embedding import encoders
from instructor_embedding.evaluation import mteb
from instructor_embedding.evaluation.baselines import baseline
from instructor_embedding.evaluation.cached_encoder import CachedEncoder
from instructor_embedding.evaluation.following import data as sets
from instructor_embedding.evaluation.following.run import evaluate as follow
from instructor_embedding.evaluation.instructions import Instructions
from instructor_embedding.evaluation.mteb.texts import texts_of
from instructor_embedding.evaluation.report import make, pictures
from instructor_embedding.evaluation.report.render import render
from instructor_embedding.evaluation.report.runs import Run
from instructor_embedding.evaluation.report.sections import Section, sections
from instructor_embedding.evaluation.score import Results, Score
from instructor_embedding.evaluation.versions import versions
from instructor_embedding.files.records import read_records
from instructor_embedding.instruction import Pair

ROOT = Path(__file__).parent.parent
SCORES = {step: ROOT / "benchmarks" / "results" / f"evaluation_{step}.jsonl" for step in ("sets", "following")}
SPEEDS = ROOT / "benchmarks" / "results" / "evaluation_speed.json"
PAGE = ROOT / "docs" / "evaluation_report.md"
HEAD = """# Report

Made by `benchmarks/evaluation.py` from its scores in `benchmarks/results`.
instructor-mini runs under [its recipe's instructions](../recipes/mini/instructions.json).
all-MiniLM-L6-v2 runs through sentence-transformers, without instructions on the eight sets.
BM25 ranks documents for a query and makes no vectors, so it is scored on retrieval alone; TF-IDF is scored on all sets.
The texts of `reviews` and `requests` were held back from the training of instructor-mini.
Other texts of their sources were not.
A dash, or a model that is missing, has not been run yet: the commands at the head of the script resume.
What the figures mean: [evaluation.md](evaluation.md).

![scores by data set](evaluation_scores.png)

![instruction following](evaluation_following.png)

"""
# short texts first, SciFact's abstracts last
_ORDER = (
    "STSBenchmark",
    "TwentyNewsgroupsClustering",
    "TrecQAReranking",
    "TwitterURLCorpus",
    "SICK-R",
    "EmotionClassification",
    "Banking77Classification",
    "SciFact",
)
_SENTIMENTS = {"POS": "positive", "NEG": "negative", "Good": "positive", "Bad": "negative"}
_REVIEWED = {
    "task363_sst2": "film",
    "sapt_sst2": "film",
    "sapt_yelp": "restaurant or shop",
    "sapt_amazon": "product",
}
# the intents of the requests taken apart: "reserve roundtrip flights"
_ACTIONS = {
    **dict.fromkeys(("find", "search", "get", "lookup"), "look up"),
    **dict.fromkeys(("reserve", "book", "buy", "schedule"), "book"),
}
_SERVICES = {
    "flight": "flight",
    "bus": "bus",
    "hotel": "hotel",
    "restaurant": "restaurant",
    "car": "car",
    "movie": "movie",
    "event": "event",
    "house": "house",
    "apartment": "house",
}


def words(texts: Iterable[str]) -> CachedEncoder:
    """Return the TF-IDF baseline of some texts."""
    return CachedEncoder(baseline("tf-idf", texts), "TF-IDF")


def models(minilm: Path, cache: Path | None = None) -> list[CachedEncoder]:
    """Return random vectors, instructor-mini and all-MiniLM-L6-v2; vectors of the last two are stored in `cache`."""
    mini = encoders.load("instructor-mini", device="cpu")
    peer = encoders.load(str(minilm), "sentence-transformers", device="cpu")
    return [
        CachedEncoder(baseline("random", ()), "random vectors"),
        CachedEncoder(mini, "instructor-mini", progress=True, cache_dir=cache),
        CachedEncoder(peer, "all-MiniLM-L6-v2", progress=True, cache_dir=cache),
    ]


def measure_sets(data: Path, minilm: Path, cache: Path | None) -> None:
    """Score everything on the eight sets that is not in the file of scores."""
    results, none = Results(SCORES["sets"]), Instructions("none")
    random, mini, small = models(minilm, cache)
    own = Instructions(ROOT / "recipes" / "mini" / "instructions.json")
    tasks = sorted(mteb.tasks_named([], [], data / "eval"), key=lambda task: _ORDER.index(task.metadata.name))
    for task in tasks:
        for encoder, instructions in ((random, none), (words(texts_of(task)), none), (mini, own)):
            _show(encoder, mteb.evaluate(encoder, [task], instructions=instructions, results=results))
    measure_bm25(data, results)
    for task in tasks:  # sentence-transformers takes longest
        _show(small, mteb.evaluate(small, [task], instructions=none, results=results))


def measure_bm25(data: Path, results: Results) -> None:
    """Score BM25 on the retrieval sets: it ranks documents for a query, and has no vectors for the other tasks."""
    for task in mteb.tasks_named([], ["Retrieval"], data / "eval"):
        source, name = task.metadata.dataset, task.metadata.name
        config = {
            "benchmark": "MTEB",
            "category": task.metadata.type,
            "model": {"name": "BM25", "fingerprint": "baseline:bm25-lucene"},
            "instructions": {},
            "sources": {},
            "data": {**source, "split": "test", "subsets": list(task.hf_subsets)},
            "settings": {"name": "English stop words are left out"},
            "versions": dict(versions()),
            "instructions_from": "none",
        }
        if results.find(name, config) is None:
            queries, documents, relevant = retrieval_set(data / "eval" / name)
            value = round(ndcg(bm25(queries, documents), relevant), 4)
            results.add(Score(name, task.metadata.main_score, value, len(queries), config))


def measure_speed(data: Path, minilm: Path, _cache: Path | None) -> None:
    """Time every encoder on the same short texts, in turns, and store the median."""
    rows = [row for _, row in read_records(data / "eval" / "STSBenchmark" / "test.jsonl.gz")][:_TIMED]
    pairs = [Pair("", row["sentence1"]) for row in rows]
    timed = [*models(minilm), words(pair.text for pair in pairs)]
    seconds: dict[str, list[float]] = {encoder.name: [] for encoder in timed}
    for _ in range(1 + _ROUNDS):
        for encoder in timed:
            start = time.perf_counter()
            encoder.model.encode(pairs) if encoder.instructed else _prompted(encoder, pairs)
            seconds[encoder.name].append(time.perf_counter() - start)
    speeds = {name: round(len(pairs) / statistics.median(own[1:]), 1) for name, own in seconds.items()}
    sizes = {encoder.name: encoder.size for encoder in timed}
    content = {"texts": len(pairs), "threads": os.environ.get("OMP_NUM_THREADS", str(os.cpu_count()))}
    SPEEDS.write_text(json.dumps({**content, "texts_per_second": speeds, "size": sizes}, indent=1) + "\n")
    print(speeds)


def _prompted(encoder: CachedEncoder, pairs: list[Pair]) -> None:
    encoder.model.encode([pair.text for pair in pairs], batch_size=32, show_progress_bar=False)


_TIMED, _ROUNDS = 500, 3


def _show(encoder: CachedEncoder, scores: Iterable[Score]) -> None:
    for score in scores:
        print(encoder.name, score, flush=True)


def measure_following(data: Path, minilm: Path, cache: Path | None) -> None:
    """Score everything on instruction following that is not in the file of scores."""
    results = Results(SCORES["following"])
    random, *trained = models(minilm, cache)
    for texts in following_sets(data):
        for encoder in (random, words(texts.texts), *trained):
            follow(encoder, texts, results=results, paraphrases=encoder in trained)
            print(encoder.name, texts.name, len(texts.texts), flush=True)


def following_sets(data: Path) -> Iterator[sets.LabeledTexts]:
    """Yield the sets of instruction following: the built-in one, and two of texts that instructor-mini never saw."""
    yield sets.built_in()
    yield sets.labeled(list(_reviews(data)), ("subject", "sentiment"), name="reviews", kind="review")
    yield sets.labeled(list(_requests(data)), ("action", "service"), name="requests", kind="request")


def _reviews(data: Path) -> Iterator[dict[str, str]]:
    """Yield reviews with what they are of and their sentiment."""
    for name in ("tasks", "tasks_v1", "tasks_classification_extra"):
        for task in _lines(data / "train" / "super_ni" / f"{name}.jsonl.gz"):
            subject = next((value for key, value in _REVIEWED.items() if task["task_name"].startswith(key)), None)
            for row in task["Instances"] if subject else ():
                output = row["output"][0] if isinstance(row["output"], list) else row["output"]
                sentiment = _SENTIMENTS.get(output, output.removeprefix("very ").lower())
                text = row["input"].removeprefix("Text: ").strip()
                if sentiment in ("positive", "negative") and _is_unseen(text):
                    text = text.removeprefix("Title: ").replace("\nText: ", ". ")
                    yield {"text": text, "subject": str(subject), "sentiment": sentiment}


def _requests(data: Path) -> Iterator[dict[str, str]]:
    """Yield requests to an assistant with what is to be done and the service that does it: "find restaurants"."""
    for text, intent in _lines(data / "train" / "pairs" / "sgd_utterance_intent.jsonl.gz"):
        verb, _, rest = intent.partition(" ")
        service = next((name for word, name in _SERVICES.items() if word in rest), None)
        if service is not None and verb in _ACTIONS and _is_unseen(text):
            yield {"text": text, "action": _ACTIONS[verb], "service": service}


def _is_unseen(text: str) -> bool:
    """Return whether the recipe of instructor-mini held a text back from training."""
    return zlib.crc32(text.encode()) % 100 < 10


def _lines(path: Path) -> Iterator:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def report(data: Path) -> None:
    """Write the page and its pictures from the stored scores, the stored speeds and the published figures."""
    runs = make.read([*SCORES.values(), data / "published" / "mteb_v1_en_selected.json"], _SHOWN)
    runs = [_with_speed(run) for run in runs]
    # matrices of the trained models alone: baselines ignore instructions, which the summary shows
    matrices = [f"Instruction following: {name}" for name in ("random", "TF-IDF")]
    # BM25 has one data set, which would be all that the means over shared data sets are taken of
    averages = sections([run for run in runs if not run.label.lower().startswith("bm25")])[:1]
    tables = [section for section in sections(runs)[1:] if not section.title.startswith(tuple(matrices))]
    speed = "![score against speed](evaluation_speed.png)\n\n" if SPEEDS.is_file() else ""
    PAGE.write_text(HEAD + speed + render(runs, [*averages, *tables, *_speeds()], "markdown"), encoding="utf-8")
    own = [
        dataclasses.replace(run, following=run.following if run.label in _TRAINED else ())
        for run in runs
        if not run.published
    ]
    for path in pictures.draw(own, PAGE.parent):
        path.replace(path.with_name(f"evaluation_{path.name}"))


def _with_speed(run: Run) -> Run:
    """Return the run with the speed that was measured for itself: those beside scores depend on what else ran."""
    speeds = json.loads(SPEEDS.read_text())["texts_per_second"] if SPEEDS.is_file() else {}
    own = {"seconds": None, "peak_memory_mb": None, "texts_per_second": speeds.get(run.label)}
    return dataclasses.replace(
        run, entries={task: dataclasses.replace(entry, **own) for task, entry in run.entries.items()}
    )


def _speeds() -> list[Section]:
    if not SPEEDS.is_file():
        return []
    content = json.loads(SPEEDS.read_text())
    rows = [["model", "parameters", "MB", "texts/s"]]
    for name, speed in content["texts_per_second"].items():
        size = content["size"][name]
        cells = [f"{size['parameters'] / 1e6:.1f} M", f"{size['bytes'] / 1e6:.1f}"] if size else ["-", "-"]
        rows.append([name, *cells, f"{speed:.0f}"])
    note = f"{content['texts']} sentences of STSBenchmark, {content['threads']} thread(s), median of {_ROUNDS} rounds."
    return [Section("Speed", rows, [note])]


_TRAINED = ("instructor-mini", "all-MiniLM-L6-v2")
_SHOWN = ("instructor-mini", "MiniLM-L6-v2", "random vectors", "TF-IDF", "BM25", "instructor-large")


def main() -> None:
    """Run one of the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("sets", "following", "speed", "report"))
    parser.add_argument("data", type=Path)
    parser.add_argument("--minilm", type=Path, help="Folder of all-MiniLM-L6-v2.")
    parser.add_argument("--cache", type=Path, help="Folder where vectors are stored, so that a stop loses little.")
    options = parser.parse_args()
    if options.step == "report":
        report(options.data)
    elif options.minilm is None:
        parser.error(f"{options.step} needs --minilm")
    else:
        steps = {"sets": measure_sets, "following": measure_following, "speed": measure_speed}
        steps[options.step](options.data, options.minilm, options.cache)


if __name__ == "__main__":
    main()
