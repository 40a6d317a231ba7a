"""The command line that the steps with a teacher share."""

from __future__ import annotations

import argparse
from pathlib import Path

TEACHER = "sentence-transformers/all-MiniLM-L6-v2"


def parser_of(about: str | None, *paths: str) -> argparse.ArgumentParser:
    """Return a parser of some paths, in this order, and of the teacher."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for path in paths:
        parser.add_argument(path, type=Path)
    parser.add_argument("--teacher_cache", required=True)
    parser.add_argument("--teacher", default=TEACHER)
    return parser
