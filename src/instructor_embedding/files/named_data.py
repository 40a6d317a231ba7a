"""Data by name: files, folders, globs, datasets saved to disk, and datasets on the hub."""

from __future__ import annotations

import glob
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from instructor_embedding.errors import InputError, ModelNotFoundError, first_line
from instructor_embedding.extras import need
from instructor_embedding.files.records import DATA, Position, Reject, is_data, read_records, stem_of

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")

Records = Iterator[tuple[Position, Any]]


class Source(NamedTuple):
    """One file of records, or one saved dataset: what one name stands for, or one of several.

    Attributes
    ----------
    task : str
        The task of its records that name none: the file's name, with folders where two would be the same.
    path : str
    records : function
        Reads it once more.
    """

    task: str
    path: str
    records: Callable[[], Records]


def sources(
    names: Sequence[str],
    cache_dir: str | None = None,
    token: str | bool | None = None,
    setting: str = "train_file",
) -> list[Source]:
    """Return what names stand for.

    Use it wherever a user names data: training, its dev sets, and building triples.

    Parameters
    ----------
    names : sequence of str
    cache_dir : str, optional
        Where datasets of the hub are downloaded to; default: the hub's cache.
    token : str or bool, optional
        Of the hub.
    setting : str
        What errors call the names.

    Raises
    ------
    InputError
        A name stands for nothing; the message says what was looked for.
    ModelNotFoundError
        The hub has no such dataset, or cannot be reached.
    """
    paths: list[Path] = []
    for name in names:
        try:
            paths += _expanded(name, cache_dir, token)
        except (InputError, ModelNotFoundError) as error:
            raise type(error)(f"{setting}: {error}") from None
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise InputError(f"{setting} names {twice} twice")
    return _named(paths)


def _expanded(name: str, cache_dir: str | None, token: str | bool | None) -> list[Path]:
    """Return the files and saved datasets that one name stands for."""
    path = Path(name).expanduser()
    if path.is_dir():
        if is_saved(path):
            return [path]
        return _in_folder(path)
    if path.exists():  # a file, or a pipe
        return [path]
    if glob.has_magic(name):
        matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))
        files = [match for match in matches if match.is_file() or is_saved(match)]
        if not files:
            raise InputError(f"no file matches {name}")
        return files
    if _HUB_ID.fullmatch(name) and not _is_data(PurePath(name)):
        return _from_hub(name, cache_dir, token)
    raise InputError(f"there is no file {name}")


def _in_folder(folder: Path) -> list[Path]:
    """Return a folder's data files and saved datasets, those of its folders included."""
    paths = list(_walk(folder))
    if not paths:
        raise InputError(f"{folder} holds no data files; they end in {', '.join(DATA)}, also .gz, .zst")
    return paths


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not is_saved(path):
            yield from _walk(path)
        elif path.is_dir() or _is_data(path):
            yield path


def _is_data(path: PurePath) -> bool:
    return is_data(path) and not path.name.startswith(".")


def is_saved(folder: Path) -> bool:
    """Return whether a folder is what ``save_to_disk`` of the library datasets writes."""
    return (folder / "dataset_dict.json").is_file() or (
        (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    )


def _named(paths: Sequence[Path]) -> list[Source]:
    """Give each path the shortest name that no other one has."""
    names = unique_names([str(path) for path in paths])
    return [Source(name, str(path), _reader(path)) for name, path in zip(names, paths, strict=True)]


def unique_names(paths: Sequence[str]) -> list[str]:
    """Return the name of each path without its endings, after as many of its folders as the others differ in."""
    folders = [Path(path).absolute().parts for path in paths]
    depths = [1] * len(paths)
    while True:
        names = ["/".join((*path[-depth:-1], stem_of(path[-1]))) for path, depth in zip(folders, depths, strict=True)]
        counts = Counter(names)
        same = [index for index, name in enumerate(names) if counts[name] > 1 and depths[index] < len(folders[index])]
        if not same:
            return names
        for index in same:
            depths[index] += 1


def _reader(path: Path) -> Callable[[], Records]:
    return lambda: records_of(path)


def records_of(path: Path, reject: Callable[[Reject], None] | None = None) -> Records:
    """Yield the records of a file, as `read_records`, or the rows of a saved dataset.

    Raises
    ------
    InputError
        As `read_records`; or the dataset has several splits, and none is ``train``.
    """
    return _saved_records(path) if path.is_dir() else read_records(path, reject)


def files_of(path: Path) -> list[Path]:
    """Return the files whose content `records_of` yields: the file itself, or those of a saved dataset."""
    if not path.is_dir():
        return [path]
    split = _split(path)
    state = json.loads((split / "state.json").read_text(encoding="utf-8"))
    return [split / file["filename"] for file in state["_data_files"]]


def _split(folder: Path) -> Path:
    """Return the folder of a saved dataset; of several splits, that of ``train``."""
    if not (folder / "dataset_dict.json").is_file():
        return folder
    splits = json.loads((folder / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
    if "train" not in splits:
        raise InputError(f"{folder} has no split 'train'; pass the folder of one: {', '.join(splits)}")
    return folder / "train"


def _saved_records(folder: Path) -> Records:
    ipc = need("pyarrow.ipc", "reading saved datasets")
    number = 0
    for file in files_of(folder):
        with open(file, "rb") as stream:
            for batch in ipc.open_stream(stream):
                for row in batch.to_pylist():
                    number += 1
                    yield ("row", number), row


def _from_hub(name: str, cache_dir: str | None, token: str | bool | None) -> list[Path]:
    """Download the data files of a dataset, those of the split ``train`` where files have splits."""
    import huggingface_hub
    from huggingface_hub import errors

    repo, _, revision = name.partition("@")
    options: dict[str, Any] = {"repo_type": "dataset", "revision": revision or None, "token": token}
    try:
        # one request without retries: where there is no network, that is known at once
        info = huggingface_hub.HfApi(token=token).dataset_info(repo, revision=options["revision"])
        files = [file.rfilename for file in info.siblings or []]
        data = [file for file in files if _is_data(PurePath(file)) and not _is_settings(file)]
        train = [file for file in data if re.search(r"(^|[/._-])train([/._-]|$)", file)]
        if not data:
            raise InputError(f"the dataset {repo} holds no data files; they end in {', '.join(DATA)}")
        return [
            Path(huggingface_hub.hf_hub_download(repo, file, cache_dir=cache_dir, **options))
            for file in sorted(train or data)
        ]
    except InputError:
        raise
    except errors.RepositoryNotFoundError:
        raise ModelNotFoundError(
            f"there is no file {name}, and the hub has no dataset of that name (or it is private: pass --hub_token)"
        ) from None
    except Exception as error:
        line = first_line(error, 200)
        raise ModelNotFoundError(f"there is no file {name}, and the hub cannot be reached ({line})") from None


def _is_settings(file: str) -> bool:
    """Return True for a json file that describes a repository and is not data."""
    return PurePath(file).name in (
        "dataset_infos.json",
        "dataset_info.json",
        "config.json",
        "dataset_dict.json",
        "state.json",
    )
