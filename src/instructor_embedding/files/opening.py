"""Bytes in: any readable path or stdin, decompressed, with errors that name the file."""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from instructor_embedding.errors import InputError
from instructor_embedding.extras import need

# a record longer than this is taken for a corrupt file, so that reading stays in bounded memory
LONGEST = 64 * 2**20
CHUNK = 2**18
# zstandard expands a byte at most 2**15-fold, so that a piece of this size stays under 64 MiB
_ZST_PIECE = 2**11
_GZ, _ZST = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class RawSource(io.RawIOBase):
    """A stream whose bytes come from a function, as `io.BufferedReader` wants it.

    Parameters
    ----------
    pull : callable
        Returns the next bytes, of any number; ``b""`` at the end.
    """

    def __init__(self, pull: Callable[[], bytes]) -> None:
        self._pull = pull
        self._rest = b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer as far as the next bytes reach and return their number."""
        view = memoryview(buffer)
        data = self._rest or self._pull()
        size = min(len(view), len(data))
        view[:size] = data[:size]
        self._rest = data[size:]
        return size


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[io.BufferedReader]:
    """Open a file for reading bytes, decompressed; ``-`` is stdin.

    Anything that can be read from start to end will do: a file, a fifo, ``/dev/stdin``, the ``/dev/fd/63`` of a shell's
    process substitution. The first bytes tell gzip and zstandard, whatever the name.

    Raises
    ------
    InputError
        There is no such file, it is a folder, it cannot be read, or its compressed data are truncated or corrupt.
    """
    name = os.fspath(path)
    with _binary(name) as file:
        # the head is read by hand: a pipe may give fewer bytes than the magic number has
        head = b""
        while len(head) < 4 and (more := _read(file, 4 - len(head), name)):
            head += more
        pull = _chained(head, lambda: _read(file, CHUNK, name))
        if head.startswith(_GZ):
            packed = io.BufferedReader(RawSource(pull), CHUNK)
            unpacked = gzip.GzipFile(fileobj=packed)
            pull = _reporting(name, lambda: unpacked.read1(CHUNK), (EOFError, zlib.error, gzip.BadGzipFile))
        elif head == _ZST:
            pull = _unpacked_zst(name, io.BufferedReader(RawSource(pull), CHUNK))
        yield io.BufferedReader(RawSource(pull), CHUNK)


def why_unreadable(name: str) -> str | None:
    """Return why a path cannot be opened for reading, or None if nothing is known against it."""
    if not name:
        return "the name of the file is empty"
    try:
        mode = os.stat(name).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "there is no such file"
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return "it is a folder" if stat.S_ISDIR(mode) else None


@contextmanager
def _binary(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        stream = getattr(sys.stdin, "buffer", None)
        if stream is None:
            raise InputError("cannot read stdin: it is closed, or not a stream of bytes")
        yield stream  # not ours to close
        return
    if why := why_unreadable(name):
        raise InputError(f"cannot read {name}: {why}")
    try:
        file = open(name, "rb")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror}") from None
    with file:
        yield file


def _read(file: BinaryIO, size: int, name: str) -> bytes:
    """Return what is there, up to `size` bytes, without waiting for the rest."""
    try:
        return cast(bytes, file.read1(size) if hasattr(file, "read1") else file.read(size))
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror}") from None


def _chained(head: bytes, pull: Callable[[], bytes]) -> Callable[[], bytes]:
    waiting = [head]
    return lambda: (waiting.pop() if waiting else b"") or pull()


def _reporting(name: str, pull: Callable[[], bytes], kinds: tuple[type[Exception], ...]) -> Callable[[], bytes]:
    def pulled() -> bytes:
        try:
            return pull()
        except kinds as error:
            raise InputError(f"{name} is truncated or corrupt: {error}") from None

    return pulled


def _unpacked_zst(name: str, file: io.BufferedReader) -> Callable[[], bytes]:
    """Return a function that gives the next decompressed bytes of one or more frames.

    The library's own stream reader ends silently where a file is truncated; its frame objects tell.
    """
    library: Any = need("zstandard", "reading zstandard files")
    frame: Any = None

    def pull() -> bytes:
        nonlocal frame
        while True:
            rest = frame.unused_data if frame is not None and frame.eof else b""
            piece = rest or file.read(_ZST_PIECE)
            if not piece:
                if frame is not None and not frame.eof:
                    raise EOFError("the last frame ends early")
                return b""
            if frame is None or frame.eof:
                frame = library.ZstdDecompressor().decompressobj()
            if data := frame.decompress(piece):
                return cast(bytes, data)

    return _reporting(name, pull, (EOFError, library.ZstdError))
