"""Records of each format, from files, folders, saved datasets and the hub, as training draws them."""

import csv
import gzip
import json

import pytest

pytest.importorskip("transformers")

from instructor_embedding import InputError, ModelNotFoundError, Pair
from instructor_embedding.medi.forms import Match
from instructor_embedding.training.data import TrainingData, read_data
from instructor_embedding.training.settings import DataSettings

RECORDS = [{"query": f"query {n}", "positive": f"text {n}", "negative": f"other {n}"} for n in range(6)]


def write(path, records):
    """Write records in the format of the path's ending."""
    if ".parquet" in path.name:
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.Table.from_pylist(records), path)
        return path
    if ".csv" in path.name or ".tsv" in path.name:
        import io

        file = io.StringIO(newline="")
        writer = csv.DictWriter(file, list(records[0]), delimiter="\t" if ".tsv" in path.name else ",")
        writer.writeheader()
        writer.writerows(records)
        text = file.getvalue()
    elif ".jsonl" in path.name:
        text = "".join(json.dumps(record) + "\n" for record in records)
    else:
        text = json.dumps(records)
    content = text.encode()
    if path.suffix == ".gz":
        content = gzip.compress(content)
    if path.suffix == ".zst":
        content = pytest.importorskip("zstandard").compress(content)
    path.write_bytes(content)
    return path


def data_of(*files, **settings):
    return read_data(DataSettings(train_file=[str(file) for file in files], **settings), seed=0)


@pytest.mark.parametrize(
    "name", ["a.json", "a.jsonl", "a.csv", "a.tsv", "a.parquet", "a.csv.gz", "a.jsonl.gz", "a.tsv.zst", "a.json.zst"]
)
def test_each_format(tmp_path, name):
    data = data_of(write(tmp_path / name, RECORDS))
    assert [task.name for task in data.names] == ["a"]
    assert data.item(3) == Match(Pair("", "query 3"), (Pair("", "text 3"),), (Pair("", "other 3"),))
    assert len(data) == 6


def test_several_files_folders_and_globs(tmp_path):
    for folder, count in (("one", 2), ("two", 3)):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "train.csv", RECORDS[:count])
        (tmp_path / folder / "README.md").write_text("not data")
    write(tmp_path / "three.jsonl", RECORDS[:4])
    expected = {"one/train": 2, "two/train": 3, "three": 4}
    for names in (
        [tmp_path / "one", tmp_path / "two", tmp_path / "three.jsonl"],
        [tmp_path / "*" / "train.csv", tmp_path / "three.*"],
    ):
        data = data_of(*names)
        assert {data.names[task].name: count for task, count in data.counts().items()} == expected
    assert {task.name for task in data_of(tmp_path).names} == set(expected)


def test_a_column_names_the_task(tmp_path):
    rows = [{**record, "topic": f"topic {n % 2}"} for n, record in enumerate(RECORDS)]
    data = data_of(write(tmp_path / "a.csv", rows), columns=["task=topic"])
    assert [task.name for task in data.names] == ["topic 0", "topic 1"]


def test_own_columns_and_a_table_of_instructions(tmp_path):
    rows = [{"title": "a title", "body": "a body", "other": "no"}] * 2
    file = write(tmp_path / "news.csv", rows)
    table = write(tmp_path / "table.csv", [{"task": "news", "query": "Represent the title: ", "document": ""}])
    columns = ["query=title", "positive=body", "negative=other"]
    data = data_of(file, columns=columns, instructions=str(table), document_instruction="unused: ")
    assert data.item(0) == Match(Pair("Represent the title: ", "a title"), (Pair("", "a body"),), (Pair("", "no"),))
    with pytest.raises(InputError, match="columns: 'quory' is unknown; did you mean 'query'"):
        data_of(file, columns=["quory=title"])
    with pytest.raises(InputError, match="'title' must be what=name"):
        data_of(file, columns=["title"])


def test_a_broken_record_is_named_with_file_and_line(tmp_path):
    file = write(tmp_path / "a.csv", [*RECORDS[:2], {**RECORDS[2], "positive": ""}])
    with pytest.raises(InputError, match=r"a\.csv, line 4: the text of pos is empty"):
        data_of(file)


@pytest.mark.parametrize("split", ["", "train"])
def test_saved_datasets(tmp_path, split):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list(RECORDS)
    if split:
        datasets.DatasetDict({"train": rows, "test": rows.select(range(2))}).save_to_disk(tmp_path / "saved")
    else:
        rows.save_to_disk(tmp_path / "saved", num_shards=2)
    data = data_of(tmp_path / "saved")
    assert len(data) == 6
    assert data.item(5).query.text == "query 5"
    assert data.names[0].name == "saved"
    (tmp_path / "more").mkdir()
    write(tmp_path / "more" / "x.csv", RECORDS)
    (tmp_path / "saved").rename(tmp_path / "more" / "saved")
    assert len(data_of(tmp_path / "more")) == 12


def test_several_negatives_are_drawn_anew_in_each_epoch(tmp_path):
    rows = [{"query": "q", "pos": ["p0", "p1"], "neg": [f"n{n}" for n in range(10)]}, {"query": "r", "pos": "p"}]
    file = write(tmp_path / "a.jsonl", rows)
    data = data_of(file, negatives=3)
    draws = [data[0, epoch] for epoch in range(20)]
    assert draws == [data[0, epoch] for epoch in range(20)]
    assert all(len(draw.pairs) == len(set(draw.pairs)) == 5 for draw in draws)
    assert {draw.pairs[1].text for draw in draws} == {"p0", "p1"}
    assert {pair.text for draw in draws for pair in draw.pairs[2:]} == {f"n{n}" for n in range(10)}
    assert data[1, 0].pairs == (Pair("", "r"), Pair("", "p"))


def test_labelled_texts_get_partners_of_their_label(tmp_path):
    rows = [{"text": f"text {n}", "label": "abc"[n % 3]} for n in range(30)] + [{"text": "alone", "label": "d"}]
    data = data_of(write(tmp_path / "a.csv", rows))
    label = {row["text"]: row["label"] for row in rows}
    others = set()
    for index in range(30):
        for epoch in range(4):
            query, pos, neg = (pair.text for pair in data[index, epoch].pairs)
            assert label[query] == label[pos] != label[neg]
            assert query != pos
            others.add(neg)
    assert "alone" in others
    assert data.left_out == {"a": "1 records whose label no other has; they serve as negatives alone"}
    assert not data.usable[30]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "a", "label": "x"}, {"text": "b", "label": "x"}], "a: 2 records of one label"),
        ([{"query": "a", "positive": "b"}], "a: 1 record without a negative"),
        ([{"text1": "a", "text2": "b", "score": 1}], "a: 1 record without a negative"),
    ],
)
def test_what_nothing_can_be_learned_from_is_refused(tmp_path, rows, message):
    with pytest.raises(InputError, match=f"there is nothing to train on: {message}"):
        data_of(write(tmp_path / "a.jsonl", rows))


def test_missing_and_empty_files(tmp_path):
    with pytest.raises(InputError, match=r"there is no file gone\.csv"):
        data_of("gone.csv")
    with pytest.raises(InputError, match=r"no file matches .*\*\.csv"):
        data_of(tmp_path / "*.csv")
    with pytest.raises(InputError, match="holds no data files"):
        data_of(tmp_path)
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(InputError, match="holds no records"):
        data_of(tmp_path / "empty.jsonl")
    file = write(tmp_path / "a.csv", RECORDS)
    with pytest.raises(InputError, match=r"names .*a\.csv twice"):
        data_of(file, tmp_path / "a.*")


def test_the_fingerprint_is_that_of_the_records(tmp_path):
    first = data_of(write(tmp_path / "a.csv", RECORDS)).fingerprint
    assert data_of(write(tmp_path / "b.jsonl", RECORDS)).fingerprint == first
    assert data_of(write(tmp_path / "c.csv", RECORDS[::-1])).fingerprint != first


def test_texts_for_distillation(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("one\n\ntwo\n")
    data = read_data(DataSettings(text_file=str(file), text_instruction="I: "), seed=0)
    assert [data.item(index) for index in range(2)] == [Pair("I: ", "one"), Pair("I: ", "two")]
    with pytest.raises(InputError, match="belong to train_file"):
        read_data(DataSettings(text_file=str(file), query_instruction="Q: "), seed=0)


def test_a_dataset_of_the_hub(tmp_path, monkeypatch):
    from tests.training.dataset_hub import dataset_hub

    (tmp_path / "hub" / "some" / "pairs" / "data").mkdir(parents=True)
    home = tmp_path / "hub" / "some" / "pairs"
    write(home / "data" / "train-00000-of-00002.parquet", RECORDS[:3])
    write(home / "data" / "train-00001-of-00002.parquet", RECORDS[3:])
    write(home / "data" / "test-00000-of-00001.parquet", RECORDS[:1])
    (home / "README.md").write_text("a dataset")
    with dataset_hub(tmp_path / "hub", monkeypatch):
        data = data_of("some/pairs", cache_dir=str(tmp_path / "cache"))
        assert len(data) == 6
        with pytest.raises(ModelNotFoundError, match="there is no file some/other, and the hub has no dataset"):
            data_of("some/other", cache_dir=str(tmp_path / "cache"))


def test_memory_holds_no_texts(tmp_path):
    items = (("t", Match(Pair("", "x" * 1000 + str(n)), (Pair("", "y" * 1000),))) for n in range(2000))
    import tracemalloc

    tracemalloc.start()
    data = TrainingData(items)
    assert tracemalloc.get_traced_memory()[0] < 500_000
    tracemalloc.stop()
    assert data.item(1999).query.text.endswith("1999")


def test_worker_processes_read_the_same_records(tmp_path):
    import pickle

    rows = [{"text": f"text {n}", "label": "ab"[n % 2]} for n in range(8)]
    data = data_of(write(tmp_path / "a.jsonl", rows))
    copy = pickle.loads(pickle.dumps(data))
    assert [copy[n, 1] for n in range(8)] == [data[n, 1] for n in range(8)]
    del copy
    assert data.item(3).text.text == "text 3"
