"""``/embed`` and ``/embed_all``: vectors and token states, in the shapes of text-embeddings-inference."""

from __future__ import annotations

from starlette.responses import Response

from instructor_embedding.serving import reply, texts
from instructor_embedding.serving.exchange import Exchange, Operation, refuse_left
from instructor_embedding.serving.refusal import RefusedError
from instructor_embedding.serving.schema import EmbedAllRequest, EmbedRequest


async def embed(exchange: Exchange) -> Response:
    """Embed texts."""
    asked = await exchange.read(EmbedRequest)
    refuse_left(asked.truncation_direction)
    model = exchange.service.served(asked.model)
    model.check_dimensions(asked.dimensions)
    inputs = exchange.texts(model, asked.inputs, texts.Asked.of(asked))
    job = await exchange.compute(model.lane, inputs.inputs, asked.truncate)
    rows = reply.vectors(job, asked.dimensions, asked.normalize is not False and not model.normalized)
    return reply.as_json(list(rows), reply.headers_of(job, inputs.source))


async def embed_all(exchange: Exchange) -> Response:
    """Return the states of each text's tokens, those of its instruction included."""
    asked = await exchange.read(EmbedAllRequest)
    refuse_left(asked.truncation_direction)
    model = exchange.service.served(asked.model)
    if model.states is None:
        raise RefusedError(422, f"the backend of {model.name} computes no token states; serve it with --backend torch")
    inputs = exchange.texts(model, asked.inputs, texts.Asked.of(asked))
    job = await exchange.compute(model.states, inputs.inputs, asked.truncate)
    return reply.as_json(job.rows, reply.headers_of(job, inputs.source))


OPERATIONS = (
    Operation("POST", "/embed", embed, EmbedRequest, list[list[float]], "Embed texts"),
    Operation("POST", "/", embed, EmbedRequest, list[list[float]], "The same as /embed"),
    Operation("POST", "/embed_all", embed_all, EmbedAllRequest, list[list[list[float]]], "States of every token"),
)
