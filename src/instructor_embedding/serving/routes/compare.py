"""``/similarity`` and ``/rerank``: cosines of texts, in the shapes of text-embeddings-inference."""

from __future__ import annotations

import numpy as np
from starlette.responses import Response

from instructor_embedding.serving import reply, texts
from instructor_embedding.serving.exchange import Exchange, Operation, refuse_left
from instructor_embedding.serving.instructions import lookup
from instructor_embedding.serving.job import Job
from instructor_embedding.serving.schema import Rank, RerankRequest, SimilarityParameters, SimilarityRequest
from instructor_embedding.vectors import Float32, cosines

COSINE = {"x-score": "cosine"}


async def similarity(exchange: Exchange) -> Response:
    """Return the cosine of a sentence with each of the others."""
    asked = await exchange.read(SimilarityRequest)
    options = asked.parameters or SimilarityParameters()
    refuse_left(options.truncation_direction)
    model = exchange.service.served(asked.model)
    named = texts.Asked(options.instruction, options.prompt_name)
    sentences = [asked.inputs.source_sentence, *asked.inputs.sentences]
    inputs = exchange.texts(model, sentences, named, "inputs")
    job = await exchange.compute(model.lane, inputs.inputs, options.truncate)
    return reply.as_json(_cosines(job), reply.headers_of(job, inputs.source) | COSINE)


async def rerank(exchange: Exchange) -> Response:
    """Order texts by their cosine with a query, highest first; INSTRUCTOR is not a cross-encoder."""
    asked = await exchange.read(RerankRequest)
    refuse_left(asked.truncation_direction)
    model = exchange.service.served(asked.model)
    query, document = (
        lookup(model.table, side, None, f"{side}_instruction") if text is None else text
        for side, text in (("query", asked.query_instruction), ("document", asked.document_instruction))
    )
    pairs = [[query, asked.query], *([document, text] for text in asked.texts)]
    inputs = exchange.texts(model, pairs, texts.Asked(), "texts")
    job = await exchange.compute(model.lane, inputs.inputs, asked.truncate)
    scores = _cosines(job)
    order = np.argsort(-scores, kind="stable").tolist()
    ranks = [Rank(index, float(scores[index]), asked.texts[index] if asked.return_text else None) for index in order]
    return reply.encoded(ranks, reply.headers_of(job, inputs.source) | COSINE)


def _cosines(job: Job) -> Float32:
    """Return the cosines of the first text with the others."""
    rows = np.stack(job.rows)
    scores: Float32 = cosines(rows[:1], rows[1:])[0]
    return scores


OPERATIONS = (
    Operation("POST", "/similarity", similarity, SimilarityRequest, list[float], "Cosines of a sentence with others"),
    Operation("POST", "/rerank", rerank, RerankRequest, list[Rank], "Texts ordered by their cosine with a query"),
)
