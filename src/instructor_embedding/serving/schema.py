"""What requests and replies look like; the OpenAPI document is made from these types.

A field that is not listed is an error: a misspelled ``instruction`` that is ignored would give other vectors.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Name = Annotated[str, Meta(max_length=1000)]
Instruction = Annotated[str, Meta(max_length=10_000, description="How to represent the text.")]
TokenId = Annotated[int, Meta(ge=0, lt=2**31)]
Texts = Annotated[
    str | list[str | TokenId | list[str | TokenId]],
    Meta(description="A text; a list of texts; token ids or lists of them; a list of [instruction, text] pairs."),
]
Inputs = Annotated[
    str | list[str | list[str]], Meta(description="A text, a list of texts, or a list of [instruction, text] pairs.")
]
Prompt = Annotated[Name | None, Meta(description="A named instruction; GET /instructions lists them.")]
Side = Annotated[Name | None, Meta(description="query or document: the instruction of that side.")]
Model = Annotated[Name | None, Meta(description="Which of the server's models. Default: the first.")]
Dimensions = Annotated[Annotated[int, Meta(ge=1, le=1_000_000)] | None, Meta(description="Keep the first dimensions.")]
Truncate = Annotated[bool, Meta(description="Truncate texts that are too long; false refuses them.")]
Direction = Literal["Right", "right", "Left", "left"]


class Instructed(Struct, forbid_unknown_fields=True, kw_only=True):
    """What every request with texts of any number may name: a model, and their instructions."""

    model: Model = None
    instruction: Instruction | list[Instruction] | None = None
    prompt_name: Prompt = None
    input_type: Side = None
    task: Annotated[Name | None, Meta(description="A data set with published instructions, or a name of yours.")] = None


class EmbeddingsRequest(Instructed, kw_only=True):
    """Texts to embed, as in OpenAI's API, and their instructions."""

    input: Texts
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: Dimensions = None
    user: str | None = None
    output_dtype: Literal["float", "int8", "binary"] | None = "float"
    truncation: Truncate = True


class Embedding(Struct):
    """One vector. `scale` is there for int8: the vector is the codes times the scale."""

    index: int
    embedding: list[float] | str
    object: Literal["embedding"] = "embedding"
    scale: float | None = None


class Usage(Struct):
    """Tokens that were computed, instructions included, and texts that were truncated."""

    prompt_tokens: int
    total_tokens: int
    truncated: int


class EmbeddingsReply(Struct):
    """Vectors, in the order of the texts."""

    data: list[Embedding]
    model: str
    usage: Usage
    object: Literal["list"] = "list"


class EmbedAllRequest(Instructed, kw_only=True):
    """Texts whose token states are wanted, the instruction's tokens included."""

    inputs: Inputs
    truncate: Truncate | None = True
    truncation_direction: Direction | None = "Right"


class EmbedRequest(EmbedAllRequest, kw_only=True):
    """Texts to embed, as in text-embeddings-inference, and their instructions."""

    normalize: Annotated[bool | None, Meta(description="Return unit-norm vectors.")] = True
    dimensions: Dimensions = None


class SimilarityInputs(Struct, forbid_unknown_fields=True):
    """One sentence and those it is compared with."""

    source_sentence: str
    sentences: Annotated[list[str], Meta(min_length=1)]


class SimilarityParameters(Struct, forbid_unknown_fields=True):
    """Options of a comparison."""

    truncate: Truncate | None = True
    truncation_direction: Direction | None = "Right"
    prompt_name: Prompt = None
    instruction: Instruction | None = None


class SimilarityRequest(Struct, forbid_unknown_fields=True):
    """A sentence to compare with others, by cosine under one instruction."""

    inputs: SimilarityInputs
    parameters: SimilarityParameters | None = None
    model: Model = None


class RerankRequest(Struct, forbid_unknown_fields=True):
    """Texts to order by their cosine with a query."""

    query: str
    texts: Annotated[list[str], Meta(min_length=1)]
    raw_scores: Annotated[bool | None, Meta(description="Scores are cosines either way.")] = False
    return_text: bool | None = False
    truncate: Truncate | None = True
    truncation_direction: Direction | None = "Right"
    model: Model = None
    query_instruction: Annotated[Instruction | None, Meta(description="Default: the named instruction query.")] = None
    document_instruction: Annotated[
        Instruction | None, Meta(description="Default: the named instruction document.")
    ] = None


class Rank(Struct, omit_defaults=True):
    """A text's position in the request and its cosine with the query."""

    index: int
    score: float
    text: str | None = None


class TokenizeRequest(Instructed, kw_only=True):
    """Texts whose tokens are wanted; tokens of the instruction come first."""

    inputs: Inputs
    add_special_tokens: Annotated[bool | None, Meta(description="Close each text with the EOS token.")] = True


class Token(Struct):
    """A token; `start` and `stop` count characters of the instruction and text together."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class ModelFacts(Struct):
    """One of the server's models."""

    id: str
    dimension: int
    max_input_length: int
    precision: str
    fingerprint: str
    object: Literal["model"] = "model"
    owned_by: str = "instructor-embedding"
    created: int = 0


class Models(Struct):
    """The server's models."""

    data: list[ModelFacts]
    object: Literal["list"] = "list"


class Info(Struct):
    """The server, its first model and its limits, under the names of text-embeddings-inference."""

    model_id: str
    model_sha: str
    model_dtype: str
    model_type: dict[str, Any]
    max_input_length: int
    max_batch_tokens: int
    max_client_batch_size: int
    max_body: int
    max_queue_tokens: int
    max_wait: float
    auto_truncate: bool
    tokenization_workers: int
    version: str
    score: str
    default_instruction: str | None
    models: list[ModelFacts]


class NamedInstruction(Struct):
    """A named instruction; `side` is text, query or document."""

    name: str
    side: str
    instruction: str


class Status(Struct):
    """Whether the server answers, or takes work."""

    status: str


class ErrorDetail(Struct):
    """What was wrong, in OpenAI's form."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class OpenAIError(Struct):
    """An error of the routes under /v1."""

    error: ErrorDetail


class Error(Struct):
    """An error of the other routes, in the form of text-embeddings-inference."""

    error: str
    error_type: str
