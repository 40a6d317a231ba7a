"""Instructions by rule: from the facts of a source to the instruction of its texts.

Each kind of relation has an objective in several wordings. The two sides of a symmetric relation share one instruction;
those of an asymmetric relation have one each. Sources without facts are looked up in ``KNOWN`` by name.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from instructor_embedding.errors import InputError, choose, nearest
from instructor_embedding.instruction import Instruction


class Facts(NamedTuple):
    """What an instruction states about a source.

    Attributes
    ----------
    domain : str
        Subject or origin of the texts, ``""`` for none.
    query, pos : str
        Text types of the two sides, such as ``"question"`` and ``"answer"``.
    kind : str
        One of ``KINDS``.
    objective : str
        What the query is represented for, such as ``"retrieving the clause that answers it"``; replaces the wordings
        of `kind`. ``""`` uses them.
    """

    domain: str
    query: str
    pos: str
    kind: str
    objective: str = ""


# kind -> objectives of the query side in several wordings; {pos} is the text type of the other side
_ASYMMETRIC = {
    "question answering": (
        "retrieving the right {pos}",
        "retrieving a supporting {pos}",
        "finding {a_pos} for it",
    ),
    "title or name to text": (
        "retrieving the {pos} that belongs to it",
        "retrieving the matching {pos}",
        "finding its {pos}",
    ),
    "summary": ("retrieving its {pos}", "finding {a_pos} of it", "retrieving the {pos} that sums it up"),
    "dialogue": ("retrieving the {pos} that follows", "finding a fitting {pos}", "retrieving the next {pos}"),
    "code": ("retrieving the {pos} that does it", "finding the matching {pos}", "retrieving its {pos}"),
}
_DOCUMENT = ("retrieval", "being retrieved", "search")
# objectives that both sides share
_SYMMETRIC = {
    "paraphrase or entailment": ("finding texts that mean the same", "retrieving paraphrases", "semantic similarity"),
    "translation": ("finding its translation", "retrieving the same text in another language", "translation search"),
    "duplicate": ("retrieving duplicates", "finding texts that ask the same", "duplicate detection"),
    "label": ("classification by {pos}", "classifying its {pos}", "finding texts of the same {pos}"),
    "task": ("{pos}", "doing {pos}", "the task of {pos}"),
}
KINDS = (*_ASYMMETRIC, *_SYMMETRIC)
WORDINGS = 3

_WEB = "web"
# files of sentence-transformers' embedding-training-data, and KILT's, by name
KNOWN = {
    "AllNLI": Facts("", "sentence", "sentence", "paraphrase or entailment"),
    "altlex": Facts("Wikipedia", "sentence", "sentence", "paraphrase or entailment"),
    "amazon-qa": Facts("product", "question", "answer", "question answering"),
    "amazon_review_2018": Facts("product review", "title", "review", "title or name to text"),
    "ccnews_title_text": Facts("news", "headline", "article", "title or name to text"),
    "cnn_dailymail": Facts("news", "article", "summary", "summary"),
    "codesearchnet": Facts("code", "comment", "function", "code"),
    "eli5_question_answer": Facts("Reddit", "question", "answer", "question answering"),
    "fever": Facts("", "claim", "Wikipedia passage", "question answering"),
    "flickr30k_captions": Facts("image", "caption", "caption", "paraphrase or entailment"),
    "gooaq_pairs": Facts(_WEB, "question", "answer", "question answering"),
    "hotpotqa": Facts("Wikipedia", "question", "passage", "question answering"),
    "medmcqa": Facts("medicine", "exam question", "answer", "question answering"),
    "medmcqa_explanations": Facts("medicine", "exam question", "explanation", "question answering"),
    "msmarco-triplets": Facts(_WEB, "query", "passage", "question answering"),
    "natural_questions": Facts("Wikipedia", "question", "passage", "question answering"),
    "npr": Facts("news", "headline", "article", "title or name to text"),
    "PAQ_pairs": Facts("Wikipedia", "question", "passage", "question answering"),
    "quora_duplicates": Facts("Quora", "question", "question", "duplicate"),
    "S2ORC_title_abstract": Facts("science", "title", "abstract", "title or name to text"),
    "S2ORC_citation_pairs": Facts("science", "title", "title", "paraphrase or entailment"),
    "searchQA_top5_snippets": Facts(_WEB, "question", "snippet", "question answering"),
    "sentence-compression": Facts("news", "sentence", "shortened sentence", "summary"),
    "SimpleWiki": Facts("Wikipedia", "sentence", "sentence", "paraphrase or entailment"),
    "specter_train_triples": Facts("science", "title", "title", "paraphrase or entailment"),
    "squad_pairs": Facts("Wikipedia", "question", "passage", "question answering"),
    "stackexchange_duplicate_questions": Facts("Stack Exchange", "question", "question", "duplicate"),
    "stackexchange_title_body": Facts("Stack Exchange", "title", "question", "title or name to text"),
    "trex": Facts("Wikipedia", "subject and relation", "passage", "question answering"),
    "TriviaQA_pairs": Facts("trivia", "question", "passage", "question answering"),
    "WikiAnswers": Facts("Wikipedia", "question", "question", "duplicate"),
    "wow": Facts("Wikipedia", "conversation", "passage", "dialogue"),
    "xsum": Facts("news", "article", "summary", "summary"),
    "yahoo_answers_question_answer": Facts("Yahoo", "question", "answer", "question answering"),
    "yahoo_answers_title_answer": Facts("Yahoo", "question title", "answer", "question answering"),
    "zero_shot_re": Facts("Wikipedia", "subject and relation", "passage", "question answering"),
}


def known(name: str) -> Facts:
    """Return the facts of a source by the name of its file, in any case.

    Raises
    ------
    InputError
        The name is not in ``KNOWN``.
    """
    names = {key.lower(): key for key in KNOWN}
    key = names.get(name.lower())
    if key is None:
        raise InputError(f"there are no facts for the source {name!r}{nearest(name.lower(), names)}")
    return KNOWN[key]


def sides(facts: Facts, wording: int = 0) -> tuple[str, str]:
    """Return the instructions of query and positive; equal where the relation is symmetric.

    Parameters
    ----------
    facts : Facts
    wording : int
        0 to ``WORDINGS - 1``; without effect where the facts state an objective.

    Raises
    ------
    InputError
        The kind is unknown.

    Examples
    --------
    >>> sides(Facts("medicine", "question", "answer", "question answering"))
    ('Represent the medicine question for retrieving the right answer: ', \
'Represent the medicine answer for retrieval: ')
    """
    choose("kind", facts.kind, KINDS)
    words = {"pos": facts.pos, "a_pos": f"{'an' if facts.pos[:1].lower() in 'aeiou' else 'a'} {facts.pos}"}
    if facts.kind in _ASYMMETRIC:
        objective = facts.objective or _ASYMMETRIC[facts.kind][wording].format(**words)
        document = Instruction(facts.pos, facts.domain, _DOCUMENT[0 if facts.objective else wording])
        return str(Instruction(facts.query, facts.domain, objective)), str(document)
    objective = facts.objective or _SYMMETRIC[facts.kind][wording].format(**words)
    same = facts.kind in ("label", "task") or facts.query == facts.pos
    shared = str(Instruction(facts.query if same else "text", facts.domain, objective))
    return shared, shared


def of_task(name: str, categories: list[str], domains: list[str]) -> Facts:
    """Return the facts of a Super-NaturalInstructions task from its metadata.

    Examples
    --------
    >>> of_task("task002_quoref_answer_generation", ["Question Answering"], ["Wikipedia"])[:3]
    ('Wikipedia', 'question answering input', 'quoref answer generation')
    """
    plain = re.sub(r"^(sub)?task\d+_", "", name).replace("_", " ").replace("-", " ").strip() or name
    domain = re.split(r" -> ", domains[0])[-1].strip() if domains else ""
    category = categories[0].split(" -> ")[0].lower() if categories else ""
    return Facts(
        "" if domain.lower() in ("miscellaneous", "misc.") else domain, f"{category} input".strip(), plain, "task"
    )
