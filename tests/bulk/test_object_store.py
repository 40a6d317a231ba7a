"""Inputs and outputs by URL, on a server with the interface of S3 in this process."""

import pytest

from instructor_embedding import InputError, OutputError
from instructor_embedding.bulk.run import Progress, run
from instructor_embedding.bulk.verify import verify
from instructor_embedding.files import object_store
from instructor_embedding.files.atomic import replacing
from instructor_embedding.files.records import read_records
from tests.bulk.conftest import shard_bytes


@pytest.fixture
def bucket(monkeypatch):
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    pytest.importorskip("boto3", reason="boto3 is not installed")
    server = moto.ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    import boto3

    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}")
    client.create_bucket(Bucket="corpus")
    yield client
    object_store._filesystem.cache_clear()
    server.stop()


@pytest.fixture
def uploaded(bucket, corpus):
    for path in corpus.rglob("*.*"):
        bucket.upload_file(str(path), "corpus", f"in/{path.relative_to(corpus).as_posix()}")
    return "s3://corpus/in"


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_job_in_a_bucket(workers, uploaded, request_of, finished, bucket):
    request = request_of(names=[uploaded], workers=workers)
    request = type(request)(**{**vars(request), "folder": "s3://corpus/out"})
    assert run(request, Progress()).rows == 87
    assert verify("s3://corpus/out") == (87, [])
    with object_store.open_random("s3://corpus/out/00007.parquet") as file:
        import pyarrow.parquet as parquet

        vectors = parquet.read_table(file)["embedding"].to_pylist()
    local = finished()
    import pyarrow.parquet as parquet

    assert vectors == parquet.read_table(f"{local}/00007.parquet")["embedding"].to_pylist()
    assert len(shard_bytes(local)) == 10
    bucket.delete_object(Bucket="corpus", Key="out/00003.parquet")
    assert "is missing" in verify("s3://corpus/out")[1][0]
    assert run(request, Progress()).resumed == 9
    assert verify("s3://corpus/out") == (87, [])
    bucket.put_object(Bucket="corpus", Key="in/b.csv", Body=b"id,text,year\n1,rye,2\n")
    with pytest.raises(InputError, match=r"other content of s3://corpus/in/b\.csv"):
        run(request, Progress())


def test_patterns_and_what_is_not_there(uploaded, bucket):
    names = [entry.name for entry in object_store.entries("s3://corpus/in/*.parquet")]
    assert names == ["s3://corpus/in/more/c.parquet"]
    assert [entry.name for entry in object_store.entries("s3://corpus/none")] == []
    with pytest.raises(InputError, match="there is no such object"):
        list(read_records("s3://corpus/in/none.jsonl"))
    assert len(list(read_records("s3://corpus/in/b.csv"))) == 27
    with pytest.raises(OutputError, match="cannot write s3://nowhere/x"), replacing("s3://nowhere/x") as file:
        file.write(b"x")
    with pytest.raises(ZeroDivisionError), replacing("s3://corpus/half") as file:
        file.write(b"%d" % (1 // 0))
    assert not object_store.is_file("s3://corpus/half")


def test_other_schemes_are_those_of_fsspec(tmp_path):
    with replacing("memory://folder/a.jsonl") as file:
        file.write(b'{"text": "rye"}\n')
    assert [record for _, record in read_records("memory://folder/a.jsonl")] == [{"text": "rye"}]
    assert [entry.size for entry in object_store.entries("memory://folder")] == [16]
    with pytest.raises(InputError, match="known: s3://, gs://, abfs://"):
        object_store.entry_of("nothing://x/y")
