"""Every error this package raises on purpose.

::

    InstructorError
    ├── InputError (ValueError)            what was given to a function or a command is not allowed
    │   └── TruncationError                truncate="error" and a text is too long
    ├── CheckpointError (OSError)          a model's files are missing, corrupt or of another kind
    │   └── ModelNotFoundError             no such folder, or no such model on the hub
    ├── OutputError (OSError)              the system refuses to write a file: the disk is full, ...
    ├── VectorError (ArithmeticError)      a model computed a vector that is zero, infinite or not a number
    ├── DivergenceError (ArithmeticError)  a training's loss, weights or vectors are not finite any more
    ├── QualityError                       a quantized model loses more than it may
    ├── LanguageModelError                 a language model's server does not answer as it should
    ├── WorkerError (RuntimeError)         a worker process died
    └── MissingExtraError (ImportError)    an optional library is not installed

    TruncationWarning (UserWarning)        texts were cut to the model's length

An unknown keyword argument raises ``TypeError``, as everywhere in Python, with the nearest known name.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from inspect import Parameter, signature
from typing import Any, TypeVar, cast

_F = TypeVar("_F", bound=Callable[..., Any])


class InstructorError(Exception):
    """Parent of all errors of this package; catch it to catch them all."""


class InputError(InstructorError, ValueError):
    """What was given is not allowed; the message names the item, what is allowed and what to type."""


class TruncationError(InputError):
    """A text is longer than the model's ``max_seq_length`` and ``truncate="error"`` was requested."""


class CheckpointError(InstructorError, OSError):
    """A model's files are missing, corrupt or of another kind; the message names the file."""

    def __str__(self) -> str:
        """Return the message; OSError would print its arguments as a tuple."""
        return str(self.args[0]) if self.args else ""


class ModelNotFoundError(CheckpointError):
    """No such folder here and no such model on the hub (or the hub cannot be reached)."""


class OutputError(InstructorError, OSError):
    """A file or a stream cannot be written although the request is allowed: the disk is full, the device refuses."""

    def __str__(self) -> str:
        """Return the message; OSError would print its arguments as a tuple."""
        return str(self.args[0]) if self.args else ""


class VectorError(InstructorError, ArithmeticError):
    """A model computed a vector that is zero, infinite or not a number; such a vector is never returned."""


class DivergenceError(InstructorError, ArithmeticError):
    """A training's loss, weights or vectors are not finite any more; the message names the step and what is saved."""


class QualityError(InstructorError):
    """A quantized model loses more than the bounds allow; it was not written."""


class LanguageModelError(InstructorError):
    """A language model's server cannot be reached, or does not answer as it should."""


class WorkerError(InstructorError, RuntimeError):
    """A worker process died before its work was done."""


class MissingExtraError(InstructorError, ImportError):
    """An optional library is not installed; the message holds the pip line that installs it."""


class TruncationWarning(UserWarning):
    """Texts were cut to the model's ``max_seq_length``; the message counts them."""


def in_one_line(error: BaseException) -> str:
    """Return a library's error without line ends, for the messages of this package."""
    return " ".join(str(error).split())


def first_line(error: BaseException, limit: int = 300) -> str:
    """Return the first line of a library's error, or its type where it has no message, at most `limit` characters."""
    return (str(error).splitlines() or [type(error).__name__])[0][:limit]


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known name nearest to `name`, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def choose(argument: str, value: Any, known: Iterable[str]) -> str:
    """Return `value` if it is one of the `known` values of `argument`.

    Raises
    ------
    InputError
        It is not; the message names the nearest known value and lists them all.
    """
    allowed = list(known)
    if value not in allowed:
        raise InputError(f"{argument}={value!r} is unknown{nearest(str(value), allowed)}; known: {', '.join(allowed)}")
    return str(value)


def known_keywords(function: _F) -> _F:
    """Decorate a function so that a misspelled keyword argument raises ``TypeError`` with the nearest known name."""
    known = list(_keywords(function))

    @wraps(function)
    def checked(*arguments: Any, **options: Any) -> Any:
        for name in options:
            if name not in known:
                hint = nearest(name, known) or f"; known: {', '.join(known)}"
                raise TypeError(f"{function.__qualname__}() got an unexpected keyword argument {name!r}{hint}")
        return function(*arguments, **options)

    return cast(_F, checked)


def _keywords(function: Callable[..., Any]) -> Iterator[str]:
    """Yield the keywords of a function, those of ``**options: Unpack[SomeTypedDict]`` by its keys."""
    for name, parameter in signature(function).parameters.items():
        if parameter.kind is Parameter.VAR_KEYWORD:
            options = str(parameter.annotation).removeprefix("Unpack[").removesuffix("]")
            yield from function.__globals__[options].__annotations__
        elif name != "self":
            yield name
