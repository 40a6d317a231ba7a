"""Standard input, output and error of the command: closed, full and unreadable ones give errors that name them."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any

_FAULTS = ((0, "stdin", os.O_WRONLY), (1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY))


class _Named(io.FileIO):
    """A raw stream whose errors carry its name."""

    label = ""

    def write(self, content: Any, /) -> int:
        with self._naming():
            return super().write(content)

    def readinto(self, buffer: Any, /) -> int | None:
        with self._naming():
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with self._naming():
            return super().readall()

    @contextlib.contextmanager
    def _naming(self) -> Any:
        try:
            yield
        except OSError as error:
            error.filename = self.label
            raise


def prepare() -> None:
    """Make the standard streams safe to use.

    A stream that the caller closed (``>&-``) gets a descriptor on which every operation fails: without it, the next
    file that is opened would get descriptor 0, 1 or 2, and output would be written into it. Characters that a terminal
    cannot show are escaped.
    """
    for descriptor, name, mode in _FAULTS:
        stream = getattr(sys, name)
        if stream is None:
            opened = os.open(os.devnull, mode)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            setattr(sys, name, _named(descriptor, "utf-8", False))
        elif descriptor < 2 and _is_plain(stream, descriptor):
            setattr(sys, name, _named(descriptor, stream.encoding, stream.line_buffering))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_or_discard() -> None:
    """Write what stdout still buffers, where it can be written: the failure has been reported already."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        discard_stdout()


def discard_stdout() -> None:
    """Let the interpreter's last flush of stdout succeed."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)


def _is_plain(stream: Any, descriptor: int) -> bool:
    """Return True for the interpreter's own stream, False for what a test or a notebook replaced it with."""
    try:
        return type(stream) is io.TextIOWrapper and stream.fileno() == descriptor
    except (OSError, ValueError):
        return False


def _named(descriptor: int, encoding: str, line_buffering: bool) -> io.TextIOWrapper:
    raw = _Named(descriptor, "r" if descriptor == 0 else "w", closefd=False)
    raw.label = ("standard input", "standard output", "standard error")[descriptor]
    buffer: Any = io.BufferedReader(raw) if descriptor == 0 else io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, encoding=encoding, line_buffering=line_buffering)
