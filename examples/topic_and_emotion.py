"""One set of comments under two instructions: grouped by topic and by emotion, and drawn side by side."""

import sys

from instructor_embedding import INSTRUCTOR
from instructor_embedding.analysis.clusters import clustered
from instructor_embedding.analysis.maps import Panel, draw, projected

comments = [
    "I love this phone, the screen is beautiful",
    "What a great laptop, I am so happy with it",
    "I hate this phone, the battery dies all the time",
    "This laptop makes me angry, it crashes every day",
    "I love this bread, the crust is beautiful",
    "What a great cake, I am so happy with it",
    "I hate this bread, it is stale all the time",
    "This cake makes me angry, it is burnt every day",
]
instructions = ["Represent the comment for topic clustering: ", "Represent the comment for emotion classification: "]
model = INSTRUCTOR()
panels, groups = [], []
for instruction in instructions:
    vectors = model.encode(comments, instruction=instruction)
    groups.append(clustered(vectors, 2).labels)
    panels.append(Panel(instruction, projected(vectors)))
for comment, topic, emotion in zip(comments, *groups, strict=True):
    print(topic, emotion, comment)
if len(sys.argv) > 1:
    draw(sys.argv[1], panels, [f"topic {label}" for label in groups[0]], comments)
