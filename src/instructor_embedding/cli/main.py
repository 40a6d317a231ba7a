"""The entry point of ``instructor-embed``: standard streams, signals, one-line errors and exit codes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

from instructor_embedding.cli import streams
from instructor_embedding.errors import InputError, InstructorError, TruncationWarning
from instructor_embedding.extras import EXTRA_OF, pip_name

STOPS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "terminated: the terminal was closed"}


class Stopped(BaseException):
    """A signal ended the command; context managers on the way up remove temporary files.

    It is not a KeyboardInterrupt, which the libraries below catch and report in their own words.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main() -> NoReturn:
    """Run the command and exit.

    Exit codes: 0 success, 1 failure, 2 wrong usage or input, 128 + N after signal N (130 for Ctrl-C, 143 for SIGTERM).
    """
    streams.prepare()
    with _signals_raise(), warnings.catch_warnings():
        warnings.showwarning = _show_warning  # type: ignore[assignment]  # it ignores where the warning came from
        try:
            code = _run()
            if code:
                streams.flush_or_discard()
            else:
                sys.stdout.flush()
        except BrokenPipeError:
            streams.discard_stdout()  # the reader of our output is gone, as after `| head`: nothing to report
            code = 1
        except OSError as error:
            _report(_failure(error))
            streams.discard_stdout()
            code = 1
        except Stopped as stop:
            code = _stopped(stop)
    sys.exit(code)


def _run() -> int:
    """Run the verb and return the exit code."""
    try:
        from instructor_embedding.cli.app import app

        app()
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except Stopped as stop:
        return _stopped(stop)
    except BrokenPipeError:
        raise
    except InstructorError as error:
        _report(str(error))
        return 2 if isinstance(error, InputError) else 1
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in EXTRA_OF:
            raise
        _report(f"this command needs the library {error.name}; install it with: pip install {pip_name(error.name)}")
        return 1
    except OSError as error:
        _report(_failure(error))
        return 1
    except MemoryError:
        _report("out of memory; a smaller --batch-size needs less")
        return 1
    return 0


def _failure(error: OSError) -> str:
    """Name the file or stream that failed, and why."""
    why = error.strerror or str(error)
    return f"cannot use {os.fsdecode(error.filename)}: {why}" if error.filename is not None else why


def _report(message: str) -> None:
    """Write one line to stderr; where even that fails, the exit code has to do."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"instructor-embed: {' '.join(message.splitlines())}\n")
        sys.stderr.flush()


def _show_warning(message: Warning | str, category: type[Warning], *_where: object) -> None:
    """Show the package's own warnings, such as that of truncated texts, in one line; drop those of libraries."""
    if issubclass(category, TruncationWarning) or (category is UserWarning and "instructor" in str(message).lower()):
        _report(f"warning: {message}")


def _stopped(stop: Stopped) -> int:
    name = signal.Signals(stop.number).name
    _report(STOPS.get(name, name))
    streams.discard_stdout()
    return 128 + stop.number


@contextlib.contextmanager
def _signals_raise() -> Iterator[None]:
    """Raise `Stopped` at the first SIGINT, SIGTERM or SIGHUP; a second signal ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in map(_number, STOPS) if number is not None}

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for other in handlers:
            signal.signal(other, signal.SIG_DFL)
        raise Stopped(number)

    for number, handler in handlers.items():
        if handler is not signal.SIG_IGN:  # nohup ignores SIGHUP on purpose
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _number(name: str) -> signal.Signals | None:
    """Return a signal by name, or None where the system does not have it."""
    return getattr(signal, name, None)


if __name__ == "__main__":
    main()
