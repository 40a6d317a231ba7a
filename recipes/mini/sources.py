"""The sources of the recipe: what may be used, and the texts of each.

``medi.toml`` names the folders, the licences that let a model be passed on, and what is left out in spite of its
licence. Everything else of the recipe reads sources through this module, so that nothing else can enter the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from instructor_embedding.errors import InputError
from instructor_embedding.files.records import read_records
from instructor_embedding.medi import super_ni
from instructor_embedding.medi.config import Config, read_config
from instructor_embedding.medi.source import TASKS, Source, allowed

HERE = Path(__file__).parent
# domains of corpus/ with a licence to pass on; reviews, news, newsgroups, articles and abstracts are for research alone
CORPUS = {
    "passages.jsonl.gz": (
        "wikipedia_film", "python_pep", "powershell_docs", "cpp_docs", "wikipedia_passage", "medical_answer",
        "rust_rfc", "math_problem", "security_cheatsheet",
    ),
    "short.jsonl.gz": (
        "math_question", "dictionary_gloss", "medical_question", "command_description", "search_query",
        "yesno_question", "verse", "web_question",
    ),
}  # fmt: skip


def configuration(data: Path, output: Path | None = None) -> Config:
    """Return the build of the triples, with the folders of ``medi.toml`` under `data`.

    Raises
    ------
    InputError
        A folder is missing.
    """
    config = read_config(HERE / "medi.toml")
    selections = tuple(replace(own, folder=data / own.folder.relative_to(HERE)) for own in config.sources)
    against = tuple(data / folder.relative_to(HERE) for folder in config.against)
    for folder in (*(selection.folder for selection in selections), *against):
        if not folder.is_dir():
            raise InputError(
                f"{folder} is missing; --data must be a folder with train, train_extra, eval and billboard"
            )
    return replace(config, sources=selections, against=against, output=output or config.output)


def used(data: Path) -> list[Source]:
    """List the files whose texts may be used, by name."""
    return [source for selection in configuration(data).sources for source in selection.sources()]


def tasks(data: Path) -> Iterator[super_ni.Task]:
    """Yield the tasks of Super-NaturalInstructions whose instances may be used."""
    for selection in configuration(data).sources:
        for source in selection.sources():
            if source.format == TASKS:
                for task in super_ni.read(source.path, reject=lambda record: None):
                    if not selection.licences or allowed(task.licence, selection.licences):
                        yield task


def corpus(data: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield name and texts of each usable domain of the throughput corpus; none where it is missing."""
    for file, domains in CORPUS.items():
        path = data / "corpus" / file
        texts: dict[str, list[str]] = {domain: [] for domain in domains}
        for _, record in read_records(path) if path.is_file() else ():
            if record["domain"] in texts:
                texts[record["domain"]].append(record["text"])
        yield from ((f"corpus {domain}", own) for domain, own in texts.items() if own)
