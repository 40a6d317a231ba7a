"""A bulk job: the rows it reads, the shards it writes, and how it resumes."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from instructor_embedding import Encoder, InputError, OutputError
from instructor_embedding.bulk import shard
from instructor_embedding.bulk.job import Job, Task
from instructor_embedding.bulk.run import Progress, run
from instructor_embedding.bulk.verify import verify
from instructor_embedding.files import manifest as manifests
from instructor_embedding.files import shards
from tests.bulk.conftest import rows_of, shard_bytes, text

COMMAND = [sys.executable, "-m", "instructor_embedding", "bulk"]


def test_rows_vectors_rejects_and_manifest(finished, folders, tmp_path):
    folder = finished(instruction="Represent it: ")
    rows = rows_of(folder, "id", "text", "year", "embedding")
    assert [row["id"] for row in rows] == [f"{kind}{n}" for kind, count in (("a", 40), ("b", 27), ("c", 20))
                                           for n in range(count)]  # fmt: skip
    assert rows[45]["text"] == f"{text(5)}, yes"
    assert rows[45]["year"] == 5
    vectors = np.array([row["embedding"] for row in rows], np.float32)
    expected = Encoder(folders["relu"]).encode([["Represent it: ", row["text"]] for row in rows])
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    rejects = [json.loads(line) for line in Path(folder, "rejects.jsonl").read_text().splitlines()]
    assert [(Path(reject["file"]).name, reject["position"]) for reject in rejects] == [
        ("a.jsonl", f"line {n}") for n in (8, 9, 10)
    ]
    assert rejects[0]["why"].startswith("invalid JSON")
    assert rejects[2]["why"] == "the text is empty"
    manifest = manifests.read(folder)
    assert manifest.origin["counts"]["rows"] == 87
    assert [source["rows"] for source in manifest.origin["inputs"]] == [43, 27, 20]
    assert len(manifest.shards) == 5 + 3 + 2
    assert verify(folder) == (87, [])


def test_the_index_reads_it(finished, cli, folders):
    folder = finished()
    done = cli("index", "search", folder, text(3), "-k", "1", "--where", "year < 10", "--json")
    assert done.code == 0, done.err
    assert "text" in json.loads(done.out)


@pytest.mark.parametrize("storage", ["float16", "int8", "binary"])
def test_other_formats_of_vectors(storage, finished, cli):
    folder = finished(storage=storage)
    assert verify(folder) == (87, [])
    done = cli("index", "search", folder, text(3), "-k", "5", "--json")
    assert done.code == 0, done.err
    exact = np.array([row["embedding"] for row in rows_of(finished("exact"), "embedding")], np.float32)
    codes = np.array([row["embedding"] for row in rows_of(folder, "embedding")], shards.STORAGE[storage])
    decoded = shard.stored_codes(folder).decode(codes) if storage != "float16" else codes.astype(np.float32)
    cosines = (decoded * exact).sum(1) / np.linalg.norm(decoded, axis=1)
    assert cosines.min() > (0.5 if storage == "binary" else 0.99)


def test_ids_are_file_and_line(finished, corpus):
    ids = [row["id"] for row in rows_of(finished(id_column=None, names=[f"{corpus}/*.jsonl"]), "id")]
    assert ids[:8] == [f"{corpus}/a.jsonl#{line}" for line in (1, 2, 3, 4, 5, 6, 7, 11)]


def test_own_instructions(finished, tmp_path):
    rows = [{"text": f"loaf {n}", "instruction": f"Represent {n % 2}: " if n else ""} for n in range(5)]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    folder = finished(names=[str(tmp_path / "own.jsonl")], id_column=None, columns={}, instruction="Represent: ")
    stored = [row["instruction"] for row in rows_of(folder, "instruction")]
    assert stored == ["Represent: ", "Represent 1: ", "Represent 0: ", "Represent 1: ", "Represent 0: "]


@pytest.mark.parametrize("start", [0, 1, 5, 6, 7, 13, 20, 21])
def test_reading_from_a_record_on(start, corpus):
    from instructor_embedding.files.pairs import Columns, read_rows_or_rejects
    from instructor_embedding.files.records import count_records

    packed = corpus / "d.jsonl.gz"
    packed.write_bytes(gzip.compress((corpus / "a.jsonl").read_bytes()))
    listed = corpus / "e.json"
    listed.write_text(json.dumps([text(n) for n in range(21)]))
    for name in ("a.jsonl", "b.csv", "more/c.parquet", "d.jsonl.gz", "e.json", "notes.txt"):
        columns = Columns() if name in ("e.json", "notes.txt") else Columns(keep=["id"])
        items = list(read_rows_or_rejects(corpus / name, columns, "I"))
        assert list(read_rows_or_rejects(corpus / name, columns, "I", start=start)) == items[start:]
        assert count_records(corpus / name, default="txt") == len(items)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", range(0, 40, 7))
def test_stopped_anywhere_it_resumes(moment, request_of, finished, monkeypatch):
    """Each file operation and each window is a moment at which the process may end."""
    expected = shard_bytes(finished("complete"))
    request, calls = request_of(), 0

    def counted(function):
        def call(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls == moment + 1:
                raise Killed
            return function(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink", "fsync"):
            patch.setattr(os, name, counted(getattr(os, name)))
        progress = Progress(advance=counted(lambda rows, tokens: None))
        try:
            run(request, progress)
        except Killed:
            assert not Path(request.folder, "manifest.json").exists() or moment > 30
    summary = run(request, Progress())
    assert summary.rows == 87
    assert shard_bytes(request.folder) == expected
    assert verify(request.folder) == (87, [])
    assert run(request, Progress()).resumed == 10


@pytest.mark.slow
def test_kill_minus_nine(folders, corpus, tmp_path):
    """A real one, with two workers; then a worker alone."""
    arguments = [str(corpus), "-m", str(folders["relu"]), "--id", "id", "--shard-rows", "3"]
    subprocess.run([*COMMAND, *arguments, "-o", tmp_path / "complete"], check=True, capture_output=True)
    out = tmp_path / "out"
    command = [*COMMAND, *arguments, "-o", str(out), "--workers", "2"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(out.glob("*.parquet"))) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    process.wait()
    subprocess.run(command, check=True, capture_output=True)
    assert shard_bytes(out) == shard_bytes(tmp_path / "complete")


@pytest.mark.slow
def test_a_worker_killed_alone(request_of, finished):
    import multiprocessing

    victims = []

    def advance(rows, tokens):
        if not victims:
            victims.append(multiprocessing.active_children()[0].pid)
            os.kill(victims[0], signal.SIGKILL)

    folder = finished("out", Progress(advance=advance), workers=2)
    assert victims
    assert shard_bytes(folder) == shard_bytes(finished("complete"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"instruction": "Other: "},
            "was begun with instruction 'Represent the document for retrieval: ', not 'Other: '",
        ),
        ({"columns": {}}, "was begun with columns {'year': 'int'}"),
        ({"storage": "float16"}, "was begun with storage 'float32'"),
        ({"shard_rows": 11}, "shard rows 10, not 11"),
        ({"names": ["b.csv"]}, "which is not among the inputs"),
    ],
)
def test_another_job_is_refused(change, message, finished, corpus):
    folder = finished()
    if "names" in change:
        change = {"names": [str(corpus / "b.csv")]}
    with pytest.raises(InputError) as caught:
        finished(**change)
    assert message in str(caught.value)
    assert "--fresh" in str(caught.value)
    assert finished(**change, fresh=True) == folder
    assert verify(folder)[1] == []


def test_another_model_and_a_changed_input_are_refused(finished, request_of, corpus, folders):
    finished()
    request = request_of()
    other = request.settings._replace(model=str(folders["gated"]))
    with pytest.raises(InputError, match="was begun with model"):
        run(type(request)(**{**vars(request), "settings": other}), Progress())
    content = (corpus / "b.csv").read_text()
    (corpus / "b.csv").write_text(content.replace("b3,", "b9,"))
    with pytest.raises(InputError, match=r"other content of .*b\.csv"):
        finished()
    (corpus / "b.csv").write_text(content)  # the time differs, the content does not
    finished()


@pytest.mark.parametrize("damage", ["truncated", "missing", "changed", "foreign"])
def test_verify_and_resume_see_a_damaged_shard(damage, finished, tmp_path):
    folder = finished()
    expected, path = shard_bytes(folder), Path(folder, "00004.parquet")
    content = path.read_bytes()
    middle = len(content) // 3
    changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    other = Path(folder, "00001.parquet").read_bytes()
    path.write_bytes({"truncated": content[:-9], "missing": b"", "changed": changed, "foreign": other}[damage])
    if damage == "missing":
        path.unlink()
    problems = verify(folder)[1]
    assert problems
    assert "00004.parquet" in problems[0]
    if damage != "changed":  # only reading all of it shows that
        finished()
        assert shard_bytes(folder) == expected


def test_verify_sees_duplicate_ids_and_changed_inputs(finished, corpus):
    folder = finished()
    (corpus / "a.jsonl").write_text((corpus / "a.jsonl").read_text() + " ")
    assert "was changed" in verify(folder)[1][0]
    (corpus / "b.csv").write_text("id,text,year\nq,rye,1\nr,rye,2\nq,rye,3\n")
    assert "the first 'q'" in verify(finished("twice", names=[str(corpus / "b.csv")]))[1][0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jsonl", "", "the inputs have no rows"),
        ("header.csv", "id,text,year\n", "the inputs have no rows"),
        ("other.csv", "id,title,year\n1,rye,2\n", "has no column 'text'"),
        ("other.jsonl", '{"id": 1, "title": "rye", "year": 1}\n', "none of the first 1 rows"),
        ("types.jsonl", '{"id": 1, "text": 5, "year": 1}\n', "none of the first 1 rows"),
        (
            "cut.jsonl.gz",
            gzip.compress(b'{"id": "1", "text": "rye", "year": 1}\n' * 99, mtime=0)[:-20],
            "truncated or corrupt",
        ),
        ("cut.parquet", b"PAR1 and no more", "is not a parquet file"),
    ],
)
def test_inputs_that_are_not_rows(name, content, message, finished, tmp_path):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        finished("bad", names=[str(path)])
    assert not list((tmp_path / "bad").glob("*.parquet"))
    assert not (tmp_path / "bad" / "job.json").exists()


def test_mixed_types_and_a_cell_of_5_mb(finished, tmp_path):
    long = "rye bread " * 500_000
    values = ["rye", 5, None, ["a", "b"], {"x": 1}, long, True]
    lines = [json.dumps({"id": n, "text": value, "year": "x" if n == 0 else n}) for n, value in enumerate(values)]
    (tmp_path / "mixed.jsonl").write_text("\n".join(lines))
    folder = finished(names=[str(tmp_path / "mixed.jsonl")])
    assert [row["text"] == long for row in rows_of(folder, "text")] == [True]
    whys = [json.loads(line)["why"] for line in Path(folder, "rejects.jsonl").read_text().splitlines()]
    assert len(whys) == 6
    assert "not an int" in whys[0]
    assert manifests.read(folder).origin["counts"]["truncated"] == 1


def test_outputs_that_cannot_be_written(finished, request_of, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="it is a file"):
        finished("file")
    with pytest.raises(InputError, match="cannot make the folder"):
        finished("file/below")
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:  # as on a full disk, writing fails in the middle of a file
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        with pytest.raises(OutputError, match="File too large"):
            finished("full")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert not list((tmp_path / "full").glob("*.parquet"))
    assert not list((tmp_path / "full").glob(".*.tmp"))
    assert finished("full")


def test_two_jobs_at_once_are_refused(finished, request_of):
    request = request_of()

    def advance(rows, tokens):
        with pytest.raises(InputError, match="another process writes to"):
            run(request, Progress())

    finished(progress=Progress(advance=advance))


def test_the_command(cli, corpus, folders, tmp_path):
    out = tmp_path / "out"
    done = cli("bulk", corpus, "-o", out, "-m", folders["relu"], "--id", "id", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["rows"] == 87
    assert "87 rows, no problems" in cli("bulk", "--verify", out).err
    estimate = json.loads(cli("bulk", corpus, "-m", folders["relu"], "--dry-run", "--json").out)
    assert (estimate["rows"], estimate["files"]) == (90, 3)
    (out / "00000.parquet").unlink()
    done = cli("bulk", "--verify", out, "--json")
    assert done.code == 1
    assert "is missing" in json.loads(done.out)["problems"][0]
    for arguments in (["bulk", corpus], ["bulk", "-", "-o", out], ["bulk", "none.csv", "-o", out]):
        assert cli(*arguments).code == 2


def test_tasks_do_not_depend_on_workers():
    job = Job("m", "f", 4, "exact", "", "", shard_rows=4)
    assert list(job.tasks()) == []
    from instructor_embedding.bulk.job import Input

    job = Job("m", "f", 4, "exact", "", "", shard_rows=4, inputs=(Input("a", 1, 1, "h", 9), Input("b", 1, 1, "h", 4)))
    assert list(job.tasks()) == [Task(0, 0, 0, 4), Task(1, 0, 4, 8), Task(2, 0, 8, 9), Task(3, 1, 0, 4)]
