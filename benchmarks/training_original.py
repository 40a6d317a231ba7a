"""The original's training recipe, for training_speed.py; runs in the original's environment.

    python training_original.py MODEL RECORDS.json TEMPERATURE LEARNING_RATE > RESULT.json

Every text is padded to 512 tokens, and cosines are taken one by one, as its train.py does; dropout is off.
RECORDS.json holds batches of records.
"""

import json
import os
import sys
import time

import torch
from torch import nn

from InstructorEmbedding import INSTRUCTOR

LENGTH = 512


def features(model, pairs):
    """Ids, mask and instruction lengths of [instruction, text] pairs, padded to LENGTH."""
    tokenizer = model.tokenizer
    tokenizer_options = {"padding": "max_length", "truncation": "longest_first", "max_length": LENGTH}
    both = tokenizer([instruction + text for instruction, text in pairs], return_tensors="pt", **tokenizer_options)
    alone = tokenizer([instruction for instruction, _ in pairs], return_tensors="pt", **tokenizer_options)
    pieces = alone["attention_mask"].sum(1) - 1
    pieces[pieces <= 1] = 0
    return {**both, "context_masks": pieces}


def cross_entropy(anchors, partners, others, temperature, skip_own):
    """One cosine at a time: each anchor's partner among the others."""
    cosine = nn.CosineSimilarity(dim=-1)
    rows = []
    for i in range(len(anchors)):
        anchor = anchors[i].unsqueeze(0)
        scores = [cosine(anchor, partners[i].unsqueeze(0)) / temperature]
        for j in range(len(others)):
            if not (skip_own and i == j):
                scores.append(cosine(anchor, others[j].unsqueeze(0)) / temperature)
        rows.append(torch.cat(scores).unsqueeze(0))
    return nn.functional.cross_entropy(torch.cat(rows), torch.zeros(len(rows), dtype=torch.long))


def main(folder, file, temperature, rate):
    torch.set_num_threads(1)
    stdout, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: SIM115 - the package prints while loading
    model = INSTRUCTOR(folder, device="cpu").eval()
    sys.stdout = stdout
    with open(file, encoding="utf-8") as content:
        batches = json.load(content)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / len(batches))
    losses, seconds = [], []
    for batch in batches:
        start = time.perf_counter()
        query, pos, neg = (
            model(features(model, [record[side] for record in batch]))["sentence_embedding"]
            for side in ("query", "pos", "neg")
        )
        loss = cross_entropy(query, pos, neg, temperature, False) + cross_entropy(pos, query, query, temperature, True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
        print(losses[-1], seconds[-1], file=sys.stderr)
    json.dump({"losses": losses, "seconds": seconds}, stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
