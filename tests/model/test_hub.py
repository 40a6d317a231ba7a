"""Hub ids: downloads what a model needs, works from the cache without a network, and says what is wrong."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.model import folders as layouts
from tests.model.small_hub import running

ENCODE = "print(json.dumps(model.encode(['a cat', 'a dog']).tolist()))"


@pytest.fixture
def hub(folders, tmp_path):
    layouts.copied(folders["relu"], tmp_path / "hub" / "hkunlp" / "instructor-tiny")
    layouts.hkunlp(tmp_path / "hub" / "hkunlp" / "instructor-tiny")
    layouts.copied(folders["relu"], tmp_path / "hub" / "sentence-transformers" / "gtr-t5-tiny")
    with running(tmp_path / "hub") as server:
        yield server


def run(tmp_path, hub_url, code, **environment):
    """Run code that loads a model, in a process of its own with its own cache."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "SENTENCE_"))}
    done = subprocess.run(
        [sys.executable, "-c", f"import json\nfrom InstructorEmbedding import INSTRUCTOR\n{code}"],
        capture_output=True,
        text=True,
        env=clean | {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub_url, **environment},
    )
    return done


def vectors_of(done):
    assert done.returncode == 0, done.stderr
    return np.array(json.loads(done.stdout))


def error_of(done):
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


def test_hub_id_then_offline(hub, tmp_path, models):
    expected = models["relu"].encode(["a cat", "a dog"])
    code = f"model = INSTRUCTOR('hkunlp/instructor-tiny')\n{ENCODE}"
    np.testing.assert_allclose(vectors_of(run(tmp_path, hub.url, code)), expected, atol=1e-6)
    asked = len(hub.requests)
    for environment in ({"HF_HUB_OFFLINE": "1"}, {}):
        local = "" if environment else ", local_files_only=True"
        again = run(tmp_path, hub.url, code.replace("')", f"'{local})", 1), **environment)
        np.testing.assert_allclose(vectors_of(again), expected, atol=1e-6)
    assert len(hub.requests) == asked
    dead = run(tmp_path, "http://127.0.0.1:9", code)
    np.testing.assert_allclose(vectors_of(dead), expected, atol=1e-6)


def test_one_format_of_the_weights_is_downloaded(hub, tmp_path):
    folder = hub.root / "hkunlp" / "instructor-tiny"
    both = tmp_path / "both"
    shutil.copytree(folder, both)
    layouts.as_safetensors(both)
    shutil.copy(both / "model.safetensors", folder)
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"x" * 1000)
    (folder / "tf_model.h5").write_bytes(b"x" * 1000)
    vectors_of(run(tmp_path, hub.url, f"model = INSTRUCTOR('hkunlp/instructor-tiny')\n{ENCODE}"))
    fetched = {request.rpartition("/")[2] for request in hub.requests if request.startswith("GET hkunlp")}
    assert "model.safetensors" in fetched
    assert not fetched & {"model.onnx", "tf_model.h5", "README.md"}
    assert sum("pytorch_model.bin" in request for request in hub.requests if request.startswith("GET")) == 1  # Dense


def test_sharded_on_the_hub(hub, tmp_path):
    folder = hub.root / "hkunlp" / "instructor-tiny"
    layouts.as_safetensors(folder)
    layouts.sharded(folder)
    vectors_of(run(tmp_path, hub.url, f"model = INSTRUCTOR('hkunlp/instructor-tiny')\n{ENCODE}"))


def test_a_name_without_owner_is_sentence_transformers(hub, tmp_path):
    vectors_of(run(tmp_path, hub.url, f"model = INSTRUCTOR('gtr-t5-tiny', cache_folder='{tmp_path}/cache')\n{ENCODE}"))
    assert list((tmp_path / "cache").glob("models--sentence-transformers--gtr-t5-tiny"))


def test_cache_of_the_old_variable(hub, tmp_path):
    code = f"model = INSTRUCTOR('gtr-t5-tiny')\n{ENCODE}"
    vectors_of(run(tmp_path, hub.url, code, SENTENCE_TRANSFORMERS_HOME=str(tmp_path / "old")))
    assert list((tmp_path / "old").glob("models--*"))


def test_tokens(hub, tmp_path):
    hub.token = "secret"
    for option in ("token", "use_auth_token"):
        code = f"model = INSTRUCTOR('hkunlp/instructor-tiny', {option}='secret')\n{ENCODE}"
        vectors_of(run(tmp_path, hub.url, code))
    refused = error_of(run(tmp_path / "other", hub.url, "INSTRUCTOR('hkunlp/instructor-tiny')"))
    assert "private: pass token=..." in refused


ERRORS = {
    "INSTRUCTOR('hkunlp/nothing')": "the hub has no model 'hkunlp/nothing'",
    "INSTRUCTOR('nothing')": "the hub has no model 'sentence-transformers/nothing'",
    "INSTRUCTOR('hkunlp/instructor-tiny', revision='v9')": "hkunlp/instructor-tiny has no revision 'v9'",
    "INSTRUCTOR('hkunlp/other', local_files_only=True)": "not in the cache and local_files_only was requested",
    "INSTRUCTOR('./nothing/here')": "there is no folder './nothing/here'; pass a folder or a hub id",
    "INSTRUCTOR('a/b/c')": "there is no folder 'a/b/c'",
    "INSTRUCTOR('')": "model_name_or_path must be a folder or a hub id, got ''",
    "INSTRUCTOR(None)": "model_name_or_path must be a folder or a hub id, got None",
    "INSTRUCTOR('x', model_kwargs={})": "unexpected keyword argument 'model_kwargs'",
    "INSTRUCTOR('x', cache_dir='y')": "did you mean 'cache_folder'",
    "INSTRUCTOR('x', backend='onx')": "backend='onx' is unknown",
    "INSTRUCTOR('x', dtype='float46')": "dtype='float46' is unknown; did you mean 'float16'",
    "INSTRUCTOR('me/notes')": "holds no config.json",
}


def test_errors(hub, tmp_path):
    (hub.root / "me" / "notes").mkdir(parents=True)
    (hub.root / "me" / "notes" / "README.md").write_text("x")
    code = f"""
found = []
for line in {list(ERRORS)!r}:
    try:
        eval(line)
        found.append("no error")
    except Exception as error:
        found.append(f"{{type(error).__name__}}: {{error}}")
print(json.dumps(found))"""
    done = run(tmp_path, hub.url, code)
    assert done.returncode == 0, done.stderr
    for error, (line, message) in zip(json.loads(done.stdout), ERRORS.items(), strict=True):
        assert message in error, line


def test_unreachable_and_not_cached(tmp_path):
    message = error_of(run(tmp_path, "http://127.0.0.1:9", "INSTRUCTOR('hkunlp/instructor-large')"))
    assert "the hub cannot be reached" in message
    assert "pass the folder" in message


def test_push(hub, tmp_path, folders):
    code = (
        f"model = INSTRUCTOR({str(folders['relu'])!r})\n"
        "print(model.push_to_hub('me/pushed', token='t'))\n"
        f"model = INSTRUCTOR('me/pushed')\n{ENCODE}"
    )
    done = run(tmp_path, hub.url, code)
    assert done.returncode == 0, done.stderr
    address, vectors = done.stdout.splitlines()
    assert address.startswith(f"{hub.url}/me/pushed/commit/")
    assert np.array(json.loads(vectors)).shape == (2, 48)
    assert (hub.root / "me" / "pushed" / "modules.json").is_file()
