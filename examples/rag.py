"""Answers from documents: passages are retrieved by meaning and given to any chat server with OpenAI's API.

``python examples/rag.py QUESTION --server http://localhost:8000/v1 --model NAME``
"""

import argparse
import json
import os
import tempfile
import urllib.request

from instructor_embedding.index.index import Index

NOTES = [
    "The oven is preheated to 240 degrees for rye bread.",
    "Rye dough rests for twelve hours.",
    "Copper pans are cleaned with lemon and salt.",
    "Zinc roofs last about eighty years.",
]


def answer(question, passages, server, model):
    """Return the chat server's answer to a question, given some passages."""
    context = "\n".join(f"[{number}] {passage}" for number, passage in enumerate(passages, 1))
    content = f"Answer from these notes and name their numbers.\n\n{context}\n\nQuestion: {question}"
    body = {"model": model, "temperature": 0, "messages": [{"role": "user", "content": content}]}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', '')}"}
    request = urllib.request.Request(f"{server}/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)["choices"][0]["message"]["content"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("question", nargs="?", default="How hot must the oven be?")
    parser.add_argument("--server", default="http://localhost:8000/v1")
    parser.add_argument("--model", default="default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Index.create(f"{folder}/notes.index", store="parquet") as index:
        index.add(NOTES)
        passages = [match.text for match in index.search(arguments.question, k=2)]
    print(answer(arguments.question, passages, arguments.server, arguments.model))


if __name__ == "__main__":
    main()
