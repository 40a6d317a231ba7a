"""Similarity: which texts say the same, each pair of texts under its own instruction."""

import sys

from sklearn.metrics.pairwise import cosine_similarity

from InstructorEmbedding import INSTRUCTOR

model = INSTRUCTOR(sys.argv[1] if len(sys.argv) > 1 else "hkunlp/instructor-large")
sentences_a = [
    ["Represent the Science sentence: ", "Parton energy loss in QCD matter"],
    ["Represent the Financial statement: ", "The Federal Reserve on Wednesday raised its benchmark interest rate."],
]
sentences_b = [
    ["Represent the Science sentence: ", "The Chiral Phase Transition in Dissipative Dynamics"],
    ["Represent the Financial statement: ", "The funds rose less than 0.5 per cent on Friday"],
]
embeddings_a = model.encode(sentences_a)
embeddings_b = model.encode(sentences_b)
similarities = cosine_similarity(embeddings_a, embeddings_b)
print(similarities)
