"""Triples in the form of MEDI from pair files: partners unchanged, a random text of the same file as the negative.

Other benchmarks use it; real MEDI data has mined negatives.
"""

import gzip
import json
import random
from pathlib import Path

# file, instruction of the first text, instruction of the second
SOURCES = [
    ("mnli_entailment_pairs", "Represent the sentence: ", "Represent the sentence: "),
    ("snli_revised_triples", "Represent the caption: ", "Represent the caption: "),
    ("asset_simplifications", "Represent the sentence: ", "Represent the sentence: "),
    ("clinc150_utterance_intent", "Represent the utterance for the intent: ", "Represent the intent: "),
    ("sgd_utterance_intent", "Represent the utterance for the intent: ", "Represent the intent: "),
    ("opentrivia_question_answer", "Represent the question: ", "Represent the answer: "),
    ("recipe_title_directions", "Represent the recipe title: ", "Represent the recipe: "),
    ("paper_abstract_tldr", "Represent the abstract: ", "Represent the summary: "),
    ("bible_kjv_web", "Represent the verse: ", "Represent the verse: "),
    ("factbook_field_text", "Represent the country and field: ", "Represent the text: "),
    ("mediqa_rqe", "Represent the medical question: ", "Represent the medical question: "),
    ("goemotions_comment_emotion", "Represent the comment for the emotion: ", "Represent the emotion: "),
]


def partners(record):
    """The two texts of a record of any form, and the negative where it has one."""
    if isinstance(record, dict):
        record = record["set"][:2]
    return record[:3]


def same_label(rows, chance):
    """Two texts of one label as partners, for files of texts and class names."""
    groups = {}
    for text, label in rows:
        groups.setdefault(label, []).append(text)
    pairs = []
    for texts in groups.values():
        chance.shuffle(texts)
        pairs += [[first, second] for first, second in zip(texts[::2], texts[1::2], strict=False)]
    return pairs


def triples(folder: Path, per_source: int, seed: int = 0):
    """Records of all sources, at most `per_source` of each; a source is a task."""
    chance = random.Random(seed)
    records = []
    for task, (name, first, second) in enumerate(SOURCES):
        with gzip.open(folder / "pairs" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows = [partners(json.loads(line)) for line in lines]
        if "intent" in name or "emotion" in name:
            rows, second = same_label(rows, chance), first
        chance.shuffle(rows)
        for query, pos, *rest in rows[:per_source]:
            neg = rest[0] if rest else chance.choice(rows)[1]
            sides = {"query": [first, query], "pos": [second, pos], "neg": [second, neg]}
            if all(text.strip() for _, text in sides.values()) and neg != pos:
                records.append({**sides, "task_id": task, "task_name": name})
    return records
