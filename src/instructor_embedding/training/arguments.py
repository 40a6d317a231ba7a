"""From flags and toml files to `Settings`."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, cast

from transformers import HfArgumentParser

from instructor_embedding.errors import InputError, InstructorError, in_one_line, nearest
from instructor_embedding.files.toml_file import read_toml
from instructor_embedding.training.passthrough import checked_optimizer
from instructor_embedding.training.settings import GROUPS, Settings

TABLES = Settings._fields  # the tables that a toml file may have


class _Parser(HfArgumentParser):  # type: ignore[misc, unused-ignore]
    """Argparse with errors of one line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def parse(arguments: Sequence[str]) -> Settings:
    """Parse flags into settings; ``--config FILE`` or a first ``FILE.toml`` give flags that the others override.

    Raises
    ------
    InputError
        A flag is unknown (the nearest known one is named), or its value is not allowed.
    """
    flags = list(arguments)
    if flags and flags[0].endswith(".toml"):
        flags.insert(0, "--config")
    before = _plain_parser()
    before.add_argument("--config", action="append", default=[])
    options, flags = before.parse_known_args(flags)
    for path in reversed(options.config):
        flags = [*_flags_of(Path(path)), *flags]
    parser = _parser()
    if not {"--help", "-h"} & set(flags) and not any(
        flag.replace("-", "_") == "__output_dir" for flag in _names(flags)
    ):
        raise InputError("output_dir is missing: the folder for checkpoints and the trained model")
    try:
        *groups, rest = parser.parse_args_into_dataclasses(args=flags, return_remaining_strings=True)
    except InstructorError:
        raise
    except (ValueError, TypeError, ImportError) as error:
        raise InputError(in_one_line(error)) from None
    if rest:
        raise InputError(_unknown(rest[0], parser))
    settings = Settings(*groups).checked()
    checked_optimizer(settings.trainer)
    return settings


def flags_help() -> str:
    """Return the help text of every flag, transformers' included."""
    return cast(ArgumentParser, _parser()).format_help()


def _plain_parser() -> ArgumentParser:
    class Parser(ArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise InputError(message.replace("expected one argument", "needs a toml file"))

    return Parser(add_help=False, allow_abbrev=False)


def _parser() -> _Parser:
    return _Parser(cast(Any, GROUPS), allow_abbrev=False, prog="train")


def _names(flags: Sequence[str]) -> list[str]:
    return [flag.partition("=")[0] for flag in flags if flag.startswith("--")]


def _unknown(argument: str, parser: _Parser) -> str:
    """Return the error for what is not a flag."""
    name = argument.partition("=")[0]
    if not name.startswith("-"):
        return (
            f"{argument!r} belongs to no flag; settings are given as --name value, or in a toml file as first argument"
        )
    known = {option for action in cast(ArgumentParser, parser)._actions for option in action.option_strings}
    return f"{name} is unknown{nearest(name, known)}; instructor-embed train --all-flags lists all"


def _flags_of(path: Path) -> list[str]:
    """Return a toml file's keys as flags; its tables may be the groups of settings."""
    if not path.is_file():
        raise InputError(f"--config: there is no file {path}")
    values: dict[str, Any] = {}
    for key, value in read_toml(path).items():
        if isinstance(value, Mapping) and key in TABLES:
            values |= value
        elif isinstance(value, Mapping) and not key.endswith(("_kwargs", "_config")):
            raise InputError(
                f"{path}: [{key}] is not a table of settings; tables are {', '.join(TABLES)}, or none at all"
            )
        else:
            values[key] = value
    return [flag for key, value in values.items() for flag in _as_flag(key, value)]


def _as_flag(key: str, value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [f"--{key}", json.dumps(value)]
    values = value if isinstance(value, list) else [value]
    return [f"--{key}", *(str(item).lower() if isinstance(item, bool) else str(item) for item in values)]
