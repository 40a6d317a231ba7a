"""Train the start's table further, on the teacher's vectors and on contrast between triples together.

The layers add nothing yet, so a text is the mean of its rows, and a million texts take minutes.

    python recipes/mini/polish.py START TRIPLES.jsonl OUTPUT --teacher_cache FOLDER
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from options import parser_of
from torch import Tensor, nn

from instructor_embedding.instruction import Pair
from instructor_embedding.medi.triple import read as read_triples
from instructor_embedding.model.checkpoint import read
from instructor_embedding.model.layout import write
from instructor_embedding.training.static import Table, put_in, token_ids
from instructor_embedding.training.teacher import Teacher

TEXTS, TRIPLES = 1024, 512  # of a step
RATE, TEMPERATURE, WEIGHT = 0.004, 0.05, 0.04
LONGEST = 160  # tokens read of a text
DEVIATION = 0.5  # of the table's numbers, which the rate fits


def contrast(vectors: Tensor, query: NDArray[np.int64], pos: NDArray[np.int64], neg: NDArray[np.int64]) -> Tensor:
    """Return the loss of both directions; what is known to match is no negative."""
    count = len(query)
    queries, positives, negatives = vectors.view(3, count, -1)
    own = torch.eye(count, dtype=torch.bool)
    same_query = torch.from_numpy(query[:, None] == query[None])
    others = np.concatenate([pos, neg])[None]
    known = torch.from_numpy((others == pos[:, None]) | (others == query[:, None]))
    known[:, :count] = (known[:, :count] | same_query) & ~own
    there = (queries @ torch.cat([positives, negatives]).T / TEMPERATURE).masked_fill(known, -1e4)
    known_back = (torch.from_numpy(pos[:, None] == pos[None]) | same_query) & ~own
    back = (positives @ queries.T / TEMPERATURE).masked_fill(known_back, -1e4)
    right = torch.arange(count)
    return (F.cross_entropy(there, right) + F.cross_entropy(back, right)) / 2


def main() -> None:
    """Polish the table of a start."""
    parser = parser_of(__doc__, "start", "triples", "output")
    parser.add_argument("--steps", type=int, default=900)
    given = parser.parse_args()
    random = np.random.default_rng(0)
    torch.manual_seed(0)
    parts = read(given.start)
    width = parts.encoder.config.d_model - 1
    axes = parts.head.dense_layers()[-1].linear.weight.detach()[:, :width].T.clone()
    rows = parts.encoder.embedding.weight.detach()[:, :width].clone()
    table = nn.EmbeddingBag(len(rows), width, mode="mean", _weight=rows * (DEVIATION / rows.square().mean().sqrt()))
    texts: dict[str, int] = {}
    tasks: dict[int, list[list[int]]] = defaultdict(list)
    for triple in read_triples(given.triples):
        tasks[triple.task].append([texts.setdefault(side.text, len(texts)) for side in triple[:3]])
    ids = token_ids(parts.tokens.tokenizer, list(texts), LONGEST)
    teacher = Teacher(given.teacher_cache, given.teacher)
    goals = torch.from_numpy(teacher.vectors([Pair("", text) for text in texts])) @ axes.T
    groups = [np.array(group) for group in tasks.values()]
    share = np.sqrt([len(group) for group in groups])
    optimizer = torch.optim.Adam(table.parameters(), lr=RATE, betas=(0.9, 0.99))
    fade: Callable[[int], float] = lambda step: min(1, (step + 1) / 20) * (1 - step / given.steps)  # noqa: E731
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, fade)

    def vectors(places: NDArray[np.int64]) -> Tensor:
        chosen = [torch.from_numpy(ids[place]) for place in places]
        starts = torch.tensor([0, *map(len, chosen[:-1])]).cumsum(0)
        return F.normalize(table(torch.cat(chosen), starts), dim=1)

    for step in range(given.steps):
        places = random.integers(0, len(ids), TEXTS)
        distance = 1 - F.cosine_similarity(vectors(places), goals[places]).mean()
        group = groups[random.choice(len(groups), p=share / share.sum())]
        query, pos, neg = group[random.permutation(len(group))[:TRIPLES]].T
        apart = contrast(vectors(np.concatenate([query, pos, neg])), query, pos, neg)
        optimizer.zero_grad()
        (distance + WEIGHT * apart).backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"step {step}: distance {distance.item():.4f}, contrast {apart.item():.3f}")  # noqa: T201
    put_in(Table(table.weight.detach(), axes), parts)
    write(parts, given.output)


if __name__ == "__main__":
    main()
