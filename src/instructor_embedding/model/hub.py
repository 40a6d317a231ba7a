"""From the name of a model to a folder on this machine.

A path is never looked up on the network.
A hub id goes through huggingface_hub, whose cache, tokens, ``HF_ENDPOINT`` and ``HF_HUB_OFFLINE`` apply; only the files
that a model needs are downloaded, and one format of its weights.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from instructor_embedding import namesake
from instructor_embedding.errors import CheckpointError, InputError, ModelNotFoundError, first_line, nearest
from instructor_embedding.model.folder import tensors

_JSON_FILES = (
    "modules.json",
    "config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
_EXAMPLE = "hkunlp/instructor-large"
BUNDLED = "instructor-mini"  # comes with the package
_PUBLISHED = (BUNDLED, "hkunlp/instructor-base", "hkunlp/instructor-large", "hkunlp/instructor-xl")
_BY_HAND = "download it where there is a network and pass the folder"


def resolve(
    name: str | os.PathLike[str],
    *,
    cache_folder: str | os.PathLike[str] | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
    argument: str = "model",
) -> Path:
    """Return the folder of a model, downloading it first where `name` is a hub id.

    Parameters
    ----------
    name : str or path
        An existing folder, ``"instructor-mini"`` (comes with the package), or a hub id such as
        ``"hkunlp/instructor-large"``; another name without a slash is looked up under ``sentence-transformers/``, as
        the original did.
    cache_folder : path, optional
        Where downloads are kept; by default ``SENTENCE_TRANSFORMERS_HOME`` if set, else huggingface_hub's cache.
    token, revision, local_files_only
        As in ``huggingface_hub.snapshot_download``.
    argument : str
        What the caller calls the name, for errors.

    Raises
    ------
    ModelNotFoundError
        There is no such folder or model, or the hub cannot be reached and the cache has no copy.
    InputError
        The name is empty, or of another type.
    """
    namesake.warn_if_replaced()
    if not isinstance(name, (str, os.PathLike)) or not os.fspath(name):
        raise InputError(f"{argument} must be a folder or a hub id, got {name!r}")
    path = Path(name).expanduser()
    if path.exists():
        return path
    text = os.fspath(name)
    if text == BUNDLED:
        return Path(__file__).parents[1] / "bundled" / BUNDLED
    if not _is_hub_id(text):
        raise ModelNotFoundError(f"there is no folder {text!r}; pass a folder or a hub id such as {_EXAMPLE!r}")
    repo = text if "/" in text else f"sentence-transformers/{text}"
    cache = cache_folder or os.environ.get("SENTENCE_TRANSFORMERS_HOME")
    options = {"cache_dir": str(cache) if cache else None, "token": token, "revision": revision}
    try:
        return _download(repo, options, local_files_only)
    except ModelNotFoundError as error:
        raise ModelNotFoundError(f"{error}{nearest(text, _PUBLISHED)}") from None


def upload(
    folder: Path,
    repo: str,
    message: str,
    token: str | bool | None = None,
    private: bool | None = None,
    revision: str | None = None,
) -> str:
    """Upload a folder to a repository of the hub, created if missing; returns the commit's address."""
    import huggingface_hub

    api = huggingface_hub.HfApi(token=token)
    api.create_repo(repo, private=private, exist_ok=True)
    commit = api.upload_folder(repo_id=repo, folder_path=folder, commit_message=message, revision=revision)
    return str(commit.commit_url)


def _is_hub_id(name: str) -> bool:
    """Tell a hub id from what can only be a path."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    if name.startswith((".", "/", "~")) or "\\" in name:
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def _download(repo: str, options: dict[str, Any], local_only: bool) -> Path:
    """Return the folder of a hub model, from the hub or, where it cannot be asked, from the cache."""
    from huggingface_hub import constants, errors

    offline = local_only or constants.HF_HUB_OFFLINE
    try:
        return _cached(repo, options) if offline else _fetched(repo, options)
    except errors.GatedRepoError:
        raise ModelNotFoundError(f"{repo} is gated; ask for access on its page, then pass token=...") from None
    except errors.RepositoryNotFoundError:
        raise ModelNotFoundError(
            f"the hub has no model {repo!r} (or it is private: pass token=...), and there is no folder of that name; "
            "the published models are hkunlp/instructor-base, -large and -xl"
        ) from None
    except errors.RevisionNotFoundError:
        raise ModelNotFoundError(f"{repo} has no revision {options['revision']!r}") from None
    except errors.LocalEntryNotFoundError:
        reason = "local_files_only was requested" if offline else "the hub cannot be reached"
        raise ModelNotFoundError(f"{repo} is not in the cache and {reason}; {_BY_HAND}") from None


def _fetched(repo: str, options: dict[str, Any]) -> Path:
    """Download what is missing; fall back to the cache when the hub cannot be reached."""
    import huggingface_hub
    from huggingface_hub import errors

    meant = (
        CheckpointError,
        errors.GatedRepoError,
        errors.RepositoryNotFoundError,
        errors.RevisionNotFoundError,
        errors.LocalEntryNotFoundError,
    )
    try:
        info = huggingface_hub.HfApi(token=options["token"]).model_info(repo, revision=options["revision"])
        patterns = _needed([file.rfilename for file in info.siblings or []], repo)
        return Path(huggingface_hub.snapshot_download(repo, allow_patterns=patterns, **options))
    except meant:
        raise
    except Exception as error:  # huggingface_hub does not document the exceptions of its HTTP client
        try:
            return _cached(repo, options)
        except errors.LocalEntryNotFoundError:
            line = first_line(error, 200)
            raise ModelNotFoundError(
                f"the hub cannot be reached or refused ({line}) and {repo} is not in the cache; {_BY_HAND}"
            ) from None


def _cached(repo: str, options: dict[str, Any]) -> Path:
    """Return the cached copy."""
    import huggingface_hub
    from huggingface_hub import errors

    try:
        return Path(huggingface_hub.snapshot_download(repo, local_files_only=True, **options))
    except errors.LocalEntryNotFoundError as error:
        # newer releases call a snapshot incomplete that holds only the files a model needs
        folder = getattr(error, "snapshot_path", None)
        if folder is None:
            raise
        return Path(folder)


def _needed(files: list[str], repo: str) -> list[str]:
    """Choose the files to download: settings, tokenizer and, in each folder, one format of the weights."""
    needed = [file for file in files if Path(file).name in _JSON_FILES]
    homes = {str(Path(file).parent) for file in needed}
    for home in sorted(homes):
        prefix = "" if home == "." else f"{home}/"
        names = {file.removeprefix(prefix) for file in files if file.startswith(prefix)}
        chosen = next((name for name in tensors.NAMES if name in names), None)
        if chosen:
            needed.append(prefix + chosen)
        if chosen and chosen.endswith(".index.json"):
            stem, _, suffix = chosen.removesuffix(".index.json").rpartition(".")
            needed += [prefix + name for name in names if name.startswith(f"{stem}-") and name.endswith(suffix)]
    if not any(file.endswith("config.json") for file in needed):
        raise CheckpointError(f"{repo} on the hub holds no config.json; it is not a T5 embedder")
    return needed
