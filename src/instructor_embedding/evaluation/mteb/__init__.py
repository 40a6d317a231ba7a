"""MTEB through the mteb library: each task and side with its instruction, each score with its provenance."""

from instructor_embedding.evaluation.mteb.instructed import InstructedEncoder as InstructedEncoder
from instructor_embedding.evaluation.mteb.run import evaluate as evaluate
from instructor_embedding.evaluation.mteb.tasks import tasks_named as tasks_named
