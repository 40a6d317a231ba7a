"""What the server says of its own: facts, health, metrics, named instructions, the OpenAPI document."""

from __future__ import annotations

from starlette.responses import Response

from instructor_embedding.serving import reply
from instructor_embedding.serving.exchange import Exchange, Operation
from instructor_embedding.serving.schema import Info, NamedInstruction, Status
from instructor_embedding.version import __version__


async def info(exchange: Exchange) -> Response:
    """Return the server's facts and limits."""
    service = exchange.service
    first, limits = service.models[0].facts, service.limits
    facts = Info(
        model_id=first.id,
        model_sha=first.fingerprint,
        model_dtype=first.precision,
        model_type={"embedding": {"pooling": "mean over the text, without its instruction"}},
        max_input_length=first.max_input_length,
        max_batch_tokens=limits.batch_tokens,
        max_client_batch_size=limits.client_batch,
        max_body=limits.body,
        max_queue_tokens=limits.queue_tokens,
        max_wait=limits.wait,
        auto_truncate=True,
        tokenization_workers=1,
        version=__version__,
        score="cosine",
        default_instruction=service.default_instruction,
        models=[model.facts for model in service.models],
    )
    return reply.encoded(facts)


async def health(exchange: Exchange) -> Response:
    """Answer as long as the process lives; for liveness probes."""
    return reply.encoded(Status("ok"))


async def ready(exchange: Exchange) -> Response:
    """Answer 200 while requests are taken, 503 before and while the server stops; for readiness probes."""
    service = exchange.service
    if service.ready and not service.queue.draining:
        return reply.encoded(Status("ready"))
    return reply.encoded(Status("draining" if service.queue.draining else "loading"), status=503)


async def metrics(exchange: Exchange) -> Response:
    """Return metrics for Prometheus."""
    text, media = exchange.service.metrics.page()
    return Response(text, headers={"content-type": media})


async def instructions(exchange: Exchange) -> Response:
    """List the named instructions of a model."""
    table = exchange.service.served(exchange.request.query_params.get("model")).table
    rows = [NamedInstruction(name, side, text) for name, sides in table.items() for side, text in sides.items()]
    return reply.encoded(rows)


OPERATIONS = (
    Operation("GET", "/info", info, None, Info, "Facts and limits of the server"),
    Operation("GET", "/health", health, None, Status, "Whether the process lives"),
    Operation("GET", "/ready", ready, None, Status, "Whether requests are taken", errors=(503,)),
    Operation("GET", "/metrics", metrics, None, str, "Metrics for Prometheus", ("text/plain",)),
    Operation("GET", "/instructions", instructions, None, list[NamedInstruction], "Named instructions", errors=(404,)),
)
OPEN = ("/health", "/ready")  # need no API key
