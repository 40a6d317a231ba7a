"""The toml file of a build: its fields, and the errors of others."""

from pathlib import Path

import pytest

from instructor_embedding import InputError
from instructor_embedding.medi.config import Config, Selection, read_config, with_options

GOOD = """
output = "out/medi.jsonl"
against = ["eval"]
encoder = "bm25"
seed = 3
wordings = 2
pool = 100

[[sources]]
folder = "train"
only = ["pairs/*"]
skip = ["pairs/w*", "task1_x"]
licences = ["CC0*"]
limit = 50

[[sources]]
folder = "/more"
encoder = "sentence-transformers:some"
"""


def saved(tmp_path, text):
    (tmp_path / "build.toml").write_text(text, encoding="utf-8")
    return tmp_path / "build.toml"


def test_every_field(tmp_path):
    first = Selection(tmp_path / "train", ("pairs/*",), ("pairs/w*", "task1_x"), ("CC0*",), 50)
    second = Selection(Path("/more"), encoder="sentence-transformers:some")
    expected = Config((first, second), tmp_path / "out/medi.jsonl", (tmp_path / "eval",), "bm25", 3, 2, 100)
    assert read_config(saved(tmp_path, GOOD)) == expected


def test_options_replace_fields(tmp_path):
    config = with_options(read_config(saved(tmp_path, GOOD)), 7, ("z",), seed=9, encoder=None)
    assert (config.seed, config.encoder, config.wordings) == (9, "bm25", 2)
    assert [selection.limit for selection in config.sources] == [7, 7]
    assert config.sources[0].skip == ("pairs/w*", "task1_x", "z")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("seed = 3", "sed = 3", "sed is unknown; did you mean 'seed'"),
        ("limit = 50", "limits = 50", r"\[\[sources\]\] limits is unknown; did you mean 'limit'"),
        ("seed = 3", 'seed = "3"', "seed is '3'; it must be an integer"),
        ("seed = 3", "seed = true", "seed is True; it must be an integer"),
        ('against = ["eval"]', 'against = "eval"', "against is 'eval'; it must be a list of paths"),
        ('only = ["pairs/*"]', "only = [3]", "it must be a list of strings"),
        ('folder = "train"', "", "folder is missing"),
        ('output = "out/medi.jsonl"', "", "output is missing"),
        ("wordings = 2", "wordings = 4", "wordings must be 1 to 3, got 4"),
        ("limit = 50", "limit = 2", "limit must be at least 3, got 2"),
        ("pool = 100", "pool = 0", "pool must be at least 2, got 0"),
        ("seed = 3", "seed = ", "is not a toml file"),
        ("[[sources]]", "[sources]", "is not a toml file"),
    ],
)
def test_invalid_files(old, new, why, tmp_path):
    assert old in GOOD
    with pytest.raises(InputError, match=why) as caught:
        read_config(saved(tmp_path, GOOD.replace(old, new, 1)))
    assert "build.toml" in str(caught.value)


def test_no_sources(tmp_path):
    for text in ('output = "x"', 'output = "x"\nsources = []', 'output = "x"\nsources = "train"'):
        with pytest.raises(InputError, match="sources is missing"):
            read_config(saved(tmp_path, text))
    with pytest.raises(InputError, match="cannot read"):
        read_config(tmp_path / "nothing.toml")


def test_selection_of_files(tmp_path):
    (tmp_path / "pairs").mkdir()
    for name in ("AllNLI", "altlex", "xsum"):
        (tmp_path / "pairs" / f"{name}.jsonl").write_text('["a", "b"]')

    def selected(**fields):
        return [source.name for source in Selection(tmp_path, **fields).sources()]

    assert selected() == ["AllNLI", "altlex", "xsum"]
    assert selected(only=("A*", "pairs/al*")) == ["AllNLI", "altlex"]
    assert selected(only=("xsum", "altlex")) == ["altlex", "xsum"]
    assert selected(only=("pairs/*",), skip=("alt*",)) == ["AllNLI", "xsum"]
    with pytest.raises(InputError, match="leave no source"):
        selected(skip=("*",))
