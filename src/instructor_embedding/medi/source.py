"""Sources of training data: what each file contains, and its relations in any format."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from hashlib import file_digest, sha256
from pathlib import Path
from typing import NamedTuple

from instructor_embedding.errors import InputError, choose
from instructor_embedding.files.decoding import as_utf8
from instructor_embedding.files.named_data import files_of, records_of
from instructor_embedding.files.records import DATA, Reject, is_data, opened, stem_of
from instructor_embedding.files.records import format_of as rows_format
from instructor_embedding.medi import catalog, kilt, medmcqa, pairs, squad, wording
from instructor_embedding.medi.catalog import Entry
from instructor_embedding.medi.relation import Relation
from instructor_embedding.medi.wording import Facts

_HEAD = 2**16
_READERS: dict[str, Callable[[Path, Callable[[Reject], None] | None], Iterator[Relation]]] = {
    "squad": squad.read,
    "kilt": kilt.read,
    "medmcqa": medmcqa.read,
    "medmcqa_explanations": medmcqa.read_explanations,
}
PAIRS, TASKS = "pairs", "super_ni"
FORMATS = (PAIRS, *_READERS, TASKS)
# keys that tell a format from the formats after it
_KEYS = {
    TASKS: {"Instances"},
    "squad": {"data", "paragraphs"},
    "medmcqa": {"opa", "cop"},
    "kilt": {"input", "output"},
}


class Source(NamedTuple):
    """One file of relations, or of tasks where `facts` is None.

    Attributes
    ----------
    name : str
        The file's name without endings.
    path : Path
    facts : Facts or None
        None for Super-NaturalInstructions, whose tasks bring their own.
    licence : str
        As the catalog states it, ``""`` where it does not.
    format : str
        One of ``FORMATS``.
    sha256 : str
        As the catalog states it, ``""`` where it does not.
    assumed : str
        What the catalog does not state and was taken from the file; ``""`` for nothing.
    columns : tuple of str
        Of the format ``"pairs"``, as in `forms.columns_of`.
    """

    name: str
    path: Path
    facts: Facts | None
    licence: str
    format: str
    sha256: str = ""
    assumed: str = ""
    columns: tuple[str, ...] = ()

    def relations(self, reject: Callable[[Reject], None] | None = None) -> Iterator[Relation]:
        """Yield the relations of the file; `reject` as in `pairs.read`."""
        if self.format == PAIRS:
            return pairs.read(self.path, reject, self.columns)
        return _READERS[self.format](self.path, reject)

    def checked(self) -> str:
        """Return the sha256 of the file.

        Raises
        ------
        InputError
            It is not what the catalog states.
        """
        actual = digest(self.path)
        if self.sha256 and actual != self.sha256:
            raise InputError(
                f"{self.path} is not the file that {catalog.NAME} names: its sha256 is {actual}, not {self.sha256}; "
                f"get the file again, or remove the sha256 from {catalog.NAME}"
            )
        return actual


def digest(path: Path) -> str:
    """Return the sha256 of a file; of a saved dataset, that of the digests of its files."""
    if path.is_dir():
        return sha256("".join(map(digest, files_of(path))).encode()).hexdigest()
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def sources(folder: Path, takes: Callable[[str], bool] = lambda path: True) -> list[Source]:
    """List the sources of a folder, by name.

    Facts come from the folder's ``SOURCES.json`` (see `catalog`), and for the files of sentence-transformers' embedding
    training data from ``wording.KNOWN``. A format that the catalog does not state is taken from the file's first
    record, and `Source.assumed` says so. MedMCQA gives two sources: questions with options, and questions with
    explanations.

    Parameters
    ----------
    folder : path
    takes : callable, optional
        Given a path in the folder, returns whether the file is selected.

    Raises
    ------
    InputError
        The folder is missing or has no source, or there are no facts for a file.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; pass the folder that has the sources")
    entries = catalog.read_catalog(folder)
    files = sorted(path for path in folder.rglob("*") if is_data(path) and path.name != catalog.NAME)
    if not files:
        raise InputError(f"{folder} has no source; expected files ending in {', '.join(DATA)}, plain, .gz or .zst")
    listed: list[Source] = []
    for path in files:
        name = path.relative_to(folder).as_posix()
        if takes(name):
            listed += sources_of(path, entries.get(name, Entry()))
    return sorted(listed, key=lambda source: source.name)


def sources_of(path: Path, entry: Entry) -> list[Source]:
    """Return the sources of one file: one, or two for MedMCQA.

    Raises
    ------
    InputError
        The format is unknown, or there are no facts for the file.
    """
    name, form, assumed = entry.name or stem_of(path.name).replace(".", "_"), entry.format, []
    if form:
        choose(f"{catalog.NAME}, {path.name}: format", form, FORMATS)
    else:
        form = format_of(path)
        assumed.append(f"format {form}, from its first record")
    source = Source(name, path, entry.facts, entry.licence, form, entry.sha256, columns=entry.columns)
    if form == TASKS:
        source = source._replace(facts=None)
    elif entry.facts is None and form != "medmcqa":
        source = source._replace(facts=_known(name))
        assumed.append("facts of the public file of this name")
    source = source._replace(assumed="; ".join(assumed))
    if form != "medmcqa":
        return [source]
    explained = source._replace(name=f"{name}_explanations", format="medmcqa_explanations")
    return [
        source._replace(facts=wording.known("medmcqa")),
        explained._replace(facts=wording.known("medmcqa_explanations")),
    ]


def allowed(licence: str, patterns: tuple[str, ...]) -> bool:
    """Return whether a licence fits one of the patterns, in any case; one that is not stated fits none."""
    return any(fnmatchcase(licence.lower(), pattern.lower()) for pattern in patterns)


def format_of(path: Path) -> str:
    """Return the format of a file, recognized by the keys at its beginning; ``"pairs"`` where none is known."""
    keys = keys_of(path)
    return next((form for form, own in _KEYS.items() if own <= keys), PAIRS)


def keys_of(path: Path) -> set[str]:
    """Return the keys at the beginning of a file: of its first record, or of the one object that it is."""
    if path.is_dir() or rows_format(str(path)) in ("csv", "tsv", "parquet"):
        return set(next((record for _, record in records_of(path)), {}))
    with opened(str(path)) as file:
        head = as_utf8(file, str(path))[0].read(_HEAD).decode("utf-8", "replace").lstrip()
    return set(re.findall(r'"(\w+)"\s*:', head)) if head.startswith("{") else set()


def _known(name: str) -> Facts:
    try:
        return wording.known(name)
    except InputError as error:
        raise InputError(
            f"{error}; write a {catalog.NAME} into the folder: {catalog.FORM}, "
            "or give the facts with --text-type, --domain and --objective"
        ) from None
