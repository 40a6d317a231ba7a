"""Every set of kernels against plain C on random models: here, emulated, and for aarch64 under qemu."""

import shutil
import subprocess

import numpy as np
import pytest

from instructor_embedding.engine.native_library import ACTIVATIONS
from instructor_embedding.model.folder.arrays import floats
from instructor_embedding.model.folder.contents import read_contents
from instructor_embedding.model.position import distance_bias
from instructor_embedding.model.projection import normalized, project
from tests.golden import KINDS
from tests.native import compiled

LEAST = {"float32": 1 - 1e-6, "bfloat16": 0.9995, "int8": 0.999}  # cosine to the original's vectors
CPUS = {  # of qemu, and the kernels and kinds that run there
    "max": {("neon_bf16", "bfloat16"), ("neon_dotprod", "int8"), ("neon", "float32"), ("plain", "int8")},
    "cortex-a72": {("neon", "float32"), ("neon", "int8"), ("plain", "float32"), ("plain", "int8")},
}


def run(target, *arguments, prefix=()):
    done = subprocess.run([*prefix, target, *arguments], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def kinds(output):
    """The kernels and kinds that a run compared."""
    return {tuple(line.split(":")[0].split()) for line in output.splitlines()}


@pytest.mark.slow
def test_kernels_of_this_machine_and_emulated_ones(tmp_path):
    if compiled.MACHINE != "x86_64" or not shutil.which("cc"):
        pytest.skip("there is no compiler for x86-64 here")
    problem = compiled.compile_driver(tmp_path / "driver", ["cc"], ["-O1"], emulated=True)
    assert not problem, problem
    compared = kinds(run(tmp_path / "driver", "compare", "8"))
    assert {("avx512_bf16", "bfloat16"), ("avx512_vnni", "int8"), ("avx2_vnni", "int8"), ("plain", "int8")} <= compared


@pytest.fixture(scope="session")
def aarch64(tmp_path_factory):
    """The driver for aarch64 and the emulator that runs it."""
    compiler, emulator = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")
    if not compiler or not emulator:
        pytest.skip("needs Debian's gcc-aarch64-linux-gnu and qemu-user")
    target = tmp_path_factory.mktemp("aarch64") / "driver"
    problem = compiled.compile_driver(target, [compiler], ["-O2", "-static"], machine="aarch64")
    assert not problem, problem
    return target, emulator


@pytest.mark.slow
@pytest.mark.parametrize("cpu", CPUS)
def test_kernels_of_aarch64_under_qemu(cpu, aarch64):
    driver, emulator = aarch64
    compared = kinds(run(driver, "compare", "8", prefix=[emulator, "-cpu", cpu]))
    assert CPUS[cpu] <= compared
    assert cpu == "max" or compared == CPUS[cpu]  # a CPU without dot products never enters their kernels


def written(weights, batch, file):
    """Write a model and a batch as the driver reads them; returns the dense layers that are left to Python."""
    config, tensors = weights.config, weights.tensors
    in_c = all(layer.bias is None and layer.activation.endswith("Identity") for layer in weights.dense)
    dense = [floats(layer.weight) for layer in weights.dense] if in_c else []
    ids, where = np.unique(batch.ids, return_inverse=True)
    longest = int(batch.lengths.max())
    blocks = [f"blocks.{number}." for number in range(config.num_layers)]
    norms = [tensors[f"{block}{name}_norm.weight"] for block in blocks for name in ("attention", "feed_forward")]
    up = ("wi_0", "wi_1") if config.gated else ("wi",)
    names = [*(f"attention.{name}" for name in "qkvo"), *(f"feed_forward.{name}" for name in (*up, "wo"))]
    matrices = [tensors[f"{block}{name}.weight"] for block in blocks for name in names]
    table = tensors["embedding.weight"]
    bias = distance_bias(floats(tensors["relative_bias.weight"]), longest, config)
    header = [
        config.d_model, config.num_heads, config.d_kv, config.d_ff, config.num_layers,
        ACTIVATIONS.index(config.activation), config.gated, len(dense[0]) if dense else 0, len(table), len(batch),
        longest, len(batch.ids), len(ids),
    ]  # fmt: skip
    integers = [np.array(array, np.int32) for array in (ids, where.ravel(), batch.starts, batch.skip)]
    single = [floats(array) for array in (table, *norms, tensors["final_norm.weight"], *matrices, *dense)]
    file.write_bytes(b"".join(array.tobytes() for array in (np.array(header, np.int32), *single, *integers, bias)))
    return () if in_c else weights.dense


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cpu", CPUS)
def test_vectors_of_the_original_under_qemu(cpu, kind, aarch64, folders, golden, inputs, tmp_path):
    driver, emulator = aarch64
    weights, tokens = read_contents(folders[kind])
    short = [row for row, length in enumerate(tokens.count(inputs["pairs"])) if length <= 40]  # an emulator is slow
    assert len(short) > 30
    batch = tokens.pack([inputs["pairs"][row] for row in short])
    dense = written(weights, batch, tmp_path / "model")
    (tmp_path / "vectors").mkdir()
    run(driver, "encode", tmp_path / "model", tmp_path / "vectors", prefix=[emulator, "-cpu", cpu])
    files = list((tmp_path / "vectors").iterdir())
    assert CPUS[cpu] <= {tuple(file.name.split("-")) for file in files}
    for file in files:
        vectors = normalized(project(np.fromfile(file, np.float32).reshape(len(batch), -1), dense))
        expected, least = golden[f"{kind}/vectors"][short], LEAST[file.name.split("-")[1]]
        if least > 0.9999:
            assert np.abs(vectors - expected).max() <= 1e-6, file.name
        assert (vectors * expected).sum(1).min() >= least, file.name


def test_every_kernel_compiles_for_its_cpu(tmp_path):
    """AVX-512 code too, which few machines that run this test have."""
    if not shutil.which("cc"):
        pytest.skip("there is no C compiler here")
    problem = compiled.compile_driver(tmp_path / "driver", ["cc"], ["-O1", "-Werror"])
    assert not problem, problem
