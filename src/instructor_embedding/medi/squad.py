"""SQuAD's form: a question and the paragraph that contains its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from instructor_embedding.errors import InputError
from instructor_embedding.files.records import Reject, read_json
from instructor_embedding.medi.relation import Relation


def read(path: Path, reject: Callable[[Reject], None] | None = None) -> Iterator[Relation]:
    """Yield question and paragraph of every question that has an answer.

    Parameters
    ----------
    path : path
        One json object ``{"data": [{"paragraphs": [{"context": ..., "qas": [...]}]}]}``, plain or compressed; it is
        read into memory.
    reject : callable, optional
        Receives questions without text, as a `Reject`; without it they are errors.

    Raises
    ------
    InputError
        The file has another form.
    """
    content = read_json(path)
    try:
        paragraphs = [paragraph for article in content["data"] for paragraph in article["paragraphs"]]
        items = [(paragraph["context"].strip(), item) for paragraph in paragraphs for item in paragraph["qas"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not in SQuAD's form ({type(error).__name__}: {error})") from None
    for number, (context, item) in enumerate(items, 1):
        question = item.get("question") if isinstance(item, dict) else None
        if isinstance(question, str) and question.strip() and context:
            if not item.get("is_impossible"):
                yield Relation(question.strip(), context)
            continue
        why = "a question and its paragraph must be texts"
        if reject is None:
            raise InputError(f"{path}, question {number}: {why}")
        reject(Reject(str(path), f"question {number}", why, item))
