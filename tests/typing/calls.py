"""Right and wrong calls of the public interface: mypy reads this file, nobody runs it. Wrong calls are marked."""

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from instructor_embedding import INSTRUCTOR, Encoder, Pair

Array = NDArray[np.float32]
model = INSTRUCTOR("folder", device="cpu", precision="int8")
pairs = [["Represent the title:", "rye bread"]]
pair = Pair("Represent the title:", "rye bread")

assert_type(model.encode(pairs), Array)
assert_type(model.encode(pairs, 64), Array)
assert_type(model.encode("a text", instruction="Represent the text:", truncate="error"), Array)
assert_type(model.encode(pairs, convert_to_tensor=True), Tensor)
assert_type(model.encode(pair, convert_to_tensor=True, device="cpu"), Tensor)
assert_type(model.encode(pairs, convert_to_numpy=False), list[Tensor])
assert_type(model.encode(pair, convert_to_numpy=False), Tensor)
assert_type(model.encode(pairs, output_value="token_embeddings"), list[Tensor])
assert_type(model.encode("a text", output_value="token_embeddings"), Tensor)
assert_type(model.encode(pairs, output_value=None), list[dict[str, Tensor]])
assert_type(model.encode(pair, output_value=None), dict[str, Tensor])
assert_type(next(model.encode_stream(iter(["a"]))), Array)
assert_type(model.similarity(model.encode(pairs), model.encode(pairs)), Tensor)
assert_type(model.refresh(), None)
assert_type(Encoder("folder", threads=2).encode(pairs), Array)
assert_type(model.encode_query("a text"), Array)
assert_type(model.encode_query(pairs, 64, prompt_name="query", truncate_dim=128), Array)
assert_type(model.encode_document(["a text"], convert_to_tensor=True), Tensor)
assert_type(model.encode_document(["a text"], convert_to_numpy=False), list[Tensor])
assert_type(Encoder().encode_query("a text", normalize_embeddings=True), Array)
assert_type(Encoder().similarity([[1.0]], [[2.0]]), Array)

INSTRUCTOR("folder", devise="cpu")  # wrong
INSTRUCTOR("folder", precision=8)  # wrong
model.encode(pairs, batchsize=3)  # wrong
model.encode(pairs, truncate="warning")  # wrong
model.encode(pairs, output_value="sentence_embeddings")  # wrong
model.encode_stream(pairs, batch_sise=3)  # wrong
model.save("folder", layuot="legacy-1.0")  # wrong
Encoder("folder", thread=2)  # wrong
Encoder("folder").encode(pairs, convert_to_tensor=True)  # wrong
model.encode_query(pairs, promt_name="query")  # wrong
model.encode_document(pairs, precision="int8")  # wrong
Encoder("folder").encode_query(pairs, device="cpu")  # wrong
INSTRUCTOR("folder", trust_remote_cod=False)  # wrong
vectors: list[Any] = model.encode(pairs)  # wrong
