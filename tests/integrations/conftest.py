"""What the integrations share: texts, and the vectors that the model itself makes of them."""

import pytest

from instructor_embedding import INSTRUCTOR

TEXTS = ["The first text.", "Another one, a little longer."]
DOCUMENT, QUERY = "Represent the document: ", "Represent the question: "


@pytest.fixture
def name(folders):
    return str(folders["relu"])


@pytest.fixture
def documents(name):
    return INSTRUCTOR(name).encode(TEXTS, instruction=DOCUMENT)


@pytest.fixture
def query(name):
    return INSTRUCTOR(name).encode(TEXTS[0], instruction=QUERY)
