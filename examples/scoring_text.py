"""Scoring generated text: the cosine between a candidate and its references, best reference counted."""

from instructor_embedding import INSTRUCTOR
from instructor_embedding.vectors import cosines

references = ["A man is slicing bread in a kitchen.", "Someone cuts a loaf of bread."]
candidates = ["A person cuts bread.", "A man is riding a horse.", "Bread is being sliced by a man."]
instruction = "Represent the caption for comparing captions: "
model = INSTRUCTOR()
scores = cosines(model.encode(candidates, instruction=instruction), model.encode(references, instruction=instruction))
for score, candidate in sorted(zip(scores.max(1).tolist(), candidates, strict=True), reverse=True):
    print(f"{score:.2f}  {candidate}")
