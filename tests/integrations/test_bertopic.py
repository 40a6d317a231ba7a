"""BERTopic: the backend is used, and not replaced by another model."""

import numpy as np
import pytest

bertopic = pytest.importorskip("bertopic", reason="bertopic is not installed")
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from instructor_embedding.integrations.bertopic import InstructorBackend
from tests.integrations.conftest import DOCUMENT, TEXTS


def test_vectors(name, documents):
    backend = InstructorBackend(name, instruction=DOCUMENT)
    np.testing.assert_allclose(backend.embed_documents(TEXTS), documents, atol=1e-6)
    assert backend.embed_words(["rye", "zinc"]).shape == (2, documents.shape[1])


def test_topics():
    backend = InstructorBackend()
    texts = [f"{item} bread {n}" for n in range(10) for item in ("rye", "wheat")]
    texts += [f"{item} metal {n}" for n in range(10) for item in ("copper", "zinc")]
    model = bertopic.BERTopic(
        embedding_model=backend, umap_model=PCA(2), hdbscan_model=KMeans(2, n_init=5, random_state=0)
    )
    topics, _ = model.fit_transform(texts)
    assert model.embedding_model is backend
    assert len(set(topics[:20])) == len(set(topics[20:])) == 1
