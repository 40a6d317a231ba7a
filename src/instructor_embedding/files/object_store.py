"""Files by URL: ``s3://``, ``gs://`` and ``abfs://`` through pyarrow, ``az://`` and all other schemes through fsspec.

An object is there complete or not at all, as a file of `atomic` is: it is uploaded after its last byte is known.
Credentials and addresses are those of the libraries, such as ``AWS_PROFILE`` and ``AWS_ENDPOINT_URL``.
"""

from __future__ import annotations

import fnmatch
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import IO, Any, NamedTuple

from instructor_embedding.errors import InputError, OutputError, first_line
from instructor_embedding.extras import need

_URL = re.compile(r"[a-z][a-z0-9+.-]*://")
_PIECE = 2**22


class Entry(NamedTuple):
    """An object or a file: its name, its bytes, and when it changed in nanoseconds."""

    name: str
    size: int
    modified: int


def is_url(name: str) -> bool:
    """Return True for ``scheme://...``."""
    return bool(_URL.match(name))


def filesystem(url: str) -> tuple[Any, str]:
    """Return the pyarrow file system of a URL, and its path there.

    Raises
    ------
    InputError
        The scheme is unknown, or the store cannot be reached.
    """
    scheme, _, rest = url.partition("://")
    address, _, query = rest.partition("?")
    bucket, slash, key = address.partition("/")
    system, prefix = _filesystem(f"{scheme}://{bucket}" + (f"?{query}" if query else ""))
    return system, prefix + slash + key


def entry_of(url: str) -> Entry:
    """Return what a URL names.

    Raises
    ------
    InputError
        There is no such object.
    """
    with _reading(url):
        system, path = filesystem(url)
        info = system.get_file_info(path)
    if not info.is_file:
        raise InputError(f"cannot read {url}: there is no such object")
    return Entry(url, info.size, info.mtime_ns or 0)


def entries(url: str) -> list[Entry]:
    """Return the objects below a folder's URL, or those that a pattern such as ``s3://bucket/part-*.jsonl`` matches.

    Raises
    ------
    InputError
        The store cannot be reached, or there is no such bucket.
    """
    fs = need("pyarrow.fs", "reading from an object store")
    fixed = re.split(r"[*?\[]", url.partition("://")[2], maxsplit=1)[0]
    scheme = url.partition("://")[0]
    is_pattern = any(character in url.partition("://")[2] for character in "*[")
    folder = f"{scheme}://{fixed.rpartition('/')[0] if is_pattern else fixed.rstrip('/')}"
    with _reading(url):
        system, path = filesystem(folder)
        infos = system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
        pattern = filesystem(url)[1] if is_pattern else "*"
    root = folder.rstrip("/")
    files = [info for info in infos if info.is_file and fnmatch.fnmatchcase(info.path, pattern)]
    prefix = path.rstrip("/")
    return sorted(Entry(root + info.path[len(prefix) :], info.size, info.mtime_ns or 0) for info in files)


def is_file(url: str) -> bool:
    """Return True if there is such an object."""
    with _reading(url):
        system, path = filesystem(url)
        return bool(system.get_file_info(path).is_file)


def open_stream(url: str) -> Any:
    """Open an object for reading from start to end."""
    with _reading(url):
        system, path = filesystem(url)
        return system.open_input_stream(path, compression=None, buffer_size=2**20)


def open_random(url: str) -> Any:
    """Open an object for reading in any order, as parquet is read."""
    with _reading(url):
        system, path = filesystem(url)
        return system.open_input_file(path)


def remove(url: str) -> None:
    """Delete an object."""
    system, path = filesystem(url)
    try:
        system.delete_file(path)
    except OSError as error:
        raise OutputError(f"cannot delete {url}: {first_line(error)}") from None


@contextmanager
def uploading(url: str) -> Iterator[IO[bytes]]:
    """Open a temporary file that becomes the object when it is complete.

    Raises
    ------
    OutputError
        The upload failed; no object is there then, or the former one.
    """
    with tempfile.TemporaryFile() as file:
        yield file
        file.seek(0)
        try:
            system, path = filesystem(url)
            stream = system.open_output_stream(path, compression=None)
            # not closed after an error: an upload that is not completed makes no object
            shutil.copyfileobj(file, stream, _PIECE)
            stream.close()
        except OSError as error:
            raise OutputError(f"cannot write {url}: {first_line(error)}") from None


@lru_cache(maxsize=32)
def _filesystem(root: str) -> tuple[Any, str]:
    fs = need("pyarrow.fs", "reading and writing URLs")
    arrow = need("pyarrow", "reading and writing URLs")
    try:
        system, path = fs.FileSystem.from_uri(root)
        return system, path
    except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError) as error:
        first = error
    scheme, _, rest = root.partition("://")
    try:
        system = need("fsspec", f"{scheme}:// URLs").filesystem(scheme)
    except ImportError as error:
        raise InputError(f"{root}: {first_line(error)}") from None
    except ValueError:
        raise InputError(
            f"{root}: {first_line(first)}; known: s3://, gs://, abfs://, and the schemes of fsspec"
        ) from None
    return fs.PyFileSystem(fs.FSSpecHandler(system)), rest


@contextmanager
def _reading(url: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"cannot read {url}: there is no such object") from None
    except OSError as error:
        raise InputError(f"cannot read {url}: {first_line(error)}") from None
