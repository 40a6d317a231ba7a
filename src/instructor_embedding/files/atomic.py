"""Files out: one way to write a file, so that it is there complete or not at all."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import secrets
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from instructor_embedding.errors import InputError, OutputError
from instructor_embedding.files import object_store

_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)|/dev/(stdout|stderr)")
_STOPS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextmanager
def replacing(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[bytes]]:
    """Open a file for writing that appears under its name when it is complete.

    Use it for every file that is written. The bytes go to a file without a name in the same folder (where the system
    has none, to one with a name of its own), which is synchronized to the disk and then replaces the old one;
    leaving by an error, SIGTERM and SIGHUP included, removes it and keeps the file that was there. kill -9 leaves
    nothing either, where files without a name exist. Of a symbolic link the target is written. What is not a regular
    file (a device, a fifo, ``/dev/fd/N``) is written through and never replaced. ``-`` is stdout; a
    URL is uploaded when it is complete.

    Parameters
    ----------
    path : path
    mode : str
        ``"wb"``, or ``"wb+"`` for writers that seek and read.

    Raises
    ------
    InputError
        Nothing can be written there: the folder is missing, the path is a folder, permissions are lacking.
    OutputError
        Writing failed: the disk is full, or the device rejects it.
    """
    name = os.fspath(path)
    if object_store.is_url(name):
        with object_store.uploading(name) as file:
            yield file
        return
    through = _written_through(name)
    if through is not None:
        with _closing(_buffered(through, "wb", name)) as file:
            yield file
        return
    check_target(name)
    target = os.path.realpath(name)
    draft = os.path.join(os.path.dirname(target), f".{secrets.token_hex(8)}.tmp")
    with _stops_raise():
        try:
            with _closing(_buffered(_created(draft, target, name), mode, name)) as file:
                yield file
                file.flush()
                _synchronized(file.fileno(), name)
                _name(file.fileno(), draft, name)
            try:
                os.replace(draft, target)
            except OSError as error:
                raise OutputError(f"cannot write {name}: {error.strerror}") from None
            _synchronized_folder(os.path.dirname(target))
        finally:
            with contextlib.suppress(OSError):
                os.unlink(draft)


def check_target(path: str | os.PathLike[str]) -> None:
    """Raise InputError if a file cannot be written there; call it before long work.

    A temporary file is created in the folder and removed. What only writing tells, such as a full disk, is not seen.
    """
    name = os.fspath(path)
    if name == "-" or object_store.is_url(name):
        return
    if not name:
        raise InputError("cannot write '': the name of the file is empty")
    try:
        mode = os.stat(name).st_mode
    except FileNotFoundError:
        mode = 0
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write {name}: {getattr(error, 'strerror', None) or error}") from None
    if stat.S_ISDIR(mode) or name.endswith(os.sep):
        raise InputError(f"cannot write {name}: it is a folder; name a file in it")
    if mode and not stat.S_ISREG(mode):
        return
    folder = Path(os.path.realpath(name)).parent
    if not folder.is_dir():
        raise InputError(f"cannot write {name}: there is no folder {folder}")
    if why := _why(folder):
        raise InputError(f"cannot write {name}: {why}")


def check_folder(path: str | os.PathLike[str]) -> None:
    """Raise InputError if a folder cannot be made or written into; call it before long work, as `check_target`."""
    name = os.fspath(path)
    if not name:
        raise InputError("cannot write the folder '': its name is empty")
    try:
        nearest = Path(os.path.realpath(name))
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        why = _why(nearest) if nearest.is_dir() else f"{nearest} is a file; name a folder"
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
    if why:
        raise InputError(f"cannot write the folder {name}: {why}")


def is_seekable(path: str | os.PathLike[str]) -> bool:
    """Return True if what `path` names can be written out of order: a regular file, or one that is not there yet."""
    name = os.fspath(path)
    try:
        return name != "-" and not _DESCRIPTOR.fullmatch(name) and stat.S_ISREG(os.stat(name).st_mode)
    except OSError:
        return True


class _Output(io.FileIO):
    """A file whose errors of writing name it."""

    label = ""

    def write(self, data: Any, /) -> int:
        """Write bytes and return how many.

        Raises
        ------
        OutputError
            The disk is full, or the device rejects it; a reader that has gone stays a ``BrokenPipeError``.
        """
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"cannot write {self.label}: {error.strerror}") from None


def _written_through(name: str) -> int | None:
    """Return a descriptor of what must not be replaced, or None for a regular file."""
    if name == "-":
        return _standard(sys.stdout, 1)
    if match := _DESCRIPTOR.fullmatch(name):
        number, standard = match[1], match[2]
        if standard:
            return _standard(getattr(sys, standard), 1 if standard == "stdout" else 2)
        try:
            return os.dup(int(number))
        except (OSError, OverflowError):
            raise InputError(f"cannot write {name}: there is no open file of this number") from None
    try:
        mode = os.stat(name).st_mode
    except (OSError, ValueError):
        return None
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    try:
        return os.open(name, os.O_WRONLY)
    except OSError as error:
        raise InputError(f"cannot write {name}: {error.strerror}") from None


def _standard(stream: Any, number: int) -> int:
    """Return a copy of the descriptor of stdout or stderr, after what Python has buffered for it."""
    try:
        stream.flush()
        return os.dup(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return os.dup(number)


def _created(draft: str, target: str, name: str) -> int:
    """Create the temporary file with the mode of the file that it will replace, or the usual one."""
    try:
        descriptor = _unnamed(os.path.dirname(draft))
        if descriptor is None:
            descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
    except OSError as error:
        raise InputError(f"cannot write {name}: {error.strerror}") from None
    with contextlib.suppress(OSError, AttributeError):
        before = os.stat(target)
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
        if before.st_uid != os.geteuid():
            os.fchown(descriptor, before.st_uid, before.st_gid)
    return descriptor


def _unnamed(folder: str) -> int | None:
    """Open a file without a name, which is gone when the process ends; None where the file system has no such files."""
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
    except (OSError, AttributeError):
        return None
    if os.path.exists(f"/proc/self/fd/{descriptor}"):  # by which it gets its name
        return descriptor
    os.close(descriptor)
    return None


def _name(descriptor: int, draft: str, name: str) -> None:
    """Give a file without a name that of the draft."""
    if os.path.lexists(draft):
        return
    try:
        # the descriptor of a folder, which an absolute path does not need, makes Python follow the link
        os.link(f"/proc/self/fd/{descriptor}", draft, src_dir_fd=0, follow_symlinks=True)
    except OSError as error:
        raise OutputError(f"cannot write {name}: {error.strerror}") from None


def _buffered(descriptor: int, mode: str, name: str) -> IO[bytes]:
    raw = _Output(descriptor, "rb+" if "+" in mode else "wb")
    raw.label = "stdout" if name == "-" else name
    if raw.readable():
        return cast("IO[bytes]", io.BufferedRandom(raw))
    return cast("IO[bytes]", io.BufferedWriter(raw, 2**16))


@contextmanager
def _closing(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Close a file; after an error without a second one about what is still buffered."""
    try:
        yield file
    except BaseException:
        with contextlib.suppress(Exception):
            file.close()
        raise
    file.close()


def _synchronized(descriptor: int, name: str) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems have no such call
            raise OutputError(f"cannot write {name}: {error.strerror}") from None


def _synchronized_folder(folder: str) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(folder or ".", os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _stops_raise() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise SystemExit, so that cleaning up runs; handlers of others remain in use."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [number for number in _STOPS if signal.getsignal(number) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in numbers:
            if signal.getsignal(number) == _stop:
                signal.signal(number, signal.SIG_DFL)


def _stop(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)


def _why(folder: Path) -> str | None:
    """Return why nothing can be created in a folder, or None: permissions do not tell for root or in /proc."""
    try:
        draft = folder / f".{secrets.token_hex(8)}.tmp"
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        draft.unlink()
    except OSError as error:
        return str(error.strerror)
    return None
