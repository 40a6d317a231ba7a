"""KeyBERT: the backend is used, and not replaced by another model."""

import numpy as np
import pytest

keybert = pytest.importorskip("keybert", reason="keybert is not installed")

from instructor_embedding.integrations.keybert import InstructorBackend
from tests.integrations.conftest import DOCUMENT, TEXTS


def test_vectors(name, documents):
    np.testing.assert_allclose(InstructorBackend(name, DOCUMENT).embed(TEXTS), documents, atol=1e-6)


def test_keywords():
    backend = InstructorBackend()
    model = keybert.KeyBERT(backend)
    assert model.model is backend
    words = model.extract_keywords("Copper and zinc are metals; the price of copper rises.", top_n=2)
    assert len(words) == 2
