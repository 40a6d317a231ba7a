"""The unmaintained package InstructorEmbedding shares our import folder: both orders of installing and uninstalling."""

import base64
import hashlib
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import instructor_embedding
from instructor_embedding import namesake

pytestmark = pytest.mark.slow

SOURCE = Path(instructor_embedding.__file__).parents[1]
OTHER = {
    "InstructorEmbedding/__init__.py": "from .instructor import *\n",
    "InstructorEmbedding/instructor.py": "class INSTRUCTOR:\n    pass\n",
}


def write_wheel(folder, name, version, files):
    """Write a pure wheel, with the metadata that pip needs to install and uninstall it."""
    label = f"{name.replace('-', '_')}-{version}"
    files = files | {
        f"{label}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{label}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    path = folder / f"{label}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{file},sha256={digest},{len(text.encode())}\n"
        wheel.writestr(f"{label}.dist-info/RECORD", f"{record}{label}.dist-info/RECORD,,\n")
    return path


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    modules = ["InstructorEmbedding/__init__.py", "InstructorEmbedding/instructor.py"]
    modules += [f"instructor_embedding/{name}.py" for name in ("version", "errors", "namesake")]
    ours = {name: (SOURCE / name).read_text(encoding="utf-8") for name in modules}
    ours["instructor_embedding/__init__.py"] = ""
    return {
        "ours": write_wheel(folder, "instructor-embed", "0.2.0", ours),
        "other": write_wheel(folder, "InstructorEmbedding", "1.0.1", OTHER),
    }


@pytest.fixture
def environment(tmp_path):
    """An empty environment: a function that runs pip in it, and one that returns the package's report."""
    folder = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"

    def pip(*arguments):
        command = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", *arguments]
        subprocess.run(command, check=True, capture_output=True)

    def report():
        code = "from instructor_embedding import namesake; print(namesake.state()); print(namesake.problem())"
        done = subprocess.run([python, "-I", "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path)
        state, problem = done.stdout.splitlines()
        return state, problem

    if sysconfig.get_platform().startswith("win"):
        pytest.skip("the layout of environments on Windows differs")
    return pip, report


def test_theirs_after_ours(environment, wheels):
    pip, report = environment
    install = ("install", "--no-index", "--no-deps", "--force-reinstall")
    pip(*install, wheels["ours"])
    assert report() == ("ours", "None")
    pip(*install, wheels["other"])
    state, problem = report()
    assert state == "replaced"
    assert "gives the unmaintained package InstructorEmbedding 1.0.1" in problem
    assert namesake.REPAIR in problem
    # the repair that the message gives
    pip("uninstall", "-y", "InstructorEmbedding")
    assert report()[0] == "missing"
    pip(*install, wheels["ours"])
    assert report() == ("ours", "None")


def test_ours_after_theirs(environment, wheels):
    pip, report = environment
    install = ("install", "--no-index", "--no-deps")
    pip(*install, wheels["other"])
    pip(*install, wheels["ours"])
    state, problem = report()
    assert state == "ours"
    assert "is installed too" in problem
    pip("uninstall", "-y", "InstructorEmbedding")
    state, problem = report()
    assert state == "missing"
    assert "--force-reinstall --no-deps instructor-embed" in problem


def test_a_warning_where_ours_was_replaced(monkeypatch):
    monkeypatch.setattr(namesake, "state", lambda: namesake.REPLACED)
    with pytest.warns(UserWarning, match="unmaintained package"):
        namesake.warn_if_replaced()
    monkeypatch.undo()
    namesake.warn_if_replaced()
