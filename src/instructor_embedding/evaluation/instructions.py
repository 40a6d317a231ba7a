"""Which instruction each task and side gets: the published ones as data, a user's table, a default by task type."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from instructor_embedding.errors import InputError, nearest
from instructor_embedding.files.records import read_json
from instructor_embedding.instruction import Instruction

SIDES = ("text", "query", "document")
MODELS = {"hkunlp/instructor-base": "base", "hkunlp/instructor-large": "large", "hkunlp/instructor-xl": "xl"}
SOURCES = ("published", "default", "none")

# what a task type gets if nothing more specific is known: the template of the paper, section 2.2
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
    """One instruction of the published evaluation in its components; ``str()`` renders the exact published string.

    Typing errors of the published strings (``asweather_query``, ``emoation``) are kept as published.

    Parameters
    ----------
    benchmark, category, dataset, side : str
        ``"MTEB"``, ``"Retrieval"``, ``"ArguAna"``, ``"query"``.
    models : tuple of str
        Which of ``"base"``, ``"large"``, ``"xl"`` were evaluated with it; ``"all"`` in Prompt Retrieval.
    verb, article, domain, text_type, joiner, objective, ending : str
        Its components; empty ones are left out.
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
        words = (self.verb, self.article, self.domain, self.text_type, self.joiner, self.objective)
        return " ".join(word for word in words if word) + self.ending


@dataclass(frozen=True)
class Chosen:
    """An instruction and its source: ``"published (large)"``, ``"default (Retrieval)"``, ``"FILE.json (SciFact)"``."""

    instruction: str
    source: str


@cache
def facts() -> tuple[Fact, ...]:
    """Return the instructions of the published evaluation (MTEB, Billboard, Prompt Retrieval)."""
    table = json.loads(files(__package__).joinpath("published_instructions.json").read_text(encoding="utf-8"))
    rows = (dict(zip(table["columns"], row, strict=True)) for row in table["rows"])
    return tuple(Fact(**{**row, "models": tuple(row["models"].split())}) for row in rows)


def published(dataset: str, side: str = "text", model: str = "large", parents: Iterable[str] = ()) -> Fact | None:
    """Return the published instruction of a dataset's side, or None.

    Parameters
    ----------
    dataset : str
        As MTEB names it. A variant (``"ArguAna.v2"``, ``"HotpotQAHardNegatives"``, ``"NanoSciFactRetrieval"``) inherits
        the instruction of the published data set that it is made from.
    side : str
        ``"query"`` or ``"document"`` of retrieval and reranking, else ``"text"``.
    model : str
        ``"base"``, ``"large"`` or ``"xl"``.
    parents : list of str
        Further data sets that this one is made from, as mteb's ``adapted_from`` lists them.

    Examples
    --------
    >>> str(published("ArguAna", "query", "base"))
    'Represent the Debate argument for retrieving a counter-argument: '
    """
    table = _published()
    for name in (dataset, *parents):
        for ancestor in _ancestors(name):
            for kind in (model, "all"):
                if (ancestor, side, kind) in table:
                    return table[ancestor, side, kind]
    return None


# later names of the same data
_OTHER_NAMES = {"wmt20-zh-en": "mt", "trec-covid": "TRECCOVID"}
_SUFFIXES = re.compile(r"(\.v\d+|\.\d+|HardNegatives|HN|-NL|-VN|-PL|-Fa|-TH|Retrieval|Reranking|Summarization)$")


def _ancestors(name: str) -> Iterator[str]:
    """Yield the published data sets that a name may be a variant of, the nearest first."""
    while True:
        yield _by_lower().get(_OTHER_NAMES.get(name, name).lower(), name)
        shorter = _SUFFIXES.sub("", name)
        if shorter == name:
            shorter = re.sub(r"^Nano(?=[A-Z])", "", name).replace("ArXivHierarchical", "Arxiv")
        if shorter == name:
            return
        name = shorter


@cache
def _by_lower() -> dict[str, str]:
    """Return the published data sets by their names in lower case: variants differ in capitals, as DBPedia's do."""
    return {fact.dataset.lower(): fact.dataset for fact in facts()}


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
        What scores call a table that is passed as a mapping.

    Raises
    ------
    InputError
        The source is unknown, or the table is not a table of instructions.

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

    def choose(
        self, task: str, category: str, side: str = "text", *, parents: Iterable[str] = (), own: str | None = None
    ) -> Chosen:
        """Return the instruction for the texts of one side of a task.

        Parameters
        ----------
        task, category : str
            ``"ArguAna"``, ``"Retrieval"``.
        side : str
            ``"text"``, ``"query"`` or ``"document"``.
        parents : list of str
            Data sets that the task is made from, whose published instruction it inherits.
        own : str, optional
            The instruction that the task itself states for its texts, used before the default of the task type.
        """
        if self.name == "none":
            return Chosen("", "none")
        for name in (task, category, "*"):
            sides = self._table.get(name, {})
            if side in sides or "text" in sides:
                return Chosen(sides.get(side, sides.get("text", "")), f"{self.name} ({name})")
        fact = published(task, side, self.model, parents) if self.name != "default" else None
        if fact is not None:
            return Chosen(str(fact), f"published ({self.model})")
        if own is not None and self.name != "default":
            return Chosen(own, f"task ({task})")
        default = _DEFAULTS.get(category, {})
        return Chosen(str(default.get(side) or default.get("text") or _ANY), f"default ({category})")

    def verify(self, tasks: Iterable[str], more: Callable[[], Iterable[str]] = tuple) -> None:
        """Refuse a table with a key that is neither a task nor a task type.

        Parameters
        ----------
        tasks : list of str
            The tasks of the evaluation.
        more : callable, optional
            Returns further names that are allowed; called when a key is none of the known ones.

        Raises
        ------
        InputError
            A key fits nothing; the message names the nearest name.
        """
        known = {*tasks, *_DEFAULTS, *_by_lower().values(), "*"}
        unknown = [name for name in self._table if name not in known]
        if not unknown:
            return
        known.update(more())
        for name in unknown:
            if name not in known:
                hint = nearest(name, sorted(known)) or f"; task types are {', '.join(sorted(_DEFAULTS))}"
                raise InputError(f"{self.name}: {name!r} is neither a task nor a task type{hint}")


def _json(path: Path) -> Any:
    if not path.exists():
        hint = nearest(str(path), SOURCES)
        raise InputError(f"instructions={str(path)!r} is none of {', '.join(SOURCES)}, nor a file{hint}")
    return read_json(path)


def _checked(table: Any, where: str) -> dict[str, dict[str, str]]:
    """Return the table with a dict of sides for every name."""
    allowed = "it maps tasks or task types to an instruction, or to {'query': ..., 'document': ...}"
    if not isinstance(table, Mapping):
        raise InputError(f"{where} is not a table of instructions; {allowed}")
    checked: dict[str, dict[str, str]] = {}
    for name, value in table.items():
        sides = value if isinstance(value, Mapping) else {"text": value}
        for side, text in sides.items():
            if side not in SIDES:
                raise InputError(f"{where}: {name!r} has the side {side!r}{nearest(str(side), SIDES)}; {allowed}")
            if not isinstance(text, (str, Instruction)):
                raise InputError(f"{where}: the instruction of {name!r} is {text!r}; it must be a string")
        checked[str(name)] = {side: str(text) for side, text in sides.items()}
    return checked
