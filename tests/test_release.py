"""What a release consists of agrees: version, citation and changelog; the README's links on the package index."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from instructor_embedding.version import __version__

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def hook():
    pytest.importorskip("hatchling")
    spec = importlib.util.spec_from_file_location("hatch_readme", ROOT / "hatch_readme.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_version_citation_and_changelog_agree():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version, date = re.search(r'^version: (\S+)\ndate-released: "(\S+)"$', citation, re.M).groups()
    releases = re.findall(r"^## \[(.+?)\](?: - (\S+))?$", changelog, re.M)
    assert version == __version__
    assert releases[:2] == [("Unreleased", ""), (version, date)]


def test_links_of_the_readme_work_on_the_index(hook):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)]+)\)", hook.absolute(text, "https://example.org/owner/name", "1.2.3"))
    assert not [target for target in targets if not target.startswith("https://")]
    assert "https://example.org/owner/name/raw/v1.2.3/docs/instruction.png" in targets
    assert "https://example.org/owner/name/blob/v1.2.3/docs/faq.md#cost" in targets


def test_the_readme_is_unchanged_without_a_repository(hook):
    metadata = {"version": __version__, "urls": {"Paper": "https://arxiv.org/abs/2212.09741"}}
    hook.CustomMetadataHook(str(ROOT), {}).update(metadata)
    assert metadata["readme"]["text"] == (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_source_distribution_has_what_its_tests_need():
    include = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    names = " ".join(include["sdist"]["include"])
    for name in ("tests", "docs", "examples", "benchmarks", "recipes", ".ci", "Makefile", "constraints.txt", "/*.py"):
        assert name in names
