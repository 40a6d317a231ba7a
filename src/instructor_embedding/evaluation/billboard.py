"""Billboard: does a model's cosine between a generated text and its references follow human judgment?

A generated text scores the maximum cosine over its references; the result is Pearson's correlation of these with the
human scores, over all texts (paper, section on prompted text evaluation). Both sides get the same instruction.
"""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from instructor_embedding import fingerprint
from instructor_embedding.encoders import PairEncoder
from instructor_embedding.errors import InputError, choose
from instructor_embedding.evaluation.cached_encoder import CachedEncoder
from instructor_embedding.evaluation.cost import Clock
from instructor_embedding.evaluation.instructions import Instructions
from instructor_embedding.evaluation.score import Results, Score
from instructor_embedding.evaluation.statistics import pearson, spearman
from instructor_embedding.files.atomic import replacing
from instructor_embedding.files.records import read_records
from instructor_embedding.instruction import Pair
from instructor_embedding.vectors import Float32, unit

TASKS = ("mscoco", "cnndm", "wmt20-zh-en")
SOURCE = (
    "https://raw.githubusercontent.com/xlang-ai/instructor-embedding/"
    "d86f3292cd0994b9908a852d0d7a2203167ddfe8/evaluation/text_evaluation/data"
)
_HYPOTHESES, _REFERENCES = "{task}_THumB-1.0.jsonl", "{task}_references.jsonl"
# sha256 of the public files; that of the WMT hypotheses is not known, so they are accepted unchecked
_CHECKSUMS = {
    "cnndm_THumB-1.0.jsonl": "c4b9fbedf942e1d67043f115468928b49f495fd130da0777ed76594ebb28a1ea",
    "cnndm_references.jsonl": "7a461d1c8948b90b4751183105fe3c9213b8a204b0726c24b66140972dbfa5ae",
    "mscoco_THumB-1.0.jsonl": "463ebf947c793a541922ead33eb10a885e77c19e9c7d27cf89e034bfff643efa",
    "mscoco_references.jsonl": "897672f1f53ed33a376237c33fabc89ebbd04b40e9ced82691c2e9c9324d8fdf",
    "wmt20-zh-en_references.jsonl": "6c99691971dae66fdcbd5333d400986168400cd57826864c80ce65e87f4903a8",
}


@dataclass(frozen=True)
class Judged:
    """The data of a task.

    Parameters
    ----------
    task : str
    hypotheses : list of str
        Generated texts.
    human : list of float
        Their human scores.
    references : list of list of str
        The references of each generated text.
    digest : str
        A digest of the files.
    """

    task: str
    hypotheses: list[str]
    human: list[float]
    references: list[list[str]]
    digest: str

    @property
    def texts(self) -> list[str]:
        """All distinct texts."""
        return list(dict.fromkeys([*self.hypotheses, *(text for refs in self.references for text in refs)]))


def load(task: str, data_dir: str | os.PathLike[str]) -> Judged:
    """Read a task's files, plain or gzipped, from ``data_dir`` or ``data_dir/task``.

    Raises
    ------
    InputError
        The task is unknown, a file is missing or corrupt, or a generated text has no references.
    """
    if task == "mt":
        task = "wmt20-zh-en"
    choose("task", task, TASKS)
    files = [_find(Path(data_dir), task, name.format(task=task)) for name in (_HYPOTHESES, _REFERENCES)]
    hypotheses, references = ([row for _, row in read_records(file)] for file in files)
    try:
        refs = {str(row["seg_id"]): [str(text) for text in row["refs"]] for row in references}
        rows = [(str(row["hyp"]), float(row["human_score"]), str(row["seg_id"])) for row in hypotheses]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{files[0].parent} is not Billboard data: a row lacks {error}") from None
    lacking = next((segment for _, _, segment in rows if not refs.get(segment)), None)
    if lacking is not None:
        raise InputError(f"{files[1]} has no references for the segment {lacking!r}")
    return Judged(
        task,
        [text for text, _, _ in rows],
        [human for _, human, _ in rows],
        [refs[segment] for _, _, segment in rows],
        fingerprint.of_files(files),
    )


def fetch(task: str, data_dir: str | os.PathLike[str], source: str = SOURCE) -> None:
    """Download a task's files to ``data_dir/task`` from its public source, and check them.

    Raises
    ------
    InputError
        The source cannot be reached, or a file is not the known one.
    """
    choose("task", task, TASKS)
    home = Path(data_dir) / task
    home.mkdir(parents=True, exist_ok=True)
    for name in (_HYPOTHESES.format(task=task), _REFERENCES.format(task=task)):
        if (home / name).exists() or (home / f"{name}.gz").exists():
            continue
        address = f"{source}/{task}/{name}"
        try:
            with urllib.request.urlopen(address, timeout=60) as answer:
                data = answer.read()
        except (urllib.error.URLError, OSError) as error:
            raise InputError(f"cannot fetch {address}: {error}; put the file into {home}") from None
        digest = hashlib.sha256(data).hexdigest()
        if _CHECKSUMS.get(name, digest) != digest:
            raise InputError(f"{address} has the sha256 {digest}, but the known file has {_CHECKSUMS[name]}")
        with replacing(home / name) as file:
            file.write(data)


def evaluate(
    model: CachedEncoder | PairEncoder | Any,
    data: Judged,
    *,
    instructions: Instructions | None = None,
    results: Results | None = None,
) -> Score:
    """Score a model on a task of Billboard.

    Parameters
    ----------
    model : CachedEncoder, INSTRUCTOR, SentenceTransformer or object with encode(pairs)
    data : Judged
        As `load` returns it.
    instructions : Instructions, optional
        Default: the published ones.
    results : Results, optional
        A score in it is not computed again; a new one is added.

    Returns
    -------
    Score
        Pearson's correlation in percent; Spearman's is in ``config["metrics"]``.
    """
    encoder = CachedEncoder.of(model)
    results = Results() if results is None else results
    source = {"path": data.task, "revision": data.digest}
    table = instructions or Instructions(model=encoder.name)
    chosen = table.choose(data.task, "TextEvaluation")
    settings = {"similarity": "max cosine"}
    config = encoder.config("Billboard", "TextEvaluation", {"text": chosen}, source, settings, table.name)
    known = results.find(data.task, config)
    if known is not None:
        return known
    clock = Clock(encoder.cost)
    texts = data.texts
    row_of = {text: row for row, text in enumerate(texts)}
    vectors = encoder.encode([Pair(chosen.instruction, text) for text in texts], data.task)
    cosines = best_cosines(
        vectors,
        [row_of[text] for text in data.hypotheses],
        [[row_of[text] for text in refs] for refs in data.references],
    )
    human = np.array(data.human)
    circumstances = clock.circumstances({"spearman": spearman(cosines, human)})
    value = round(100 * pearson(cosines, human), 4)
    score = Score(data.task, "pearson", value, len(human), config | circumstances)
    results.add(score)
    return score


def best_cosines(vectors: Float32, hypotheses: Sequence[int], references: Sequence[Sequence[int]]) -> Any:
    """Return the maximum cosine of each generated text over its references, float64 of shape (hypotheses,).

    Parameters
    ----------
    vectors : float32 of shape (texts, dim)
        A zero vector has cosine 0 to everything.
    hypotheses : list of int
        Row of each generated text.
    references : list of list of int
        Rows of its references.
    """
    rows = unit(vectors)
    pairs = zip(hypotheses, references, strict=True)
    return np.array([(rows[refs] @ rows[text]).max() for text, refs in pairs], np.float64)


def _find(root: Path, task: str, name: str) -> Path:
    for home in (root / task, root):
        for path in (home / name, home / f"{name}.gz", home / f"{name}.zst"):
            if path.is_file():
                return path
    raise InputError(f"there is no {name} (or {name}.gz) in {root / task}; fetch it with --fetch, or put it there")
