"""Every verb against every kind of bad input and output: one line, the exit code, no files left, no traceback."""

import gzip
import json
import os
import resource
import shutil
import stat
import threading
from functools import reduce

import pytest

from instructor_embedding.evaluation.score import Results, Score
from instructor_embedding.index.index import Index

pytestmark = pytest.mark.slow

WORDS = ["bread", "cake", "soup", "plum", "rye", "train", "bus", "plane", "ship", "rain"]
TEXTS = "text,label,origin,id\n" + "".join(
    f"a {word},{'food' if n < 5 else 'travel'},{'north' if n % 2 else 'south'},{n}\n" for n, word in enumerate(WORDS)
)
SIDES = ("query", "pos", "neg")
TRIPLES = "".join(
    json.dumps({side: [f"Represent the {side}: ", f"{side} number {n}"] for side in SIDES} | {"task_id": 0}) + "\n"
    for n in range(8)
)
# verb: arguments, content of a good input, extension
READERS = {
    "encode": (["encode", "INPUT", "-o", "FOLDER/out.jsonl"], TEXTS, ".csv"),
    "bench": (["bench", "--input", "INPUT", "--texts", "1000", "--rounds", "1"], TEXTS, ".csv"),
    "quantize": (["quantize", "-o", "FOLDER/out", "--check", "INPUT", "--force"], TEXTS, ".csv"),
    "instructions try": (["instructions", "try", "INPUT", "-i", "Represent: ", "-i", "Describe: "], TEXTS, ".csv"),
    "medi check": (["medi", "check", "INPUT"], TRIPLES, ".jsonl"),
    "medi inspect": (["medi", "inspect", "INPUT"], TRIPLES, ".jsonl"),
    "medi mine": (["medi", "mine", "INPUT", "-o", "FOLDER/mined.jsonl"], TRIPLES, ".jsonl"),
    "index build": (["index", "build", "INPUT", "-o", "FOLDER/index", "--store", "parquet"], TEXTS, ".csv"),
    "index add": (["index", "add", "INDEX", "INPUT"], TEXTS, ".csv"),
    "cluster": (["cluster", "INPUT", "-k", "2", "-o", "FOLDER/groups.csv"], TEXTS, ".csv"),
    "map": (["map", "INPUT", "-o", "FOLDER/map.html"], TEXTS, ".csv"),
    "evaluate following": (
        ["evaluate", "following", "--data", "INPUT", "--labels", "label,origin", "--splits", "2", "--no-paraphrases"],
        TEXTS,
        ".csv",
    ),
    "train": (
        ["train", "--train_file", "INPUT", "--output_dir", "FOLDER/out", "--max_steps", "1", "--report_to", "none"],
        TRIPLES,
        ".jsonl",
    ),
}
WITHOUT_MODEL = ("medi", "train", "index add", "evaluate report", "merge")
TWICE = ("train", "medi check", "medi inspect", "medi mine", "evaluate following")  # read their input more than once
RUNS = {  # inputs that work, made from good content
    "as it should be": lambda content: content.encode(),
    "byte order mark": lambda content: b"\xef\xbb\xbf" + content.encode(),
    "UTF-16": lambda content: content.encode("utf-16"),
    "CRLF": lambda content: content.replace("\n", "\r\n").encode(),
    "gzip": lambda content: gzip.compress(content.encode()),
}
FAILS = {  # inputs that fail, with a part of the message
    "latin-1": (
        lambda content: content.replace("plum", "pl\xfcm").replace("number", "n\xba").encode("latin-1"),
        "UTF-8",
    ),
    "UTF-16 without a mark": (lambda content: content.encode("utf-16-le"), ""),
    "truncated gzip": (lambda content: gzip.compress(content.encode() * 50)[:-9], "truncated or corrupt"),
    "wrong column": (lambda content: content.replace("text", "txt").replace('"pos"', '"positif"').encode(), ""),
    "duplicate column": (
        lambda content: content.replace("label", "text").replace('"pos"', '"query"').encode(),
        "appears twice",
    ),
    "not a table": (lambda content: b"\x00\x01\x02PK\x03\x04" * 40, ""),
}


@pytest.fixture(scope="session")
def ready(folders, tmp_path_factory):
    """Folder of an index of one text."""
    folder = tmp_path_factory.mktemp("ready") / "index"
    with Index.create(str(folder), str(folders["relu"]), store="parquet") as index:
        index.add(["a text"])
    return folder


@pytest.fixture
def run(command, tmp_path, folders, ready):
    """Run a verb on an input or output, below a limit of file sizes where one is given."""

    def run(arguments, source="", target="", largest=None):
        folder = tmp_path / "work"
        filled = [str(word).replace("INPUT", str(source)).replace("OUTPUT", str(target)) for word in arguments]
        names = {"FOLDER": folder, "MODEL": folders["relu"], "INDEX": tmp_path / "ready"}
        if "INDEX" in filled:
            shutil.copytree(ready, tmp_path / "ready", dirs_exist_ok=True)
        filled = [reduce(lambda text, name: text.replace(name, str(names[name])), names, word) for word in filled]
        model = not " ".join(arguments).startswith(WITHOUT_MODEL)
        if arguments[0] == "train":
            filled += ["--model_name_or_path", folders["relu"]]
        if largest is None:
            return command(*filled, model=model)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
        try:
            return command(*filled, model=model)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    (tmp_path / "work").mkdir()
    return run


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if "ready/" not in f"{path}/")


def check_failure(done, code, message="", started=False):
    """Require one line; a run that has `started` may have reported its data before."""
    assert done.code == code, done.err
    lines = [line for line in done.err.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1 or started, done.err
    assert [line for line in lines if line.startswith("instructor-embed: ")] == lines[-1:]
    assert message in lines[-1]
    assert "Traceback" not in done.err


# these take seconds, and read by the same reader as the others
SLOW = ("quantize", "train", "evaluate following")


@pytest.mark.parametrize(
    ("verb", "kind"), [(verb, kind) for verb in READERS for kind in RUNS if verb not in SLOW or kind == "UTF-16"]
)
def test_inputs_that_work(verb, kind, run, tmp_path):
    arguments, content, extension = READERS[verb]
    source = tmp_path / f"rows{extension}"
    source.write_bytes(RUNS[kind](content))
    done = run(arguments, source)
    assert done.code == 0, done.err
    assert not [name for name in files_in(tmp_path) if name.endswith((".part", ".tmp"))]


@pytest.mark.parametrize("kind", FAILS)
@pytest.mark.parametrize("verb", READERS)
def test_inputs_that_fail(verb, kind, run, tmp_path):
    arguments, content, extension = READERS[verb]
    change, message = FAILS[kind]
    source = tmp_path / f"rows{extension}"
    source.write_bytes(change(content))
    before = files_in(tmp_path)
    done = run(arguments, source)
    if verb == "medi check" and done.code == 1:  # its task is to report invalid records
        assert "not clean" in done.out
    else:
        check_failure(done, 2, message)
    assert files_in(tmp_path) == before


@pytest.mark.parametrize("verb", READERS)
def test_paths_that_are_no_input(verb, run, tmp_path):
    arguments, content, extension = READERS[verb]
    before = files_in(tmp_path)
    check_failure(run(arguments, tmp_path / f"missing{extension}"), 2, "missing")
    (tmp_path / "rows.docx").write_text(content)
    check_failure(run(arguments, tmp_path / "rows.docx"), 2, ".docx")
    if verb not in ("quantize", "train", "index build", "index add"):  # these read folders
        check_failure(run(arguments, tmp_path), 2, "folder")
    (tmp_path / "rows.docx").unlink()
    assert files_in(tmp_path) == before


@pytest.mark.parametrize("verb", READERS)
def test_links_and_pipes(verb, run, tmp_path):
    arguments, content, extension = READERS[verb]
    (tmp_path / "rows").write_text(content)
    link = tmp_path / f"link{extension}"
    link.symlink_to(tmp_path / "rows")
    assert run(arguments, link).code == 0
    if verb in TWICE:
        return
    pipe = tmp_path / f"pipe{extension}"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(content,))
    writer.start()
    done = run(arguments, pipe)
    writer.join()
    assert done.code == 0, done.err


@pytest.mark.parametrize("verb", READERS)
def test_an_empty_input(verb, run, tmp_path):
    arguments, _, extension = READERS[verb]
    source = tmp_path / f"rows{extension}"
    source.write_bytes(b"")
    done = run(arguments, source)
    if verb.startswith("medi"):  # an empty file of triples is a file of triples
        assert done.code in (0, 1)
        assert "Traceback" not in done.err
    else:
        check_failure(done, 2)


def test_a_huge_cell(run, tmp_path):
    source = tmp_path / "rows.csv"
    source.write_text(f"text,id\n{'word ' * 200_000},1\nplum,2\n")
    done = run(["encode", "INPUT", "-o", "OUTPUT", "--truncate", "quiet"], source, tmp_path / "out.jsonl")
    assert done.code == 0, done.err
    assert "2 texts" in done.err


# verb: arguments, ending; each writes one file
WRITERS = {
    "encode": (["encode", "INPUT", "-o", "OUTPUT"], "jsonl"),
    "medi build": (["medi", "build", "INPUT", "-o", "OUTPUT", "--text-type", "title", "--text-type", "text"], "jsonl"),
    "medi mine": (["medi", "mine", "INPUT", "-o", "OUTPUT"], "jsonl"),
    "cluster": (["cluster", "INPUT", "-k", "2", "-o", "OUTPUT"], "csv"),
    "map": (["map", "INPUT", "-o", "OUTPUT"], "html"),
    "evaluate report": (["evaluate", "report", "SCORES", "-o", "OUTPUT"], "csv"),
}
PAIRS = "".join(
    json.dumps({"query": f"title {n}", "positive": f"text of title {n}", "text": f"text {n}"}) + "\n" for n in range(80)
)


@pytest.fixture
def rows(tmp_path):
    def rows(verb="encode"):
        path = tmp_path / "rows.jsonl"
        path.write_text(TRIPLES if verb == "medi mine" else PAIRS)
        return path

    return rows


@pytest.fixture(scope="session")
def scores(tmp_path_factory):
    """File of scores of two tasks."""
    path = tmp_path_factory.mktemp("scores") / "scores.jsonl"
    config = {"benchmark": "mteb", "model": {"name": "tiny", "fingerprint": "folder:0"}, "instructions": {}}
    for task, value in (("Banking77Classification", 50.0), ("STS12", 25.0)):
        Results(path).add(Score(task, "main_score", value, 8, config))
    return path


@pytest.mark.parametrize("verb", WRITERS)
def test_outputs_that_are_none(verb, run, rows, scores, tmp_path):
    arguments, ending = WRITERS[verb]
    arguments = [str(scores) if word == "SCORES" else word for word in arguments]
    source = rows(verb)
    before = files_in(tmp_path)
    bad = [tmp_path, tmp_path / "no" / f"such.{ending}", f"/proc/out.{ending}"]
    bad += [] if verb == "evaluate report" else [""]
    bad += [tmp_path / "out.docx"] if verb not in ("cluster", "evaluate report") else []
    for target in bad:
        check_failure(run(arguments, source, target), 2)
    assert files_in(tmp_path) == before


@pytest.mark.parametrize("verb", [verb for verb in WRITERS if verb != "evaluate report"])  # a report is short
def test_full_disks(verb, run, rows, tmp_path):
    arguments, ending = WRITERS[verb]
    source, target = rows(verb), tmp_path / f"out.{ending}"
    target.write_bytes(b"keep me")
    before = files_in(tmp_path)
    check_failure(run(arguments, source, target, largest=500), 1, "File too large")
    assert target.read_bytes() == b"keep me"
    assert [name for name in files_in(tmp_path) if not name.startswith("out.jsonl.parts")] == before


def test_devices_links_and_pipes_are_written_through(run, rows, tmp_path):
    rows, encode = rows(), WRITERS["encode"][0]
    done = run([*encode, "--output-format", "jsonl"], rows, "/dev/full")
    check_failure(done, 1, "/dev/full: No space left on device")
    assert run([*encode, "--output-format", "jsonl"], rows, "/dev/null").code == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    link, target = tmp_path / "link.jsonl", tmp_path / "target.jsonl"
    target.write_bytes(b"old")
    link.symlink_to(target)
    assert run(encode, rows, link).code == 0
    assert link.is_symlink()
    assert len(target.read_text().splitlines()) == 80
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(pipe.read_text().splitlines()))
    reader.start()
    assert run(encode, rows, pipe).code == 0
    reader.join()
    assert len(lines) == 80


# verb: arguments; each writes a folder
FOLDER_WRITERS = {
    "quantize": ["quantize", "-o", "OUTPUT"],
    "export": ["export", "onnx", "-o", "OUTPUT"],
    "merge": ["merge", "MODEL", "MODEL", "-o", "OUTPUT"],
    "index build": ["index", "build", "INPUT", "-o", "OUTPUT", "--store", "parquet"],
    "train": ["train", "--train_file", "INPUT", "--output_dir", "OUTPUT", "--max_steps", "1", "--report_to", "none"],
}


@pytest.mark.parametrize("verb", FOLDER_WRITERS)
def test_folders_that_cannot_be_written(verb, run, tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text(PAIRS if verb == "index build" else TRIPLES)
    (tmp_path / "file").write_text("keep me")
    before = files_in(tmp_path)
    for target in (tmp_path / "file", "/proc/out"):
        done = run(FOLDER_WRITERS[verb], source, target)
        assert done.code in (1, 2), done.err
        check_failure(done, done.code, str(target))
    assert (tmp_path / "file").read_text() == "keep me"
    done = run(FOLDER_WRITERS[verb], source, tmp_path / "out", largest=400 if verb == "index build" else 5000)
    assert done.code in (1, 2), done.err
    check_failure(done, done.code, started=verb == "train")
    assert not [name for name in files_in(tmp_path) if "saving" in name or name.endswith((".part", ".tmp"))]
    assert set(files_in(tmp_path)) >= set(before)


# verb: arguments; each reads a model
MODEL_READERS = {
    "info": ["info"],
    "encode": ["encode", "INPUT", "-o", "FOLDER/out.jsonl"],
    "similarity": ["similarity", "a", "b"],
    "bench": ["bench"],
    "quantize": ["quantize", "-o", "FOLDER/out"],
    "export": ["export", "onnx", "-o", "FOLDER/out"],
    "cluster": ["cluster", "INPUT"],
    "map": ["map", "INPUT", "-o", "FOLDER/map.html"],
    "instructions try": ["instructions", "try", "INPUT", "-i", "Represent: ", "-i", "Describe: "],
    "index build": ["index", "build", "INPUT", "-o", "FOLDER/index", "--store", "parquet"],
    "evaluate selftest": ["evaluate", "selftest"],
    "serve": ["serve", "--port", "0"],
}


@pytest.mark.parametrize("verb", MODEL_READERS)
def test_models_that_are_none(verb, cli, tmp_path):
    """A missing folder, an empty one, a file, and a corrupt model: one line, nothing is written."""
    (tmp_path / "rows.csv").write_text(TEXTS)
    (tmp_path / "empty").mkdir()
    (tmp_path / "corrupt").mkdir()
    (tmp_path / "corrupt" / "config.json").write_text("{")
    before = files_in(tmp_path)
    names = {"INPUT": "rows.csv", "FOLDER/": "", "OUTPUT": "out"}
    words = [reduce(lambda text, name: text.replace(name, f"{tmp_path}/{names[name]}"), names, word)
             for word in MODEL_READERS[verb]]  # fmt: skip
    for name in ("missing/", "empty", "corrupt", "rows.csv"):
        done = cli(*words, "-m", str(tmp_path / name) + ("/" if name.endswith("/") else ""))
        check_failure(done, 1, name.rstrip("/"))
    assert files_in(tmp_path) == before
