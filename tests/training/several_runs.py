"""Runs several trainings one after the other in the processes of one torchrun: a list of steps in a json file."""

import json
import shutil
import sys
from pathlib import Path

import torch.distributed as dist

from instructor_embedding.training.run import train


def main():
    """Train with each step's flags; a step ``{"remove": folder}`` removes a folder instead."""
    for step in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        if "remove" in step:
            if dist.get_rank() == 0:
                shutil.rmtree(step["remove"])
            dist.barrier()
        else:
            train(step["flags"])


if __name__ == "__main__":
    main()
