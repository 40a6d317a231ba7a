"""One vocabulary: names of flags, lists of values, and the spellings that are still accepted."""

import re

import pytest
from typer.main import get_command

from instructor_embedding.cli import options
from instructor_embedding.cli.app import app


def verbs(group=None, path=()):
    """Yield name and command of every verb."""
    for name, command in (group or get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from verbs(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


VERBS = dict(verbs())


@pytest.mark.parametrize("verb", VERBS)
def test_flags_are_kebab_case_and_explained(verb):
    for parameter in VERBS[verb].params:
        for flag in (*parameter.opts, *parameter.secondary_opts):
            if flag.startswith("-"):
                assert re.fullmatch(r"-[a-z]|--[a-z0-9]+(-[a-z0-9]+)*", flag), flag
                assert parameter.help, f"{verb} {flag}"


@pytest.mark.parametrize("verb", VERBS)
def test_the_model_is_always_m(verb):
    for parameter in VERBS[verb].params:
        if "--model" in parameter.opts:
            assert "-m" in parameter.opts
        assert "--model-name" not in parameter.opts
        if parameter.name == "output" and "-o" not in parameter.opts:
            raise AssertionError(f"{verb}: {parameter.opts}")


def test_values_are_those_of_the_library():
    from instructor_embedding import INSTRUCTOR, InputError

    for keyword, values in (
        ("dtype", options.DTYPES),
        ("precision", options.PRECISIONS),
        ("backend", options.BACKENDS),
    ):
        with pytest.raises(InputError) as caught:
            INSTRUCTOR(**{keyword: "nonsense"})
        known = re.search(r"known: (.*)", str(caught.value))[1]
        assert tuple(known.replace("'", "").split(", ")) == values


@pytest.mark.parametrize(
    "arguments",
    [
        ["info", "MODEL"],
        ["info", "--model", "MODEL"],
        ["info", "--model_name", "MODEL"],
        ["similarity", "a", "b", "--model-name", "MODEL"],
        ["bench", "MODEL", "--texts", "2", "--rounds", "1"],
    ],
)
def test_former_spellings(arguments, command, folders):
    done = command(*[str(folders["relu"]) if word == "MODEL" else word for word in arguments], model=False)
    assert done.code == 0, done.err


def test_former_positional_arguments(command, folders, tmp_path):
    done = command("quantize", folders["relu"], tmp_path / "small", model=False)
    assert done.code == 0, done.err
    assert (tmp_path / "small" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "x", "-m", "y"], "the model was given twice"),
        (["quantize"], "the model is missing: -m MODEL"),
        (["quantize", "-m", "x"], "the folder to write is missing: -o FOLDER"),
        (["export", "onnx", "a", "b", "c"], "unexpected argument 'c'"),
        (["encode", "--precision", "exakt"], "did you mean 'exact'"),
        (["encode", "--backend", "onx"], "did you mean 'onnx'"),
        (["encode", "--dtype", "float23"], "did you mean 'float32'"),
        (["encode", "--instuction", "x"], "--instruction"),
        (["encod"], "'encode'"),
    ],
)
def test_mistakes_have_a_hint(arguments, message, command):
    done = command(*arguments, model=False)
    assert done.code == 2
    assert message in done.err


def test_mistakes_are_reported_before_the_model_is_loaded(command, monkeypatch, tmp_path):
    def load(*_arguments, **_options):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(options, "load", load)
    (tmp_path / "rows.csv").write_text("title,id\nrye,1\n")
    for arguments in (
        ["encode", tmp_path / "rows.csv"],
        ["encode", tmp_path / "rows.csv", "--text-column", "title", "--keep", "no"],
        ["encode", tmp_path / "rows.csv", "--text-column", "title", "-o", tmp_path],
        ["encode", tmp_path / "rows.csv", "--text-column", "title", "--truncate", "never"],
        ["encode", tmp_path / "missing.csv"],
        ["encode", "--batch-size", "0"],
        ["encode", "--encoding", "utf-99"],
    ):
        done = command(*arguments, stdin="a\n", model=False)
        assert done.code == 2, done.err
        assert len(done.err.splitlines()) == 1


def test_a_model_name_with_a_slip(command, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = command("info", "-m", "instructor-mimi", model=False)
    assert done.code == 1
    assert "did you mean 'instructor-mini'?" in done.err


def test_kept_columns(command, tmp_path):
    import json

    (tmp_path / "rows.csv").write_text("id;text\n7;rye\n8;\n")
    done = command("encode", tmp_path / "rows.csv", "--delimiter", ";", "--keep", "id")
    assert done.code == 0, done.err
    assert [json.loads(line)["id"] for line in done.out.splitlines()] == ["7", "8"]
    assert "1 empty (the first: line 3)" in done.err


def test_doctor(command, monkeypatch):
    from instructor_embedding import namesake

    done = command("doctor", model=False)
    assert done.code == 0, done.out
    assert "InstructorEmbedding: ours" in done.out
    assert re.search(r"engine +exact: \w+", done.out)
    monkeypatch.setattr(namesake, "state", lambda: namesake.REPLACED)
    done = command("doctor", "--json", model=False)
    assert done.code == 1
    assert namesake.REPAIR in done.out
