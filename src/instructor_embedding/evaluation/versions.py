"""The versions of the libraries that enter a score."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType

from instructor_embedding.version import __version__

_DISTRIBUTIONS = ("torch", "numpy", "tokenizers", "mteb", "scikit-learn", "scipy", "sentence-transformers")


@cache
def versions() -> Mapping[str, str]:
    """Return the versions of Python, this package and the libraries that enter a score; looked up once."""
    known = {"python": platform.python_version(), "instructor-embedding": __version__}
    for name in _DISTRIBUTIONS:
        try:
            known[name] = version(name)
        except PackageNotFoundError:
            continue
    return MappingProxyType(known)
