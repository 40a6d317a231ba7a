"""What a type checker says of right and wrong calls."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CALLS = ROOT / "tests" / "typing" / "calls.py"


@pytest.mark.slow
def test_mypy_accepts_right_calls_and_refuses_wrong_ones(tmp_path):
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path), str(CALLS)]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    reported = {int(number) for number in re.findall(r"calls\.py:(\d+): error", output)}
    lines = CALLS.read_text(encoding="utf-8").splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert len(wrong) >= 10
    assert reported == wrong, output


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        ("INSTRUCTOR(devise='cpu')", "'devise'; did you mean 'device'"),
        ("model.encode(['a'], batchsize=3)", "'batchsize'; did you mean 'batch_size'"),
        ("model.encode(['a'], normalise_embeddings=True)", "did you mean 'normalize_embeddings'"),
        ("model.encode_stream(['a'], batchsize=3)", "did you mean 'batch_size'"),
        ("model.save('x', layuot='legacy-1.0')", "did you mean 'layout'"),
        ("Encoder(thread=2)", "did you mean 'threads'"),
    ],
)
def test_a_misspelled_keyword_names_the_nearest(call, hint, models):
    from instructor_embedding import INSTRUCTOR, Encoder

    with pytest.raises(TypeError, match=re.escape(hint)):
        eval(call, {"model": models["relu"], "INSTRUCTOR": INSTRUCTOR, "Encoder": Encoder})
