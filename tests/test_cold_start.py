"""What loads when: importing the package and asking the command for help must not load torch."""

import subprocess
import sys
import time

import pytest

HEAVY = ("torch", "transformers", "tokenizers", "huggingface_hub", "pyarrow", "sentence_transformers", "mteb")


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def loaded_after(code):
    return set(python(f"{code}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"))


def test_import_loads_nothing_heavy():
    assert loaded_after("import instructor_embedding") == set()
    assert loaded_after("from instructor_embedding import Instruction, Pair, as_pairs, InputError") == set()


def test_import_takes_under_a_fifth_of_a_second():
    code = "import time; t = time.perf_counter(); import instructor_embedding; print(time.perf_counter() - t)"
    assert min(float(python(code)[0]) for _ in range(3)) < 0.2


def test_help_does_not_load_torch():
    for arguments in (["--help"], ["encode", "--help"], ["--version"]):
        code = (
            f"import sys; sys.argv[1:] = {arguments!r}\n"
            "from instructor_embedding.cli.main import main\n"
            "try: main()\nexcept SystemExit: pass"
        )
        assert not loaded_after(code) & {"torch", "transformers", "tokenizers", "huggingface_hub"}, arguments


def test_encoding_loads_neither_transformers_nor_sentence_transformers():
    assert not loaded_after("from instructor_embedding import INSTRUCTOR") & {"transformers", "sentence_transformers"}


def test_a_vector_does_not_load_the_compiler_of_torch(folders):
    code = f"from instructor_embedding import INSTRUCTOR; INSTRUCTOR({str(folders['relu'])!r}).encode(['A text.'])"
    assert python(f"{code}\nimport sys\nprint('torch._dynamo' in sys.modules, 'sympy' in sys.modules)") == ["False"] * 2


def test_a_wrong_option_is_told_at_once():
    start = time.perf_counter()
    code = "import sys; sys.argv[1:] = ['encode', '--nonsense']\nfrom instructor_embedding.cli.main import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "--nonsense" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.perf_counter() - start < 5


def test_commands_that_encode_do_not_load_torch():
    from instructor_embedding.engine.native_library import kernels

    if not kernels():
        pytest.skip("the compiled engine is not available")
    for arguments in (["similarity", "a", "b", "--device", "cpu"], ["info"]):
        code = (
            f"import sys; sys.argv[1:] = {arguments!r}\n"
            "from instructor_embedding.cli.main import main\n"
            "try: main()\nexcept SystemExit as stop: assert not stop.code"
        )
        assert "torch" not in loaded_after(code), arguments
