"""Duplicate questions: pairs of questions that ask the same, found by their vectors."""

import numpy as np

from instructor_embedding import INSTRUCTOR
from instructor_embedding.vectors import nearest

questions = [
    "How can I reset my password?",
    "I forgot my password, what should I do?",
    "Where can I see my invoices?",
    "How do I download a bill?",
    "Which browsers do you support?",
    "Can I use the site on my phone?",
]
vectors = INSTRUCTOR().encode(questions, instruction="Represent the question for finding duplicate questions: ")
scores, index = nearest(vectors, vectors, 1, exclude_self=True)
for first in np.argsort(-scores[:, 0]):
    second = index[first, 0]
    if first < second:
        print(f"{scores[first, 0]:.2f}  {questions[first]} | {questions[second]}")
