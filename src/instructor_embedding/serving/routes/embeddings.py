"""``/v1``: OpenAI's API, with an instruction for every text."""

from __future__ import annotations

from starlette.responses import Response

from instructor_embedding.serving import reply, texts
from instructor_embedding.serving.exchange import Exchange, Operation
from instructor_embedding.serving.schema import EmbeddingsReply, EmbeddingsRequest, Models


async def embeddings(exchange: Exchange) -> Response:
    """Embed texts."""
    asked = await exchange.read(EmbeddingsRequest)
    model = exchange.service.served(asked.model)
    model.check_dimensions(asked.dimensions)
    inputs = exchange.texts(model, asked.input, texts.Asked.of(asked), "input")
    job = await exchange.compute(model.lane, inputs.inputs, asked.truncation)
    rows = reply.vectors(job, asked.dimensions)
    headers = reply.headers_of(job, inputs.source)
    dtype, encoding = asked.output_dtype or "float", asked.encoding_format or "float"
    if reply.RAW in exchange.request.headers.get("accept", ""):
        body, shape = reply.raw(rows, dtype)
        return Response(body, 200, headers | shape, reply.RAW)
    tokens = int(job.lengths.sum())
    usage = {"prompt_tokens": tokens, "total_tokens": tokens, "truncated": job.truncated}
    return Response(reply.openai(rows, dtype, encoding, model.name, usage), 200, headers, "application/json")


async def models(exchange: Exchange) -> Response:
    """List the server's models."""
    return reply.encoded(Models([model.facts for model in exchange.service.models]))


OPERATIONS = (
    Operation(
        "POST",
        "/v1/embeddings",
        embeddings,
        EmbeddingsRequest,
        EmbeddingsReply,
        "Embed texts, each with its instruction",
        ("application/json", reply.RAW),
    ),
    Operation("GET", "/v1/models", models, None, Models, "The server's models"),
)
