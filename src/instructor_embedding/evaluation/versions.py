"""The versions of the libraries that enter a score."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from instructor_embedding.version import __version__

_DISTRIBUTIONS = ("torch", "numpy", "tokenizers", "mteb", "scikit-learn", "scipy", "sentence-transformers")


def versions() -> dict[str, str]:
    """Return the versions of Python, this package and the libraries that enter a score."""
    known = {"python": platform.python_version(), "instructor-embedding": __version__}
    for name in _DISTRIBUTIONS:
        try:
            known[name] = version(name)
        except PackageNotFoundError:
            continue
    return known
