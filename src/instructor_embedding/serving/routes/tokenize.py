"""``/tokenize``: what the model reads of a text."""

from __future__ import annotations

from starlette.responses import Response

from instructor_embedding.instruction import Pair
from instructor_embedding.serving import reply, texts
from instructor_embedding.serving.exchange import Exchange, Operation
from instructor_embedding.serving.refusal import RefusedError
from instructor_embedding.serving.schema import Token, TokenizeRequest
from instructor_embedding.serving.service import Served

LONGEST = 1_000_000  # characters of a request; they are tokenized in the event loop


async def tokenize(exchange: Exchange) -> Response:
    """Return the tokens of each text, its instruction's first, before truncation."""
    asked = await exchange.read(TokenizeRequest, queued=False)
    model = exchange.service.served(asked.model)
    inputs = exchange.texts(model, asked.inputs, texts.Asked.of(asked))
    pairs = [item for item in inputs.inputs if isinstance(item, Pair)]
    if sum(len(pair.instruction) + len(pair.text) for pair in pairs) > LONGEST:
        raise RefusedError(413, f"at most {LONGEST} characters are tokenized in a request; send several")
    rows = [_tokens(model, pair, asked.add_special_tokens is not False) for pair in pairs]
    return reply.encoded(rows, {"x-instruction": inputs.source})


def _tokens(model: Served, pair: Pair, special: bool) -> list[Token]:
    text = (pair.instruction + pair.text.strip()).strip()
    encoding = model.tokens.tokenizer.encode(text.lower() if model.tokens.lower else text, add_special_tokens=special)
    rows = zip(encoding.ids, encoding.tokens, encoding.special_tokens_mask, encoding.offsets, strict=True)
    return [
        Token(number, piece, bool(mask), None if mask else start, None if mask else stop)
        for number, piece, mask, (start, stop) in rows
    ]


OPERATIONS = (
    Operation("POST", "/tokenize", tokenize, TokenizeRequest, list[list[Token]], "Tokens of texts and instructions"),
)
