"""Every verb against every kind of bad input and output: one line, the exit code, no files left, no traceback."""

import gzip
import json
import os
import resource
import stat
import threading

import pytest

pytestmark = pytest.mark.slow

WORDS = ["bread", "cake", "soup", "plum", "rye", "train", "bus", "plane", "ship", "rain"]
TEXTS = "text,label,id\n" + "".join(f"a {word},{'food' if n < 5 else 'travel'},{n}\n" for n, word in enumerate(WORDS))
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
    "train": (
        ["train", "--train_file", "INPUT", "--output_dir", "FOLDER/out", "--max_steps", "1", "--report_to", "none"],
        TRIPLES,
        ".jsonl",
    ),
}
WITHOUT_MODEL = ("medi", "train")
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


@pytest.fixture
def run(command, tmp_path, folders):
    """Run a verb on an input or output, below a limit of file sizes where one is given."""

    def run(arguments, source="", target="", largest=None):
        folder = tmp_path / "work"
        filled = [str(word).replace("INPUT", str(source)).replace("OUTPUT", str(target)) for word in arguments]
        filled = [word.replace("FOLDER", str(folder)) for word in filled]
        if arguments[0] == "train":
            filled += ["--model_name_or_path", folders["relu"]]
        if largest is None:
            return command(*filled, model=arguments[0] not in WITHOUT_MODEL)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
        try:
            return command(*filled, model=arguments[0] not in WITHOUT_MODEL)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    (tmp_path / "work").mkdir()
    return run


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def check_failure(done, code, message="", started=False):
    """Require one line; a run that has `started` may have reported its data before."""
    assert done.code == code, done.err
    lines = [line for line in done.err.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1 or started, done.err
    assert [line for line in lines if line.startswith("instructor-embed: ")] == lines[-1:]
    assert message in lines[-1]
    assert "Traceback" not in done.err


@pytest.mark.parametrize("kind", RUNS)
@pytest.mark.parametrize("verb", READERS)
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
    if verb not in ("quantize", "train"):  # these two read folders
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
    if verb in ("train", "medi check", "medi inspect"):  # these read their input more than once
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


# verb: arguments; each writes one file
WRITERS = {
    "encode": ["encode", "INPUT", "-o", "OUTPUT"],
    "medi build": ["medi", "build", "INPUT", "-o", "OUTPUT", "--text-type", "title", "--text-type", "text"],
}
PAIRS = "".join(
    json.dumps({"query": f"title {n}", "positive": f"text of title {n}", "text": "x"}) + "\n" for n in range(8)
)


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(PAIRS)
    return path


@pytest.mark.parametrize("verb", WRITERS)
def test_outputs_that_are_none(verb, run, rows, tmp_path):
    before = files_in(tmp_path)
    for target in (tmp_path, tmp_path / "no" / "such.jsonl", "/proc/out.jsonl", "", tmp_path / "out.docx"):
        check_failure(run(WRITERS[verb], rows, target), 2)
    assert files_in(tmp_path) == before


@pytest.mark.parametrize("verb", WRITERS)
def test_full_disks(verb, run, rows, tmp_path):
    target = tmp_path / "out.jsonl"
    target.write_bytes(b"keep me")
    before = files_in(tmp_path)
    check_failure(run(WRITERS[verb], rows, target, largest=1000), 1, "File too large")
    assert target.read_bytes() == b"keep me"
    assert [name for name in files_in(tmp_path) if not name.startswith("out.jsonl.parts")] == before


def test_devices_links_and_pipes_are_written_through(run, rows, tmp_path):
    done = run(WRITERS["encode"] + ["--output-format", "jsonl"], rows, "/dev/full")
    check_failure(done, 1, "/dev/full: No space left on device")
    assert run(WRITERS["encode"] + ["--output-format", "jsonl"], rows, "/dev/null").code == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    link, target = tmp_path / "link.jsonl", tmp_path / "target.jsonl"
    target.write_bytes(b"old")
    link.symlink_to(target)
    assert run(WRITERS["encode"], rows, link).code == 0
    assert link.is_symlink()
    assert len(target.read_text().splitlines()) == 8
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(pipe.read_text().splitlines()))
    reader.start()
    assert run(WRITERS["encode"], rows, pipe).code == 0
    reader.join()
    assert len(lines) == 8


# verb: arguments; each writes a folder
FOLDER_WRITERS = {
    "quantize": ["quantize", "-o", "OUTPUT"],
    "export": ["export", "onnx", "-o", "OUTPUT"],
    "train": ["train", "--train_file", "INPUT", "--output_dir", "OUTPUT", "--max_steps", "1", "--report_to", "none"],
}


@pytest.mark.parametrize("verb", FOLDER_WRITERS)
def test_folders_that_cannot_be_written(verb, run, tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text(TRIPLES)
    (tmp_path / "file").write_text("keep me")
    before = files_in(tmp_path)
    for target in (tmp_path / "file", "/proc/out"):
        done = run(FOLDER_WRITERS[verb], source, target)
        assert done.code in (1, 2), done.err
        check_failure(done, done.code, str(target))
    assert (tmp_path / "file").read_text() == "keep me"
    done = run(FOLDER_WRITERS[verb], source, tmp_path / "out", largest=5000)
    assert done.code in (1, 2), done.err
    check_failure(done, done.code, started=verb == "train")
    assert not [name for name in files_in(tmp_path) if "saving" in name or name.endswith((".part", ".tmp"))]
    assert set(files_in(tmp_path)) >= set(before)
