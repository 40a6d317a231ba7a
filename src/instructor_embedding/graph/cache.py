"""Graphs that were written before, in the user's cache: one for each state of a model's weights."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from instructor_embedding.files.scratch import flush, scratch_folder
from instructor_embedding.graph import t5
from instructor_embedding.model.embedder import Embedder


def folder() -> Path:
    """Return the folder of graphs: ``instructor_embedding/onnx`` in ``XDG_CACHE_HOME``, by default ``~/.cache``."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "instructor_embedding" / "onnx"


def graph_of(embedder: Embedder) -> Path:
    """Return the file of the model's graph, which is written to the cache if it is not there."""
    home = folder()
    path = home / f"{fingerprint(embedder)}.onnx"
    if path.is_file():
        return path
    home.mkdir(parents=True, exist_ok=True)
    with scratch_folder(home, ".writing-") as scratch:
        draft = scratch / path.name
        t5.write(embedder, draft)
        usual = _usual_mode(scratch)
        flush(scratch)
        for file in (draft.with_name(f"{path.name}.data"), draft):  # the graph last: a file by its name is complete
            file.chmod(usual)
            os.replace(file, home / file.name)
    return path


def fingerprint(embedder: Embedder) -> str:
    """Return a hash of all weights and of the shape, as 16 hexadecimal digits."""
    digest = hashlib.sha256(repr((embedder.encoder.config, embedder.head)).encode())
    for module in (embedder.encoder, embedder.head):
        for name, value in module.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().cpu().float().contiguous().numpy().data)
    return digest.hexdigest()[:16]


def _usual_mode(home: Path) -> int:
    """Return the mode that the user's umask gives to new files; some libraries leave files to their owner alone."""
    probe = home / "probe"
    probe.touch()
    return probe.stat().st_mode & 0o777
