"""Run by cibuildwheel in the environment that it installed a wheel into: the compiled engine is there and exact.

It needs neither torch nor a model: an encoder of one layer, beside the same arithmetic in numpy.
"""

import sys
from importlib.resources import files

import numpy as np

from instructor_embedding.engine import native_library
from instructor_embedding.engine.native_encoder import LayerWeights, NativeEncoder, Parameters, Shape
from instructor_embedding.engine.native_library import Matrix
from instructor_embedding.model.packed import Packed

WIDTH, HEADS, HEAD, INNER, ROWS = 24, 2, 8, 40, 30


def norm(x):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)


def expected(ids, table, q, k, v, o, up, down):
    hidden = table[ids]
    x = norm(hidden)
    mixed = []
    for head in range(HEADS):
        rows = slice(head * HEAD, (head + 1) * HEAD)
        scores = (x @ q[rows].T) @ (x @ k[rows].T).T
        weights = np.exp(scores - scores.max(1, keepdims=True))
        mixed.append(weights / weights.sum(1, keepdims=True) @ (x @ v[rows].T))
    hidden = hidden + np.concatenate(mixed, 1) @ o.T
    hidden = hidden + np.maximum(norm(hidden) @ up.T, 0) @ down.T
    return norm(hidden).mean(0)


def main():
    random = np.random.RandomState(1)
    shapes = [(HEADS * HEAD, WIDTH)] * 3 + [(WIDTH, HEADS * HEAD), (INNER, WIDTH), (WIDTH, INNER)]
    q, k, v, o, up, down = (random.standard_normal(shape) / 4 for shape in shapes)
    table, ids = random.standard_normal((ROWS, WIDTH)), random.randint(0, ROWS, 17)
    single = [Matrix(weight.astype(np.float32)) for weight in (q, k, v, o, up, down)]
    layer = LayerWeights(single[:3], single[3], [single[4]], single[5])
    shape, ones = Shape(WIDTH, HEADS, HEAD, INNER, 1, "relu", False, 1e-6), np.ones(WIDTH, np.float32)
    parameters = Parameters([ones], [ones], ones, Matrix(table.astype(np.float32)))
    reference = expected(ids, table, q, k, v, o, up, down)
    names = list(native_library.kernels())
    for name in names:
        for kind, tolerance in ((native_library.FLOAT32, 1e-5), (native_library.INT8, 0.1)):
            if not native_library.supports(kind, name):
                continue
            engine = NativeEncoder(
                shape, [layer], [], kind, lambda n: np.zeros((HEADS, 2 * n - 1), np.float32), kernels=name
            )
            for threads in (1, 3):
                vectors = engine.run(Packed.of([ids.tolist()], [0]), parameters, threads)
                np.testing.assert_allclose(vectors[0], reference, atol=tolerance)
    assert files("instructor_embedding").joinpath("bundled", "NOTICE").is_file()
    print(f"kernels: {', '.join(names) or 'none'}")
    return 0 if names else 1


if __name__ == "__main__":
    sys.exit(main())
