"""A check of the installation: every kind of task on tiny data, without a network, in seconds."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instructor_embedding.encoders import PairEncoder
from instructor_embedding.evaluation.cached_encoder import CachedEncoder
from instructor_embedding.evaluation.following.data import LabeledTexts, built_in
from instructor_embedding.evaluation.score import Score

_RANGES = {"p-MRR": (-100.0, 100.0), "cosine_spearman": (-100.0, 100.0), "pearson": (-100.0, 100.0)}


@dataclass(frozen=True)
class Check:
    """One kind of task.

    Parameters
    ----------
    kind : str
    score : Score or None
        None where it failed.
    seconds : float
    error : str
        What went wrong, or ``""``.
    """

    kind: str
    score: Score | None
    seconds: float
    error: str = ""


def run(model: CachedEncoder | PairEncoder | Any) -> Iterator[Check]:
    """Run every kind of task on tiny data and yield the results as they come.

    Parameters
    ----------
    model : CachedEncoder, INSTRUCTOR, SentenceTransformer or object with encode(pairs)
    """
    encoder = CachedEncoder.of(model)
    texts = built_in()
    with tempfile.TemporaryDirectory(prefix="instructor-selftest-") as folder:
        home = Path(folder)
        write(home, texts)
        for kind, evaluate in _kinds(encoder, home, texts):
            start = time.perf_counter()
            try:
                score = evaluate()
                yield Check(kind, score, time.perf_counter() - start, _fault(score))
            except Exception as error:  # a check reports what any library raises, and goes through the other kinds
                reason = next(iter(str(error).splitlines()), "")
                yield Check(kind, None, time.perf_counter() - start, f"{type(error).__name__}: {reason}")


def _kinds(encoder: CachedEncoder, home: Path, texts: LabeledTexts) -> Iterator[tuple[str, Callable[[], Score]]]:
    from instructor_embedding.evaluation import billboard, mteb, prompt_retrieval
    from instructor_embedding.evaluation.following import run as following_run
    from instructor_embedding.evaluation.mteb.folder import names_in

    tasks = home / "tasks"
    for name in names_in(tasks):

        def task(name: str = name) -> Score:
            return mteb.evaluate(encoder, mteb.tasks_named([name], [], tasks))[0]

        yield name.removeprefix("Selftest"), task
    yield "Billboard", lambda: billboard.evaluate(encoder, billboard.load("mscoco", home / "billboard"))
    yield "PromptRetrieval", lambda: prompt_retrieval.evaluate(encoder, "sst5", home / "prompts")
    yield "Following", lambda: following_run.evaluate(encoder, texts, paraphrases=False, splits=2)[0]


def _fault(score: Score) -> str:
    low, high = _RANGES.get(score.metric, (0.0, 100.0))
    if not math.isfinite(score.value) or not low <= score.value <= high:
        return f"{score.metric} is {score.value}, outside {low:g} to {high:g}"
    return ""


def write(home: Path, texts: LabeledTexts) -> None:
    """Write tiny data of every kind, made from labeled texts, to a folder."""
    rows = [
        {"text": text, "topic": topic, "sentiment": sentiment}
        for text, topic, sentiment in zip(texts.texts, texts.labels["topic"], texts.labels["sentiment"], strict=True)
    ]
    # every fourth text, so that all topics and sentiments occur in each half
    first, second = rows[::4], rows[2::4]
    tasks = home / "tasks"
    pairs = list(zip(first, [*second[5:], *second[:5]], strict=True))
    alike = [(a["topic"] == b["topic"]) + (a["sentiment"] == b["sentiment"]) for a, b in pairs]
    sentences = [{"sentence1": a["text"], "sentence2": b["text"]} for a, b in pairs]
    scored = [row | {"score": float(score)} for row, score in zip(sentences, alike, strict=True)]
    _lines(tasks / "SelftestSTS" / "test.jsonl", scored)
    labels = [int(a["topic"] == b["topic"]) for a, b in pairs]
    labeled = [row | {"labels": label} for row, label in zip(sentences, labels, strict=True)]
    _lines(tasks / "SelftestPairClassification" / "test.jsonl", labeled)
    for split, half in (("train", first), ("test", second)):
        topics = [{"text": row["text"], "label": row["topic"]} for row in half]
        _lines(tasks / "SelftestClassification" / f"{split}.jsonl", topics)
    columns = {"sentences": [r["text"] for r in second], "labels": [r["topic"] for r in second]}
    _lines(tasks / "SelftestClustering" / "test.jsonl", [columns])
    ranked = [
        {
            "query": query["text"],
            "positive": [r["text"] for r in second if r["topic"] == query["topic"]][:2],
            "negative": [r["text"] for r in second if r["topic"] != query["topic"]][:6],
        }
        for query in first[::4]
    ]
    _lines(tasks / "SelftestReranking" / "test.jsonl", ranked)
    summaries = [
        {
            "text": query["text"],
            "machine_summaries": [second[0]["text"], query["text"], second[-1]["text"]],
            "human_summaries": [query["text"], second[1]["text"]],
            "relevance": [1.0, 5.0, 2.0],
        }
        for query in first[:4]
    ]
    _lines(tasks / "SelftestSummarization" / "test.jsonl", summaries)
    _retrieval(tasks, first[::5], second)
    _others(home, first, second)


def _retrieval(tasks: Path, queries: list[dict[str, str]], documents: list[dict[str, str]]) -> None:
    """Write retrieval, retrieval with an instruction per query, and FollowIR's reranking under changed instructions."""
    corpus = [{"_id": f"d{number}", "text": row["text"]} for number, row in enumerate(documents)]
    for name in ("SelftestRetrieval", "SelftestInstructionRetrieval", "Core17InstructionRetrieval"):
        changed = name.startswith("Core17")
        asked, judged, ranked, moved = [], [], [], []
        for number, query in enumerate(queries):
            on_topic = [f"d{n}" for n, row in enumerate(documents) if row["topic"] == query["topic"]]
            praise = [id_ for id_ in on_topic if documents[int(id_[1:])]["sentiment"] == "positive"]
            for suffix in ("-og", "-changed") if changed else ("",):
                id_ = f"q{number}{suffix}"
                only = suffix == "-changed" or ("Instruction" in name and not changed)
                own = "Only texts that praise are relevant." if only else "Any text on the topic is relevant."
                instruction = {"instruction": own} if "Instruction" in name else {}
                asked.append({"_id": id_, "text": query["text"]} | instruction)
                judged += [{"query-id": id_, "corpus-id": d, "score": 1} for d in (praise if only else on_topic)]
                ranked.append({"query-id": id_, "corpus-ids": [row["_id"] for row in corpus]})
            moved.append({"query-id": f"q{number}", "corpus-ids": [d for d in on_topic if d not in praise]})
        _lines(tasks / name / "corpus.jsonl", corpus)
        _lines(tasks / name / "queries.jsonl", asked)
        _lines(tasks / name / "qrels" / "test.jsonl", judged)
        if changed:
            _lines(tasks / name / "top_ranked.jsonl", ranked)
            _lines(tasks / name / "qrel_diff.jsonl", moved)


def _others(home: Path, first: list[dict[str, str]], second: list[dict[str, str]]) -> None:
    """Write data of Billboard and Prompt Retrieval."""
    generated, references = [], []
    for number, (row, other) in enumerate(zip(first, second, strict=True)):
        human = (row["topic"] == other["topic"]) + (row["sentiment"] == other["sentiment"])
        generated.append({"hyp": row["text"], "human_score": human, "seg_id": number})
        references.append({"seg_id": number, "refs": [other["text"], second[number - 9]["text"]][: 1 + number % 2]})
    _lines(home / "billboard" / "mscoco_THumB-1.0.jsonl", generated)
    _lines(home / "billboard" / "mscoco_references.jsonl", references)
    feelings = {"negative": 1, "neutral": 2, "positive": 3}
    for split, half in (("train", first), ("test", second[:8])):
        rows = [{"text": row["text"], "label": feelings[row["sentiment"]]} for row in half]
        _lines(home / "prompts" / "sst5" / f"{split}.jsonl", rows)


def _lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
