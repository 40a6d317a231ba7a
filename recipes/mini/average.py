"""The average of two models' weights: what training changed, in part.

python recipes/mini/average.py FIRST SECOND OUTPUT [--share 0.5]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from instructor_embedding.model.checkpoint import read
from instructor_embedding.model.layout import write


@torch.no_grad()
def main() -> None:
    """Write the model of both weights, the first's counting `share`; all else is the first's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--share", type=float, default=0.5)
    given = parser.parse_args()
    one, other = read(given.first), read(given.second)
    for part, there in ((one.encoder, other.encoder), (one.head, other.head)):
        own = part.state_dict()
        mixed = {name: torch.lerp(weight, own[name], given.share) for name, weight in there.state_dict().items()}
        part.load_state_dict(mixed, assign=True)
    write(one, given.output)


if __name__ == "__main__":
    main()
