"""Damaged data files: each gives rows or an InputError of one line, from every reader."""

import gzip
import json
import random

from instructor_embedding.errors import InputError
from instructor_embedding.files.pairs import Columns, read_rows
from instructor_embedding.files.records import read_records
from tests.fuzz.children import forked
from tests.fuzz.mutations import changed_json, damaged

TEXTS = ["rye bread", 'a "quoted" word', "two\nlines", "caf\xe9, plum", "", "\U0001f35e", "x" * 300]
LONGEST = 1500  # characters of an error
FORMATS = ("csv", "tsv", "json", "jsonl", "parquet", "txt")


def good_files():
    """Return content and format of files that are as they should be."""
    rows = [{"text": text, "instruction": "Represent it: ", "id": number} for number, text in enumerate(TEXTS)]
    quoted = ['"' + row["text"].replace('"', '""') + f'","{row["instruction"]}",{row["id"]}' for row in rows]
    plain = ["\t".join((" ".join(row["text"].split()), row["instruction"], str(row["id"]))) for row in rows]
    files = {
        "csv": "text,instruction,id\n" + "\n".join(quoted),
        "tsv": "text\tinstruction\tid\n" + "\n".join(plain),
        "json": json.dumps(rows),
        "jsonl": "\n".join(map(json.dumps, rows)),
        "txt": "\n".join(plain),
    }
    return {kind: content.encode() for kind, content in files.items()} | {"parquet": parquet(rows)}


def parquet(rows):
    import io

    import pyarrow
    import pyarrow.parquet

    target = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), target)
    return target.getvalue()


def run(home, seed, until):
    """Damage files until a time; returns counts of outcomes and the failures."""
    files = good_files()
    counts, failures = {}, []

    def attempt(number):
        chance = random.Random(f"{seed} {number}")
        kind = chance.choice(FORMATS)
        path = home / f"rows-{number}.{kind}"
        path.write_bytes(change(files[kind], kind, chance))
        try:
            return outcome(path, chance)
        finally:
            path.unlink()

    for number, what in forked(until, attempt, several=50):
        name = what if what in ("refused", "read") else "failed"
        counts[name] = counts.get(name, 0) + 1
        if name == "failed":
            failures.append(f"record file {number}: {what}")
    return counts, failures


def change(data, kind, chance):
    """Damage a file's bytes, its JSON, its encoding or its compression."""
    way = chance.randrange(6)
    if way == 0 and kind != "parquet":
        data = data.decode().encode(chance.choice(("utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig")), "replace")
    elif way == 1 and kind == "json":
        data = changed_json(data, chance)
    elif way == 1 and kind == "jsonl":
        lines = data.split(b"\n")
        index = chance.randrange(len(lines))
        lines[index] = changed_json(lines[index], chance)
        data = b"\n".join(lines)
    elif way == 2:
        data = damaged(gzip.compress(data), chance)
    if way > 2 or chance.random() < 0.2:
        data = damaged(data, chance)
    return data


def outcome(path, chance):
    """Read a file in one of the ways that verbs do."""
    try:
        if chance.random() < 0.5:
            for _ in read_records(path):
                pass
        else:
            for row in read_rows(str(path), Columns(keep=["id"] if chance.random() < 0.3 else [])):
                assert type(row.pair.text) is str
    except InputError as error:
        text = str(error)
        return "refused" if len(text.splitlines()) == 1 and len(text) < LONGEST else f"a bad error: {text[:500]}"
    return "read"
