"""What users' processes do to the engine: wrong batches, many callers, no threads to be had, exits while it works."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from instructor_embedding.engine import native_encoder, native_library
from instructor_embedding.engine.native_encoder import LayerWeights, NativeEncoder, Parameters, ScratchMemory, Shape
from instructor_embedding.engine.native_library import FLOAT16, FLOAT32, INT4, INT8, Matrix
from instructor_embedding.errors import CheckpointError, InputError
from instructor_embedding.model.packed import Packed

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.skipif(not native_library.kernels(), reason="the compiled engine is not here")
WIDTH, ROWS = 16, 20


def encoder(kind=FLOAT32, scale=1.0):
    """Return an encoder of one layer and its parameters; no torch is involved."""
    random = np.random.RandomState(3)

    def matrix(rows, inputs):
        return Matrix((random.standard_normal((rows, inputs)) * scale / np.sqrt(inputs)).astype(np.float32))

    layer = LayerWeights([matrix(8, WIDTH) for _ in "qkv"], matrix(WIDTH, 8), [matrix(40, WIDTH)], matrix(WIDTH, 40))
    norms = np.ones(WIDTH, np.float32)
    shape = Shape(WIDTH, 2, 4, 40, 1, "relu", False, 1e-6)
    biases = NativeEncoder(shape, [layer], [], kind, lambda length: np.zeros((2, 2 * length - 1), np.float32))
    return biases, Parameters([norms], [norms], norms, matrix(ROWS, WIDTH))


def batch(ids, starts, skip):
    return Packed(*(np.array(values, np.int32) for values in (ids, starts, skip, np.diff(starts))))


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (batch([1, 2], [0, 1, 1, 2], [0, 0, 0]), "text 1 of the batch has 0 tokens"),
        (batch([1, 2], [0, 2], [2]), "text 0 of the batch has 2 tokens and skips 2"),
        (batch([1, 2], [0, 2], [-1]), "text 0 of the batch has 2 tokens and skips -1"),
        (batch([1, 2], [0, 3], [0]), "1 texts and 2 tokens"),
        (batch([1, 2], [1, 2], [0]), "1 texts and 2 tokens"),
        (batch([1, 2, 3], [0, 2, 1, 3], [0, 0, 0]), "text 1 of the batch has -1 tokens"),
        (batch([1, 2], [0, 2], [0, 0]), "2 texts and 2 tokens"),
        (batch([1, ROWS], [0, 2], [0]), f"ids 1 to {ROWS} are outside the table of {ROWS}"),
        (batch([-1, 2], [0, 2], [0]), "ids -1 to 2 are outside"),
    ],
)
def test_wrong_batches_never_reach_c(wrong, error):
    engine, parameters = encoder()
    with pytest.raises((InputError, IndexError), match=error):
        engine.run(wrong, parameters, 1)


def test_no_texts_give_no_vectors():
    engine, parameters = encoder()
    assert engine.run(batch([], [0], []), parameters, 1).shape == (0, WIDTH)


@pytest.mark.parametrize(
    "wrong",
    [
        Matrix(np.zeros((4, WIDTH), np.float64)),
        Matrix(np.zeros(WIDTH, np.float32)),
        Matrix(np.zeros((0, WIDTH), np.float32)),
        Matrix(np.zeros((4, WIDTH), np.float32), FLOAT16),
        Matrix(np.zeros((4, WIDTH), np.int8), INT8),
        Matrix(np.zeros((4, WIDTH), np.int8), INT8, np.zeros(3, np.float32)),
        Matrix(np.zeros((4, WIDTH), np.float32), FLOAT32, np.zeros(4, np.float32)),
        Matrix(np.zeros((4, 16), np.uint8), INT4, np.zeros((4, 1), np.float32)),
    ],
)
def test_matrices_of_another_form_never_reach_c(wrong):
    with pytest.raises(CheckpointError, match="a weight is not a matrix that the engine knows"):
        native_library.library().pack(FLOAT32, [wrong])


def test_widths_that_do_not_fit():
    library = native_library.library()
    narrow, wide = Matrix(np.zeros((4, 8), np.float32), name="q"), Matrix(np.zeros((4, 9), np.float32), name="k")
    with pytest.raises(CheckpointError, match="k has 9 columns; q has 8"):
        library.pack(FLOAT32, [narrow, wide])
    with pytest.raises(CheckpointError, match="has other rows"):
        library.pack(FLOAT32, [narrow, Matrix(np.zeros((5, 8), np.float32), name="k")], gated=True)
    with pytest.raises(CheckpointError, match="65536 columns"):
        library.pack(INT8, [Matrix(np.zeros((1, 65536), np.float32))])
    engine, parameters = encoder()
    with pytest.raises(InputError, match="a parameter has 3 values; 16 are needed"):
        engine.run(batch([1], [0, 1], [0]), parameters._replace(final_norm=np.ones(3, np.float32)), 1)
    with pytest.raises(InputError, match="not a table of 16 columns"):
        engine.run(batch([1], [0, 1], [0]), parameters._replace(table=Matrix(np.ones((9, 8), np.float32))), 1)


@pytest.mark.parametrize("kernels", native_library.kernels())
def test_int8_sums_are_exact(kernels):
    """The largest codes at the largest width: sums that saturate at 16 bits would be far off."""
    library = native_library.library(kernels, INT8)
    if library is None:
        pytest.skip(f"{kernels} has no int8")
    ones = np.ones((1, 4096), np.float32)
    engine_scale = 4096.0  # a relu of ones: codes 255 by 127
    shape = Shape(WIDTH, 2, 4, 4096, 1, "relu", False, 1e-6)
    zeros, wide = np.zeros((8, WIDTH), np.float32), np.ones((4096, WIDTH), np.float32)
    layer = LayerWeights(
        [Matrix(zeros)] * 3, Matrix(np.zeros((WIDTH, 8), np.float32)), [Matrix(wide)], Matrix(ones.repeat(WIDTH, 0))
    )
    engine = NativeEncoder(shape, [layer], [], INT8, lambda n: np.zeros((2, 2 * n - 1), np.float32), kernels)
    norms, table = np.ones(WIDTH, np.float32), Matrix(np.ones((1, WIDTH), np.float32))
    final = np.full(WIDTH, engine_scale, np.float32)
    vectors = engine.run(batch([0], [0, 1], [0]), Parameters([norms], [norms], final, table), 1)
    np.testing.assert_allclose(vectors, engine_scale, rtol=1e-5)


def test_scratch_memory_that_is_kept_is_bounded():
    memory = ScratchMemory()
    sizes = [1 << 20, 40 << 20, 30 << 20, 3 << 20, 2 << 20, 1 << 10, 5 << 20, 100 << 20]
    lent = [memory.of(size) for size in sizes]
    for borrowed in lent:
        with borrowed as array:
            array[:1] = 0
    assert len(memory.kept) <= 4
    assert sum(memory.kept) <= 64 << 20
    with memory.of(1 << 19) as array:
        assert len(array) in sizes  # one of those that were kept


def test_many_callers_leave_few_scratch_buffers():
    engine, parameters = encoder()
    long = Packed.of([[1, 2, 3] * 200] * 4, [0] * 4)
    expected = engine.run(long, parameters, 2)
    with ThreadPoolExecutor(32) as callers:
        for vectors in callers.map(lambda _: engine.run(long, parameters, 2), range(64)):
            np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert len(engine._scratch.kept) <= native_encoder._SCRATCHES


def in_a_process(code, **arguments):
    """Run code that has `engine`, `parameters` and `long` in a process of its own."""
    lines = [
        "import os, sys, threading",
        f"sys.path.insert(0, {str(ROOT)!r})",
        "from tests.native.test_robustness import *",
        "engine, parameters = encoder()",
        "long = Packed.of([[1, 2, 3] * 100] * 20, [0] * 20)",
        code,
    ]
    command = [sys.executable, "-W", "ignore", "-c", "\n".join(lines)]
    return subprocess.run(command, timeout=120, capture_output=True, text=True, **arguments)


def test_threads_that_cannot_be_started_are_done_without():
    """RLIMIT_NPROC does not bind root, so the address space is bounded: no stack fits."""
    pytest.importorskip("resource")
    done = in_a_process("""
import resource
expected = engine.run(long, parameters, 1)
vectors = np.empty_like(expected)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
scratch = np.empty(32 << 20, np.uint8)  # what the run needs, before memory is bounded
engine._scratch.give_back(scratch)
resource.setrlimit(resource.RLIMIT_AS, (used + (36 << 20), resource.RLIM_INFINITY))
vectors = engine.run(long, parameters, 8)
assert abs(vectors - expected).max() < 1e-5
try:
    threading.Thread(target=print).start()
    sys.exit(3)  # the bound does not keep threads from starting here
except RuntimeError:
    pass
""")
    if done.returncode == 3 or "statm" in done.stderr:
        pytest.skip("threads cannot be kept from starting here")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("ending", ["sys.exit(0)", "os._exit(0)"])
def test_an_exit_while_it_works(ending):
    done = in_a_process(f"""
def forever():
    while True:
        engine.run(long, parameters, 4)
for _ in range(3):
    threading.Thread(target=forever, daemon=True).start()
engine.run(long, parameters, 4)
{ending}
""")
    assert done.returncode == 0, done.stderr


def test_encoding_in_an_exit_handler():
    done = in_a_process("""
import atexit
engine.run(long, parameters, 4)
atexit.register(lambda: print(engine.run(long, parameters, 4).shape))
""")
    assert done.stdout.strip() == f"(20, {WIDTH})", done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_forks_while_other_threads_work():
    """The child has a pool of its own; it waits for none of its parent's threads."""
    done = in_a_process("""
expected = engine.run(long, parameters, 1)
stop = threading.Event()
def busy():
    while not stop.is_set():
        engine.run(long, parameters, 4)
threads = [threading.Thread(target=busy) for _ in range(2)]
[thread.start() for thread in threads]
codes = []
for _ in range(20):
    child = os.fork()
    if not child:
        os._exit(0 if abs(engine.run(long, parameters, 4) - expected).max() < 1e-5 else 1)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stop.set()
[thread.join() for thread in threads]
sys.exit(max(codes))
""")
    assert done.returncode == 0, done.stderr
