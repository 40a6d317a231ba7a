"""Texts with several labelings, and the instructions that ask for each."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from instructor_embedding import fingerprint
from instructor_embedding.errors import InputError, choose
from instructor_embedding.evaluation import candidates

BUILT_IN = "built-in"
FEWEST = 4  # texts of a label; with fewer a split may lack it
# the first is the one that the matrix is made with
WORDINGS = (
    "Represent the {kind} for classifying its {labeling}: ",
    "Represent the {kind} for {labeling} classification: ",
    "Represent a {kind} for clustering by {labeling}: ",
    "Represent the {kind} for identifying the {labeling}: ",
    "Represent the {kind} for retrieving texts of the same {labeling}: ",
)


@dataclass(frozen=True)
class LabeledTexts:
    """Texts with one label of each labeling.

    Parameters
    ----------
    name : str
        What scores call the set.
    kind : str
        What the texts are, in the singular: ``"review"``; a part of the instructions.
    texts : list of str
        Distinct.
    labels : dict
        Labeling to the label of each text.
    """

    name: str
    kind: str
    texts: list[str]
    labels: dict[str, list[str]]

    @property
    def digest(self) -> str:
        """A digest of texts and labels."""
        columns = [self.texts, *(self.labels[name] for name in sorted(self.labels))]
        return fingerprint.of_texts(value for column in columns for value in column)


def built_in() -> LabeledTexts:
    """Return the set that comes with the package: 144 texts, with topic, sentiment and form crossed."""
    with as_file(files(__package__).joinpath("texts.csv")) as path:
        rows = candidates.read(path)
    return labeled(rows, ("topic", "sentiment", "form"), name=BUILT_IN, kind="sentence")


def read(
    path: str | os.PathLike[str], labelings: Sequence[str], *, text_column: str = "text", kind: str = "text"
) -> LabeledTexts:
    """Return the texts of a file with a column for each labeling.

    Raises
    ------
    InputError
        The file cannot be read, or `labeled` refuses its rows.
    """
    return labeled(candidates.read(path), labelings, name=Path(path).name, kind=kind, text_column=text_column)


def labeled(
    rows: Sequence[Mapping[str, Any]],
    labelings: Sequence[str],
    *,
    name: str,
    kind: str = "text",
    text_column: str = "text",
) -> LabeledTexts:
    """Return rows as `LabeledTexts`; rows of a label with fewer than four texts, and repeated texts, are left out.

    Raises
    ------
    InputError
        There are fewer than two labelings, a column is missing or empty, or a labeling has fewer than two labels with
        four texts each.
    """
    if len(set(labelings)) < 2:
        raise InputError(f"--labels needs two or more columns, such as topic,sentiment; got {','.join(labelings)!r}")
    columns = list(rows[0]) if rows else []
    for column in (text_column, *labelings):
        choose("column", column, columns)
    distinct = list({str(row[text_column]): row for row in rows}.values())
    for number, row in enumerate(rows, 1):
        for column in (text_column, *labelings):
            if row[column] is None or not str(row[column]).strip():
                raise InputError(f"{name}, row {number} has no {column}")
    usable = _frequent(distinct, labelings)
    for labeling in labelings:
        if len({str(row[labeling]) for row in usable}) < 2:
            raise InputError(f"{name}: {labeling} has fewer than two labels with at least {FEWEST} texts each")
    return LabeledTexts(
        name,
        kind,
        [str(row[text_column]) for row in usable],
        {labeling: [str(row[labeling]) for row in usable] for labeling in labelings},
    )


def instructions_for(
    data: LabeledTexts, own: Mapping[str, str] | None = None, wordings: Iterable[str] = WORDINGS
) -> dict[str, list[str]]:
    """Return the wordings of each labeling's instruction, the main one first.

    Parameters
    ----------
    data : LabeledTexts
    own : mapping, optional
        Labeling to the user's instruction, which becomes the main one.
    wordings : list of str
        Templates with ``{kind}`` and ``{labeling}``.

    Raises
    ------
    InputError
        An instruction is for a labeling that is not there.
    """
    for labeling in own or {}:
        choose("instruction for", labeling, data.labels)
    result = {}
    for labeling in data.labels:
        words = labeling.replace("_", " ")
        texts = [template.format(kind=data.kind, labeling=words) for template in wordings]
        result[labeling] = list(dict.fromkeys([(own or {}).get(labeling, texts[0]), *texts]))
    return result


def _frequent(rows: Sequence[Mapping[str, Any]], labelings: Sequence[str]) -> list[Mapping[str, Any]]:
    """Drop rows of rare labels until none is left, as dropping a row may make another of its labels rare."""
    left = list(rows)
    while True:
        counts = {labeling: Counter(str(row[labeling]) for row in left) for labeling in labelings}
        frequent = [row for row in left if all(counts[name][str(row[name])] >= FEWEST for name in labelings)]
        if len(frequent) == len(left):
            return left
        left = frequent
