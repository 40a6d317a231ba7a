"""What mteb records about a model: the published facts of the three hub models, or what the model itself reports."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from instructor_embedding.evaluation.cached_encoder import CachedEncoder
from instructor_embedding.extras import need

_PURPOSE = "evaluation on MTEB"
# hub id -> parameters, those of them in the embedding table (counted on the published shapes), what it was tuned from
_PUBLISHED = {
    "hkunlp/instructor-base": (110_218_368, 24_674_304, "sentence-transformers/gtr-t5-base"),
    "hkunlp/instructor-large": (335_726_080, 32_899_072, "sentence-transformers/gtr-t5-large"),
    "hkunlp/instructor-xl": (1_241_696_256, 32_899_072, "sentence-transformers/gtr-t5-xl"),
}
PUBLISHED = tuple(_PUBLISHED)
# MTEB data sets whose training parts are known to be in MEDI (KILT, sentence-transformers' pairs) or in GTR's data.
# Its 300 Super-NaturalInstructions tasks overlap with more, among them reviews and tweets.
_TRAINED_ON = {"FEVER", "HotpotQA", "MSMARCO", "NQ", "QuoraRetrieval"}
_CITATION = """@inproceedings{su2023one,
  title={One Embedder, Any Task: Instruction-Finetuned Text Embeddings},
  author={Su, Hongjin and Shi, Weijia and Kasai, Jungo and Wang, Yizhong and Hu, Yushi and Ostendorf, Mari and
    Yih, Wen-tau and Smith, Noah A. and Zettlemoyer, Luke and Yu, Tao},
  booktitle={Findings of the Association for Computational Linguistics: ACL 2023},
  year={2023}
}"""


def published(name: str, loader: Callable[..., Any] | None = None) -> Any:
    """Return the ``mteb.ModelMeta`` of one of the three hub models.

    Parameters
    ----------
    name : str
        Of ``PUBLISHED``.
    loader : callable, optional
        What mteb calls to load the model; see `registry.register`.
    """
    parameters, embedding, parent = _PUBLISHED[name]
    return _meta(
        name=name,
        loader=loader,
        n_parameters=parameters,
        n_embedding_parameters=embedding,
        memory_usage_mb=round(parameters * 4 / 2**20),
        max_tokens=512,
        embed_dim=768,
        license="apache-2.0",
        open_weights=True,
        languages=["eng-Latn"],
        public_training_code="https://github.com/xlang-ai/instructor-embedding",
        public_training_data="https://github.com/xlang-ai/instructor-embedding#data",
        reference=f"https://huggingface.co/{name}",
        training_datasets=_TRAINED_ON,
        adapted_from=parent,
        citation=_CITATION,
        use_instructions=True,
    )


def describe(encoder: CachedEncoder, experiment: Mapping[str, str]) -> Any:
    """Return the ``mteb.ModelMeta`` of any model.

    Parameters
    ----------
    encoder : CachedEncoder
    experiment : dict
        How it is run; what differs from the default gets a results folder of its own.
    """
    default = {"instructions": "published" if encoder.instructed else "none", "settings": "instructed"}
    changes = {name: value for name, value in experiment.items() if default.get(name) != value}
    revision = _commit(encoder.name) or re.sub(r"[^\w.-]+", "-", encoder.fingerprint)
    if encoder.name in _PUBLISHED:
        meta = published(encoder.name)
    else:
        named = ("get_embedding_dimension", "get_sentence_embedding_dimension")  # the new name, and the one before
        dimension = next((getattr(encoder.model, name) for name in named if hasattr(encoder.model, name)), None)
        size = encoder.size
        meta = _meta(
            name=_name(encoder.name),
            n_parameters=size.get("parameters"),
            memory_usage_mb=round(size["bytes"] / 2**20, 1) if "bytes" in size else None,
            max_tokens=getattr(encoder.model, "max_seq_length", None),
            embed_dim=dimension() if dimension else getattr(encoder.model, "dimension", None),
            use_instructions=encoder.instructed,
        )
    return meta.model_copy(update={"revision": revision, "experiment_kwargs": changes or None})


def _meta(**facts: Any) -> Any:
    unknown = ("loader", "revision", "release_date", "languages", "license", "open_weights", "public_training_code")
    more = ("public_training_data", "training_datasets")
    kinds: Any = need("mteb.models.model_meta", _PURPOSE)
    fields = {**dict.fromkeys((*unknown, *more)), **facts}
    return kinds.ModelMeta(framework=["PyTorch"], similarity_fn_name=kinds.ScoringFunction.COSINE, **fields)


def _name(name: str) -> str:
    """Return ``organization/model``, which mteb requires, for a hub id or a path."""
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not Path(name).exists() and not name.startswith("."):
        return name
    return "local/" + (re.sub(r"[^\w.-]+", "-", Path(name).name or name).strip("-") or "model")


def _commit(name: str) -> str | None:
    """Return the commit of a hub model in the cache, which is where it was just loaded from."""
    from huggingface_hub import try_to_load_from_cache

    if _name(name) != name or Path(name).exists():
        return None
    path = try_to_load_from_cache(name, "config.json")
    return Path(path).parent.name if isinstance(path, str) else None
