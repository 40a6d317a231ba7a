"""Every set of kernels against plain C on random models: here, emulated, and for aarch64 under qemu."""

import shutil
import subprocess

import pytest

from tests.native import compiled


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


@pytest.mark.slow
@pytest.mark.parametrize(("cpu", "expected"), [
    ("max", {("neon_bf16", "bfloat16"), ("neon_dotprod", "int8"), ("neon", "float32"), ("plain", "int8")}),
    ("cortex-a72", {("neon", "float32"), ("neon", "int8"), ("plain", "float32"), ("plain", "int8")}),
])  # fmt: skip
def test_kernels_of_aarch64_under_qemu(cpu, expected, tmp_path):
    compiler, emulator = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")
    if not compiler or not emulator:
        pytest.skip("needs Debian's gcc-aarch64-linux-gnu and qemu-user")
    problem = compiled.compile_driver(tmp_path / "driver", [compiler], ["-O2", "-static"], machine="aarch64")
    assert not problem, problem
    compared = kinds(run(tmp_path / "driver", "compare", "8", prefix=[emulator, "-cpu", cpu]))
    assert expected <= compared
    assert cpu == "max" or compared == expected  # a CPU without dot products never enters their kernels


def test_every_kernel_compiles_for_its_cpu(tmp_path):
    """AVX-512 code too, which few machines that run this test have."""
    if not shutil.which("cc"):
        pytest.skip("there is no C compiler here")
    problem = compiled.compile_driver(tmp_path / "driver", ["cc"], ["-O1", "-Werror"])
    assert not problem, problem
