"""The training command of the original's README; the same as ``instructor-embed train``."""

import sys

from instructor_embedding.cli.main import main

sys.argv.insert(1, "train")
main()
