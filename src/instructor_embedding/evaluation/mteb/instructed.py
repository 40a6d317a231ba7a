"""InstructedEncoder: a model as mteb calls it, which gives each text the instruction of its task and side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from instructor_embedding.encoders import PairEncoder
from instructor_embedding.errors import choose
from instructor_embedding.evaluation.cached_encoder import CachedEncoder
from instructor_embedding.evaluation.instructions import Chosen, Instructions
from instructor_embedding.evaluation.mteb.model_meta import describe
from instructor_embedding.extras import need
from instructor_embedding.instruction import Pair
from instructor_embedding.vectors import Float32

_PURPOSE = "evaluation on MTEB"
QUERY_INSTRUCTIONS = ("instruction", "text", "none")


@dataclass(frozen=True)
class Settings:
    """How instructions are applied.

    Parameters
    ----------
    name : str
    documents : bool
        Whether the documents of retrieval tasks get their instruction.
    longest_clustered : int or None
        Texts of clustering tasks that are longer than this with their instruction (tokens) go without it.
    query_instructions : str
        Where the instruction that a query brings along goes (FollowIR, InstructIR): ``"instruction"``: after the
        instruction of the task, so that it steers the vector and is not pooled; ``"text"``: after the query, as mteb
        does for every model; ``"none"``: it is dropped, as a control.
    """

    name: str
    documents: bool = True
    longest_clustered: int | None = None
    query_instructions: str = "instruction"


SETTINGS = {
    settings.name: settings
    for settings in (
        Settings("instructed"),
        Settings("original", longest_clustered=256),
        Settings("original-2023", documents=False, longest_clustered=256),
    )
}


class InstructedEncoder:
    """A model as mteb's EncoderProtocol defines it, which gives each text the instruction of its task and side.

    Use it where mteb's own functions are called: ``mteb.evaluate(InstructedEncoder(model), tasks)``.

    Parameters
    ----------
    model : CachedEncoder or object with encode(pairs)
    instructions : Instructions, optional
        Default: the published ones, those of instructor-large unless the model is base or xl.
    settings : str or Settings
        ``"instructed"``: every text gets its instruction. ``"original"``: as the original's code since April 2024,
        where texts to cluster of over 256 tokens go without it. ``"original-2023"``: as its code before, which also
        encoded the documents of retrieval without their instruction.
    meta : mteb.ModelMeta, optional
        Default: the published facts for the three hub models, else what can be read from the model.

    Attributes
    ----------
    used : dict
        (task, side) to what was chosen, for the texts encoded so far.
    """

    def __init__(
        self,
        model: CachedEncoder | PairEncoder | Any,
        instructions: Instructions | None = None,
        settings: str | Settings = "instructed",
        meta: Any = None,
    ) -> None:
        need("mteb", _PURPOSE)
        self.settings = settings if isinstance(settings, Settings) else SETTINGS[choose("settings", settings, SETTINGS)]
        choose("query_instructions", self.settings.query_instructions, QUERY_INSTRUCTIONS)
        self.encoder = CachedEncoder.of(model)
        self.instructions = instructions or Instructions(model=self.encoder.name)
        self.used: dict[tuple[str, str], Chosen] = {}
        experiment = {"instructions": self.instructions.name, "settings": self.settings.name, **self.encoder.options}
        if self.settings.query_instructions != "instruction":
            experiment["query_instructions"] = self.settings.query_instructions
        self.mteb_model_meta = meta or describe(self.encoder, experiment)

    def choose(self, metadata: Any, side: str) -> Chosen:
        """Return the instruction of one side of a task: what `encode` will use."""
        if side == "document" and metadata.type == "Retrieval" and not self.settings.documents:
            return Chosen("", f"none ({self.settings.name})")
        return self.instructions.choose(
            metadata.name,
            metadata.type,
            side,
            parents=getattr(metadata, "adapted_from", None) or (),
            own=_own_instruction(metadata, side),
        )

    def encode(
        self,
        inputs: Any,
        *,
        task_metadata: Any,
        hf_split: str = "",
        hf_subset: str = "",
        prompt_type: Any = None,
        **_: Any,
    ) -> Float32:
        """Return the vectors of mteb's batches of texts, float32 of shape (n, dim)."""
        side = "text" if prompt_type is None else str(prompt_type.value)
        chosen = self.choose(task_metadata, side)
        self.used[task_metadata.name, side] = chosen
        pairs = [pair for batch in inputs for pair in self._pairs(batch, chosen.instruction)]
        limit = self.settings.longest_clustered
        if limit is not None and task_metadata.type == "Clustering":
            lengths = self.encoder.count_tokens(pairs)
            pairs = [
                Pair("" if tokens > limit else pair.instruction, pair.text)
                for pair, tokens in zip(pairs, lengths, strict=True)
            ]
        return self.encoder.encode(pairs, f"{task_metadata.name} {side}")

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return the cosines between two sets of vectors, a tensor of shape (n, m)."""
        return _functions().cos_sim(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return the cosines between the rows of two sets of vectors, a tensor of shape (n,)."""
        return _functions().pairwise_cos_sim(embeddings1, embeddings2)

    def _pairs(self, batch: Any, instruction: str) -> list[Pair]:
        where = self.settings.query_instructions
        # "text" is query and instruction joined by mteb; "query" and "instruction" are the two apart
        if where == "text" or "instruction" not in batch:
            return [Pair(instruction, text) for text in batch["text"]]
        queries = batch.get("query", batch["text"])
        if where == "none":
            return [Pair(instruction, query) for query in queries]
        return [
            Pair(f"{instruction}{own.strip()} " if own and own.strip() else instruction, query)
            for query, own in zip(queries, batch["instruction"], strict=True)
        ]


def _own_instruction(metadata: Any, side: str) -> str | None:
    """Return the instruction that a task states for models of this kind, as those of BRIGHT do, or None."""
    prompts = getattr(metadata, "prompt", None)
    text = prompts.get(side) if isinstance(prompts, dict) else None
    return text if isinstance(text, str) and text.lower().startswith("represent ") else None


def _functions() -> Any:
    return need("mteb.similarity_functions", _PURPOSE)
