"""Every set of kernels against the original's vectors: float32 within 1e-6, int8 and bfloat16 by their cosine."""

import numpy as np
import pytest

from instructor_embedding.engine import native_library
from instructor_embedding.engine.backends.native import NativeBackend
from instructor_embedding.model.folder.contents import read_contents
from tests.golden import KINDS
from tests.native import compiled
from tests.native.compiled import NAMES, RUNNING

LEAST = {"exact": 1 - 1e-6, "fast": 0.9995, "int8": 0.999}  # cosine


def cases():
    """Kernels that run here in the quick tests; those whose instructions are emulated in the complete ones."""
    return [pytest.param(name, marks=() if name in RUNNING else pytest.mark.slow) for name in NAMES]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kernels", cases())
def test_vectors_of_the_original(kernels, kind, folders, golden, inputs, monkeypatch):
    libraries = compiled.kernels(kernels)
    if kernels not in [library.name for library in libraries]:
        pytest.skip(f"{kernels} cannot run here")
    monkeypatch.setattr(native_library, "_available", lambda: libraries)
    weights, tokens = read_contents(folders[kind])
    batch, vectors = tokens.pack(inputs["pairs"]), golden[f"{kind}/vectors"]
    if kernels not in RUNNING:  # emulated: the shorter half of the texts takes a twentieth of the time
        short = np.argsort(batch.lengths)[: len(batch) // 2]
        batch, vectors = batch.take(short), vectors[short]
    for precision, name in (("exact", "float32"), ("fast", "bfloat16"), ("int8", "int8")):
        if name in native_library.kernels()[kernels]:
            computed = NativeBackend(weights, precision, 2, kernels).run(batch)
            if precision == "exact":
                assert np.abs(computed - vectors).max() <= 1e-6
            assert (computed * vectors).sum(1).min() >= LEAST[precision]
