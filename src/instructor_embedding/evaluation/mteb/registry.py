"""The three hub models in mteb's own registry, so that ``mteb.get_model("hkunlp/instructor-large")`` works."""

from __future__ import annotations

from typing import Any

from instructor_embedding import encoders
from instructor_embedding.evaluation.cached_encoder import CachedEncoder
from instructor_embedding.evaluation.mteb.instructed import InstructedEncoder
from instructor_embedding.evaluation.mteb.model_meta import PUBLISHED, published
from instructor_embedding.extras import need


def register() -> list[str]:
    """Add the three hub models to mteb's registry and return their names.

    Each comes with its published instructions.
    """
    registry = need("mteb.models.model_implementations", "evaluation on MTEB").MODEL_REGISTRY
    registry.update({name: published(name, _load) for name in PUBLISHED})
    return list(PUBLISHED)


def _load(model_name: str, revision: str | None = None, device: str | None = None, **_: Any) -> Any:
    """Load a registered model; mteb calls it."""
    return InstructedEncoder(CachedEncoder(encoders.load(model_name, "instructor", device=device), model_name))
