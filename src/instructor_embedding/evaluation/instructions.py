"""Which instruction each task and side gets: the published ones as facts, a user's file, a default by task type."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from instructor_embedding.errors import InputError, nearest
from instructor_embedding.instruction import Instruction

SIDES = ("text", "query", "document")
MODELS = {"hkunlp/instructor-base": "base", "hkunlp/instructor-large": "large", "hkunlp/instructor-xl": "xl"}
SOURCES = ("published", "default", "none")

# what a task type gets where nothing else is known: the template of the paper, section 2.2
_DEFAULTS: dict[str, dict[str, Instruction]] = {
    "Classification": {"text": Instruction("sentence", "", "classification")},
    "MultilabelClassification": {"text": Instruction("sentence", "", "classification")},
    "ZeroShotClassification": {"text": Instruction("sentence", "", "classification")},
    "Regression": {"text": Instruction("sentence", "", "classification")},
    "Clustering": {"text": Instruction("sentence", "", "clustering")},
    "PairClassification": {"text": Instruction("sentence", "", "retrieving duplicate sentences")},
    "STS": {"text": Instruction("statement")},
    "Summarization": {"text": Instruction("sentence", "news", "retrieval")},
    "BitextMining": {"text": Instruction("sentence", "", "retrieving its translation")},
    "TextEvaluation": {"text": Instruction("statement")},
    "PromptRetrieval": {"text": Instruction("example", ending="; Input: ")},
    "Reranking": {
        "query": Instruction("question", "", "retrieving relevant passages"),
        "document": Instruction("passage", "", "retrieval"),
    },
    "Retrieval": {
        "query": Instruction("question", "", "retrieving supporting documents"),
        "document": Instruction("document", "", "retrieval"),
    },
}
_DEFAULTS["InstructionRetrieval"] = _DEFAULTS["InstructionReranking"] = _DEFAULTS["Retrieval"]
_ANY = Instruction("sentence")


@dataclass(frozen=True)
class Fact:
    """One instruction of the published evaluation, taken apart; ``str()`` renders the exact published string.

    Typing errors of the published strings (``asweather_query``, ``emoation``) are facts and kept.

    Parameters
    ----------
    benchmark, category, dataset, side : str
        ``"MTEB"``, ``"Retrieval"``, ``"ArguAna"``, ``"query"``.
    models : tuple of str
        Which of ``"base"``, ``"large"``, ``"xl"`` were evaluated with it; ``"all"`` in Prompt Retrieval.
    verb, article, domain, text_type, joiner, objective, ending : str
        Its parts; those that are empty are left out.
    """

    benchmark: str
    category: str
    dataset: str
    side: str
    models: tuple[str, ...]
    verb: str
    article: str
    domain: str
    text_type: str
    joiner: str
    objective: str
    ending: str

    def __str__(self) -> str:
        """Return the published string."""
        parts = (self.verb, self.article, self.domain, self.text_type, self.joiner, self.objective)
        return " ".join(part for part in parts if part) + self.ending


@dataclass(frozen=True)
class Chosen:
    """An instruction and where it is from: ``"published (large)"``, ``"default (Retrieval)"``, a file's name."""

    instruction: str
    source: str


@cache
def facts() -> tuple[Fact, ...]:
    """Return the instructions of the published evaluation (MTEB, Billboard, Prompt Retrieval)."""
    table = json.loads(files(__package__).joinpath("published_instructions.json").read_text(encoding="utf-8"))
    rows = (dict(zip(table["columns"], row, strict=True)) for row in table["rows"])
    return tuple(Fact(**{**row, "models": tuple(row["models"].split())}) for row in rows)


def published(dataset: str, side: str = "text", model: str = "large") -> Fact | None:
    """Return the published instruction of a dataset's side, or None.

    Parameters
    ----------
    dataset : str
        As MTEB names it; of a later version (``"ArguAna.v2"``) the instruction of the first is returned.
    side : str
        ``"query"`` or ``"document"`` of retrieval and reranking, else ``"text"``.
    model : str
        ``"base"``, ``"large"`` or ``"xl"``.

    Examples
    --------
    >>> str(published("ArguAna", "query", "base"))
    'Represent the Debate argument for retrieving a counter-argument: '
    """
    table = _published()
    first = dataset.partition(".v")[0]
    for name in (dataset, first, _OTHER_NAMES.get(first, first)):
        for kind in (model, "all"):
            if (name, side, kind) in table:
                return table[name, side, kind]
    return None


# later names of the same data
_OTHER_NAMES = {"wmt20-zh-en": "mt", "TRECCOVID-NL": "TRECCOVID", "Touche2020Retrieval": "Touche2020"}


@cache
def _published() -> dict[tuple[str, str, str], Fact]:
    return {(fact.dataset, fact.side, model): fact for fact in facts() for model in fact.models}


class Instructions:
    """Chooses the instruction of each task and side.

    Looked up in this order: a user's table (task, then task type, then ``"*"``), the published instruction, the default
    of the task type.

    Parameters
    ----------
    source : str, path or mapping
        ``"published"``; ``"default"``: by task type alone; ``"none"``: no instruction; or a table, or a
        json file of one: ``{"SciFact": {"query": "...", "document": "..."}, "STS": "...", "*": "..."}``.
    model : str
        Whose published instructions: a hub id or ``"base"``, ``"large"``, ``"xl"``; every other name means large, as
        in the original.
    name : str
        What scores call a table.

    Raises
    ------
    InputError
        The source is unknown, or the table is no table of instructions.

    Examples
    --------
    >>> Instructions("published").choose("ArguAna", "Retrieval", "query")
    Chosen(instruction='Represent a Debate argument for retrieving a counter-argument: ', source='published (large)')
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Mapping[str, Any] = "published",
        model: str = "large",
        *,
        name: str = "table",
    ) -> None:
        self.model = MODELS.get(model, model if model in MODELS.values() else "large")
        self._table: dict[str, dict[str, str]] = {}
        if isinstance(source, Mapping):
            self.name = name
            self._table = _checked(source, "the table of instructions")
        elif source in SOURCES:
            self.name = str(source)
        else:
            path = Path(source)
            self.name = path.name
            self._table = _checked(_json(path), str(path))

    def choose(self, task: str, category: str, side: str = "text") -> Chosen:
        """Return the instruction for the texts of one side of a task.

        Parameters
        ----------
        task, category : str
            ``"ArguAna"``, ``"Retrieval"``.
        side : str
            ``"text"``, ``"query"`` or ``"document"``.
        """
        if self.name == "none":
            return Chosen("", "none")
        for name in (task, category, "*"):
            sides = self._table.get(name, {})
            if side in sides or "text" in sides:
                return Chosen(sides.get(side, sides.get("text", "")), f"{self.name} ({name})")
        fact = published(task, side, self.model) if self.name != "default" else None
        if fact is not None:
            return Chosen(str(fact), f"published ({self.model})")
        default = _DEFAULTS.get(category, {})
        return Chosen(str(default.get(side) or default.get("text") or _ANY), f"default ({category})")


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        hint = nearest(str(path), SOURCES)
        raise InputError(f"instructions={str(path)!r} is none of {', '.join(SOURCES)} and no file{hint}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path} is no json: {error}") from None


def _checked(table: Any, where: str) -> dict[str, dict[str, str]]:
    """Return the table with a dict of sides for every name."""
    allowed = "it maps tasks or task types to an instruction, or to {'query': ..., 'document': ...}"
    if not isinstance(table, Mapping):
        raise InputError(f"{where} is no table of instructions; {allowed}")
    found: dict[str, dict[str, str]] = {}
    for name, value in table.items():
        sides = value if isinstance(value, Mapping) else {"text": value}
        for side, text in sides.items():
            if side not in SIDES:
                raise InputError(f"{where}: {name!r} has the side {side!r}{nearest(str(side), SIDES)}; {allowed}")
            if not isinstance(text, (str, Instruction)):
                raise InputError(f"{where}: the instruction of {name!r} is {text!r}; it must be a string")
        found[str(name)] = {side: str(text) for side, text in sides.items()}
    return found
