"""Retrieval: questions and documents have instructions of their own."""

import sys

import numpy as np
from sklearn.metrics.pairwise import cosine_similarity

from InstructorEmbedding import INSTRUCTOR

model = INSTRUCTOR(sys.argv[1] if len(sys.argv) > 1 else "hkunlp/instructor-large")
query = [
    ["Represent the Wikipedia question for retrieving supporting documents: ", "which bird lays the largest eggs?"]
]
corpus = [
    [
        "Represent the Wikipedia document for retrieval: ",
        "The common ostrich is the largest living bird. Its eggs are the largest of any living bird, about 15 cm long.",
    ],
    [
        "Represent the Wikipedia document for retrieval: ",
        "Market economies with some public ownership are called mixed economies; most of today's are of this kind.",
    ],
    [
        "Represent the Wikipedia document for retrieval: ",
        "A disparate impact is found where a rule that sounds neutral treats one group of employees worse than others.",
    ],
]
query_embeddings = model.encode(query)
corpus_embeddings = model.encode(corpus)
similarities = cosine_similarity(query_embeddings, corpus_embeddings)
retrieved_doc_id = int(np.argmax(similarities))
print(retrieved_doc_id, corpus[retrieved_doc_id][1])
