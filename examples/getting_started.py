"""One text, one instruction, one vector."""

import sys

from InstructorEmbedding import INSTRUCTOR

model = INSTRUCTOR(sys.argv[1] if len(sys.argv) > 1 else "hkunlp/instructor-large")
sentence = "3D ActionSLAM: wearable person tracking in multi-floor environments"
instruction = "Represent the Science title:"
embeddings = model.encode([[instruction, sentence]])
print(embeddings)
