"""The tasks of Prompt Retrieval: their files, how an example is shown, which examples are drawn.

The draws repeat the original's for the same data and seed. The wording of the prompts is our own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from instructor_embedding import fingerprint
from instructor_embedding.errors import InputError, choose
from instructor_embedding.evaluation.mteb.folder_files import rows
from instructor_embedding.evaluation.prompt_retrieval.task import Example, PromptTask
from instructor_embedding.files import records

POOL, ITEMS = 3000, 256  # examples to retrieve from, and items to judge
_FEELINGS = ("very negative", "negative", "neutral", "positive", "very positive")
# in the order of the hub's data set; files in another order have the names in label_text
_DBPEDIA_CAMEL = (
    "Company", "EducationalInstitution", "Artist", "Athlete", "OfficeHolder", "MeanOfTransportation", "Building",
    "NaturalPlace", "Village", "Animal", "Plant", "Album", "Film", "WrittenWork",
)  # fmt: skip
_DBPEDIA = tuple(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower() for name in _DBPEDIA_CAMEL)


def task_named(name: str) -> PromptTask:
    """Return the task of a name.

    Raises
    ------
    InputError
        There is no such task; MultiWOZ, the eleventh of the paper, needs a model that is withdrawn.
    """
    return TASKS[choose("task", name, TASKS)]


def names_in(folder: Path) -> list[str]:
    """Return the names of the tasks whose files are in a folder.

    Raises
    ------
    InputError
        There are none.
    """
    names = [name for name, task in TASKS.items() if not missing_files(task, folder)]
    if not names:
        raise InputError(f"{folder} has the files of no task; docs/evaluation.md lists them")
    return names


def texts(names: Sequence[str], folder: Path, seed: int) -> list[str]:
    """Return all texts that the evaluation of some tasks embeds."""
    drawn = [draw(task_named(name), folder, seed) for name in names]
    return [example.text for pool, items, _ in drawn for example in (*pool, *items)]


def missing_files(task: PromptTask, folder: Path) -> list[str]:
    """Return the files of a task that are not in the folder, plain or gzipped."""
    return [name for name in task.files if _existing(folder / name) is None]


def draw(task: PromptTask, folder: Path, seed: int) -> tuple[list[Example], list[Example], str]:
    """Return the examples to retrieve from, the items to judge, and a digest of the files.

    Raises
    ------
    InputError
        A file is missing or has another form.
    """
    missing = missing_files(task, folder)
    if missing:
        raise InputError(
            f"{task.name} needs {', '.join(missing)} (or .gz) in {folder}; docs/evaluation.md lists the sources"
        )
    try:
        pool, items = task.draw(folder, Random(seed))
    except (KeyError, IndexError, TypeError) as error:
        raise InputError(f"the files of {task.name} in {folder} have another form: {error!r}") from None
    files = [path for path in (_existing(folder / name) for name in task.files) if path]
    return pool, items, fingerprint.of_files(files)


def read_json(path: Path) -> Any:
    """Return the content of a json file, plain or compressed."""
    file = _existing(path)
    if file is None:
        raise InputError(f"there is no {path} (or {path.name}.gz)")
    return records.read_json(file)


def _existing(path: Path) -> Path | None:
    for candidate in (path, *(path.with_name(path.name + ending) for ending in (".gz", ".zst"))):
        if candidate.is_file():
            return candidate
    return None


def _rows(folder: Path, name: str) -> list[dict[str, Any]]:
    path = _existing(folder / name)
    if path is None:
        raise InputError(f"there is no {folder / name} (or {name}.gz)")
    return list(rows(path))


def _some(random: Random, items: Sequence[Any], count: int) -> list[Any]:
    """Draw without replacement; all, in their order, where there are no more than `count`."""
    return list(items) if count >= len(items) else random.sample(list(items), count)


_Show = Callable[[Mapping[str, Any]], Example]


def _two_files(name: str, split: str, show: _Show) -> PromptTask:
    """Return a task of two files of rows; where the second is missing, its items are drawn from the first."""
    train, test = f"{name}/train.jsonl", f"{name}/{split}.jsonl"

    def drawn(folder: Path, random: Random) -> tuple[list[Example], list[Example]]:
        examples = _rows(folder, train)
        if _existing(folder / test) is None:
            items = _some(random, examples, ITEMS)
            chosen = {id(row) for row in items}
            pool = _some(random, [row for row in examples if id(row) not in chosen], POOL)
        else:
            pool, items = _some(random, examples, POOL), _some(random, _rows(folder, test), ITEMS)
        return [show(row) for row in pool], [show(row) for row in items]

    return PromptTask(name, (train,), drawn, skip_same=True)


def _instances(name: str, show: _Show) -> Callable[[Path, Random], tuple[list[Example], list[Example]]]:
    """Draw from the instances of a natural-instructions file, items first."""

    def drawn(folder: Path, random: Random) -> tuple[list[Example], list[Example]]:
        instances = read_json(folder / name)["Instances"]
        items = _some(random, range(len(instances)), ITEMS)
        left = sorted(set(range(len(instances))) - set(items))
        pool = _some(random, left, POOL)
        return [show(instances[index]) for index in pool], [show(instances[index]) for index in items]

    return drawn


def _rte(row: Mapping[str, Any]) -> Example:
    first, second = row["sentence1"], row["sentence2"]
    answer = ("True", "False")[row["label"]]
    return Example(f"{first}\n{second}", f"{first}\nClaim: {second}\nTrue or False:", answer, ("True", "False"))


def _sst5(row: Mapping[str, Any]) -> Example:
    return Example(row["text"], f"Sentence: {row['text']}\nFeeling:", _FEELINGS[row["label"]], _FEELINGS)


def _mrpc(row: Mapping[str, Any]) -> Example:
    first, second, options = row["sentence1"], row["sentence2"], ("not equivalent", "equivalent")
    prompt = f"First: {first}\nSecond: {second}\nEquivalent or not equivalent:"
    return Example(f"{first}\n{second}", prompt, options[row["label"]], options)


def _dbpedia(row: Mapping[str, Any]) -> Example:
    named = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", row.get("label_text") or "").lower()
    text = f"{row['title']}: {row['content'].strip()}"
    return Example(text, f"{text}\nCategory:", named or _DBPEDIA[row["label"]], _DBPEDIA)


def _hellaswag(row: Mapping[str, Any]) -> Example:
    prompt = f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b']}".strip()
    options = tuple(row["endings"])
    return Example(" | ".join([prompt, *options]), prompt, options[int(row["label"])], options)


def _multirc(row: Mapping[str, Any]) -> Example:
    sentence, _, question = (piece.strip() for piece in row["input"].removeprefix("Sentence:").partition("\nQuestion:"))
    answer = {"Yes.": "True", "No.": "False"}[row["output"][0]]
    prompt = f"{sentence}\nCan it be known: {question}\nTrue or False:"
    return Example(f"{sentence}\n{question}", prompt, answer, ("True", "False"))


def _coda19(row: Mapping[str, Any]) -> Example:
    return Example(row["input"], f"Abstract: {row['input']}\nTitle:", row["output"][0])


def _geoquery(row: Mapping[str, Any]) -> Example:
    question, query = row["question"], row["query"].strip()
    return Example(question, f"-- {question}\nSELECT", query.removeprefix("SELECT").strip())


def _amazon(row: Mapping[str, Any]) -> Example:
    text = row["text"].replace("\n", "")
    prompt = f"Review: {text}\nFeeling:"
    return Example(text, prompt, _FEELINGS[row["label"]], _FEELINGS, str(row["meta"][0]))


def _civil(row: Mapping[str, Any]) -> Example:
    options = ("positive", "negative")
    return Example(row["text"], f"Comment: {row['text']}\nPositive or negative:", options[row["label"]], options)


def _draw_amazon(folder: Path, random: Random) -> tuple[list[Example], list[Example]]:
    """Judge 50 reviews of each of 20 reviewers; the original's order of reviewers is not recorded anywhere."""
    pool = _some(random, read_json(folder / "amazon_train.json"), POOL)
    reviewers: dict[str, list[Any]] = {}
    for row in read_json(folder / "amazon_test.json"):
        reviewers.setdefault(str(row["meta"][0]), []).append(row)
    chosen = _some(random, sorted(reviewers), 20)
    items = [row for reviewer in chosen for row in _some(random, reviewers[reviewer], 50)]
    return [_amazon(row) for row in pool], [_amazon(row) for row in items]


def _draw_civil(folder: Path, random: Random) -> tuple[list[Example], list[Example]]:
    """Judge negative comments of the group that was left out."""
    pool = _some(random, read_json(folder / "civil_train.json"), POOL)
    negative = [row for row in read_json(folder / "civil_test.json") if row["meta"][3] == 1 and row["label"] == 1]
    return [_civil(row) for row in pool], [_civil(row) for row in _some(random, negative, ITEMS)]


def _draw_geoquery(folder: Path, random: Random) -> tuple[list[Example], list[Example]]:
    questions = read_json(folder / "geoquery_eval.json")
    items = [questions[index] for index in _some(random, range(len(questions)), ITEMS)]
    return [_geoquery(row) for row in read_json(folder / "geoquery_train.json")], [_geoquery(row) for row in items]


_SQL_ENDS = ("--", "\n\n", ";", "#")
TASKS = {
    task.name: task
    for task in (
        _two_files("rte", "validation", _rte),
        _two_files("sst5", "test", _sst5),
        _two_files("mrpc", "validation", _mrpc),
        _two_files("dbpedia_14", "test", _dbpedia),
        _two_files("hellaswag", "validation", _hellaswag),
        PromptTask("amazon", ("amazon_train.json", "amazon_test.json"), _draw_amazon, at_most=2),
        PromptTask("civil_comments", ("civil_train.json", "civil_test.json"), _draw_civil, at_most=2),
        PromptTask(
            "multirc_answerability",
            ("multric_answerability.json",),
            _instances("multric_answerability.json", _multirc),
            longest=None,
        ),
        PromptTask(
            "coda19_title_generation",
            ("coda_title_gen.json",),
            _instances("coda_title_gen.json", _coda19),
            budget=1900,
            longest=None,
            at_most=16,
            writes=True,
            stop=("--", "\n", ";", "#"),
            new_tokens=64,
        ),
        PromptTask(
            "geoquery",
            ("geoquery_train.json", "geoquery_eval.json"),
            _draw_geoquery,
            budget=3800,
            longest=None,
            writes=True,
            stop=_SQL_ENDS,
            new_tokens=50,
        ),
    )
}
