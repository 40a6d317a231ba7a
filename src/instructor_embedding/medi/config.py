"""The configuration of a build: a toml file, or files and facts of a command line.

::

    output = "medi-data.jsonl"     # json, jsonl or parquet; .gz or .zst as well
    against = ["evaluation"]       # folders of evaluation data that must not be trained on
    encoder = "bm25"               # mines: bm25, or the hub id or folder of a model
    seed = 0
    wordings = 3                   # wordings of each instruction, 1 to 3
    pool = 50000                   # relations of a source among which negatives are searched

    [[sources]]
    folder = "train"               # with a SOURCES.json of facts
    only = ["pairs/*"]             # files by path in the folder; default: all
    skip = ["pairs/wordnet_*", "task137_detoxifying-lms_classification_toxicity"]   # files, or tasks by name
    licences = ["CC0*", "CC BY-SA*", "MIT*"]   # files and tasks whose stated licence fits one of these; default: all
    limit = 20000                  # relations taken of each file or task; default: all
    encoder = "sentence-t5"        # another encoder for these

Paths are relative to the folder of the toml file.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from instructor_embedding.errors import InputError, nearest
from instructor_embedding.files.toml_file import read_toml
from instructor_embedding.medi.catalog import Entry
from instructor_embedding.medi.source import Source, allowed, sources, sources_of
from instructor_embedding.medi.wording import WORDINGS


@dataclass(frozen=True)
class Selection:
    """Sources of one folder; the fields are those of ``[[sources]]``.

    `folder` may be a file instead; then `entry` has its facts, and the other fields select nothing.
    """

    folder: Path
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    limit: int | None = None
    encoder: str | None = None
    entry: Entry | None = None

    @property
    def home(self) -> Path:
        """The folder that paths of sources are relative to."""
        return self.folder if self.entry is None else self.folder.parent

    def sources(self) -> list[Source]:
        """List the selected sources.

        Raises
        ------
        InputError
            As `source.sources`, and where nothing is selected.
        """
        if self.entry is not None:
            return sources_of(self.folder, self.entry)
        selected = [
            source
            for source in sources(self.folder, self._takes)
            # the licence of a file of tasks is that of each task, which is checked where tasks are read
            if source.facts is None or not self.licences or allowed(source.licence, self.licences)
        ]
        if not selected:
            raise InputError(f"only, skip and licences leave no source of {self.folder}")
        return selected

    def _takes(self, path: str) -> bool:
        stem = path.rpartition("/")[2].partition(".")[0]

        def fits(pattern: str) -> bool:
            return fnmatchcase(path, pattern) or fnmatchcase(stem, pattern)

        return (not self.only or any(map(fits, self.only))) and not any(map(fits, self.skip))


@dataclass(frozen=True)
class Config:
    """A complete build; the fields are those of the toml file."""

    sources: tuple[Selection, ...]
    output: Path
    against: tuple[Path, ...] = ()
    encoder: str = "bm25"
    seed: int = 0
    wordings: int = WORDINGS
    pool: int = 50_000

    def __post_init__(self) -> None:
        _in_range("wordings", self.wordings, 1, WORDINGS)
        _in_range("pool", self.pool, 2)
        for selection in self.sources:
            if selection.limit is not None:
                _in_range("limit", selection.limit, 3)


def read_config(path: Path) -> Config:
    """Read the toml file of a build.

    Raises
    ------
    InputError
        The file is missing or not toml, or a field is missing, unknown or of the wrong type.
    """
    content = read_toml(path)
    home = path.parent
    tables = content.get("sources")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise InputError(f'{path}: sources is missing; write [[sources]] and below it folder = "..."')
    try:
        selections = tuple(Selection(**_typed(Selection, table, home, "[[sources]] ")) for table in tables)
        return Config(**_typed(Config, content, home, "") | {"sources": selections})
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


_TYPES = {
    "str": ("a string", str), "int": ("an integer", int), "Path": ("a path", str),
    "tuple[str, ...]": ("a list of strings", str), "tuple[Path, ...]": ("a list of paths", str),
}  # fmt: skip


def _typed(form: Any, table: dict[str, Any], home: Path, where: str) -> dict[str, Any]:
    """Return the fields of a table as those of a dataclass, whose annotations state what is allowed."""
    known = {field.name: str(field.type).removesuffix(" | None") for field in fields(form) if field.name != "entry"}
    for name in table:
        if name not in known:
            raise InputError(f"{where}{name} is unknown{nearest(name, known)}; known: {', '.join(known)}")
    required = "folder" if form is Selection else "output"
    if required not in table:
        raise InputError(f'{where}{required} is missing; write {required} = "..."')
    values = {}
    for name, value in table.items():
        kind = known[name]
        if name == "sources":
            continue
        items = value if isinstance(value, list) else [value]
        allowed, type_of_item = _TYPES[kind]
        if isinstance(value, list) != kind.startswith("tuple") or not all(type(item) is type_of_item for item in items):
            raise InputError(f"{where}{name} is {value!r:.60}; it must be {allowed}")
        if "Path" in kind:
            items = [home / item for item in items]
        values[name] = tuple(items) if kind.startswith("tuple") else items[0]
    return values


def with_options(config: Config, limit: int | None, skip: tuple[str, ...], **options: Any) -> Config:
    """Return the config with the options of a command line, which replace its own fields; None is not an option."""
    selections = tuple(
        replace(selection, limit=selection.limit if limit is None else limit, skip=selection.skip + skip)
        for selection in config.sources
    )
    return replace(config, sources=selections, **{name: value for name, value in options.items() if value is not None})


def _in_range(name: str, value: int, least: int, most: int | None = None) -> None:
    if value < least or (most is not None and value > most):
        raise InputError(
            f"{name} must be {'at least ' if most is None else ''}{least}{f' to {most}' if most else ''}, got {value}"
        )
