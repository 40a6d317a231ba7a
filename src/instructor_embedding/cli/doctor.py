"""``instructor-embed doctor``: what is installed, what runs on this machine, and what is in the way."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import typer

from instructor_embedding import namesake
from instructor_embedding.cli import options
from instructor_embedding.errors import InstructorError
from instructor_embedding.version import __version__

_BASE = ("torch", "numpy", "tokenizers", "safetensors", "huggingface_hub", "tqdm", "typer")


def doctor(as_json: options.Json = False) -> None:
    """Report versions, extras, the kernels that run on this CPU, and conflicts; exit code 1 if something is wrong."""
    facts: dict[str, Any] = {
        "package": {"version": __version__, "folder": str(Path(__file__).parents[1])},
        "python": {
            "version": platform.python_version(),
            "system": f"{sys.platform} {platform.machine()}",
            "cpus": os.cpu_count(),
        },
        "import name": namesake.state(),
        "libraries": {name: namesake.installed_version(name) for name in _BASE},
        "extras": _extras(),
    }
    problems = [problem for problem in (namesake.problem(),) if problem]
    facts["kernels"] = _kernels()
    engine, failure = _engine()
    facts["engine"] = engine
    problems += [failure] if failure else []
    facts["problems"] = problems
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        _show(facts)
    if problems:
        raise typer.Exit(1)


def _extras() -> dict[str, dict[str, str | None]]:
    """Return the installed version, or None, of each library of each extra."""
    from instructor_embedding.extras import EXTRA_OF

    extras: dict[str, dict[str, str | None]] = {}
    for library, extra in EXTRA_OF.items():
        extras.setdefault(extra, {})[library] = namesake.installed_version(library.replace("_", "-"))
    return extras


def _kernels() -> dict[str, list[str]]:
    """Return the compiled kernels that this CPU runs, the fastest first, with their number formats."""
    from instructor_embedding.engine.native_library import kernels

    return {name: list(formats) for name, formats in kernels().items()}


def _engine() -> tuple[dict[str, str], str | None]:
    """Return what computes in each precision, or why it does not run here, and the failure of the bundled model."""
    import numpy as np

    runs: dict[str, str] = {}
    for precision in options.PRECISIONS:
        try:
            model = options.load_encoder(options.DEFAULT, "cpu", "float32", precision=precision)
            vector = model.encode("A text.", instruction="Represent the sentence: ")
            runs[precision] = type(model.backend).__name__
        except InstructorError as error:
            runs[precision] = f"not on this machine: {error}"
            if precision == "exact":
                return runs, f"{options.DEFAULT} does not run: {error}"
            continue
        if abs(float(np.linalg.norm(vector)) - 1) > 1e-4:
            return runs, f"{options.DEFAULT} with precision {precision} gives a vector without unit norm"
    return runs, None


def _show(facts: dict[str, Any]) -> None:
    package, python = facts["package"], facts["python"]
    typer.echo(f"package      instructor-embed {package['version']} in {package['folder']}")
    typer.echo(f"python       {python['version']} on {python['system']}, {python['cpus']} CPUs")
    typer.echo(f"import name  InstructorEmbedding: {facts['import name']}")
    typer.echo(
        "libraries    " + ", ".join(f"{name} {version or 'missing'}" for name, version in facts["libraries"].items())
    )
    for extra, libraries in facts["extras"].items():
        missing = [name for name, version in libraries.items() if version is None]
        state = "installed" if not missing else f'{", ".join(missing)} missing: pip install "instructor-embed[{extra}]"'
        typer.echo(f"extra        {extra}: {state}")
    kernels = [f"{name} ({', '.join(formats)})" for name, formats in facts["kernels"].items()]
    typer.echo(f"kernels      {', '.join(kernels) or 'the compiled engine is missing: torch runs instead, as exact'}")
    for precision, runs in facts["engine"].items():
        typer.echo(f"engine       {precision}: {runs}")
    for problem in facts["problems"] or ["none"]:
        typer.echo(f"problem      {problem}")
