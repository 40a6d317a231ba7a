"""The bundled model: its notice, and that it works without a network."""

import re

import pytest
from recipes.mini import notice, sources

from instructor_embedding import INSTRUCTOR
from instructor_embedding.model import hub

pytestmark = pytest.mark.slow


def test_the_notice_names_every_source_of_the_card():
    folder = sources.HERE.parents[1] / "src" / "instructor_embedding" / "bundled"
    text = (folder / "NOTICE").read_text(encoding="utf-8")
    card = (folder / "instructor-mini" / "README.md").read_text(encoding="utf-8")
    data = card.partition("## Data")[2]
    names = set(re.findall(r"(?:(?:pairs|super_ni|squad_format)/\w+|medmcqa/medmcqa_\w+)", data))
    assert len(names) > 50
    assert not [name for name in names if f"\n{name}\n    " not in text]
    assert "MIT License" in text
    unstated = re.search(r"is not stated.*?next model", text, re.DOTALL)[0]
    for name in ("online_doctor_qa", "recipe_title_directions", "paper_title_abstract"):
        assert name in unstated
    assert "were left out" not in data.partition("For some")[2]
    assert notice.notice([], {}, folder).startswith("NOTICE of instructor-mini")


def test_the_bundled_model_needs_no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    model = INSTRUCTOR(device="cpu")
    bag = ["how do I cook rice", "a recipe for boiling rice", "the match ended without a goal"]
    vectors = model.encode(bag, instruction="Represent the sentence: ")
    assert vectors.shape == (3, 384)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2
    folder = hub.resolve(hub.BUNDLED)
    assert sum(file.stat().st_size for file in folder.rglob("*")) < 16 * 2**20
    assert folder.name == "instructor-mini"


@pytest.mark.parametrize(
    ("question", "best", "other"),
    [
        ("Where is the Eiffel tower?", "The Eiffel tower stands in Paris, France.", "Paris Hilton is an heiress."),
        ("How are volcanoes formed?", "Magma rises through the crust and builds a cone.", "Form a line, please."),
    ],
)
def test_the_bundled_model_retrieves(question, best, other):
    model = INSTRUCTOR(device="cpu")
    query = model.encode([question], instruction="Represent the question for retrieving supporting documents: ")
    documents = model.encode([best, other], instruction="Represent the document for retrieval: ")
    scores = query @ documents.T
    assert scores[0, 0] > scores[0, 1]
