"""A job on a cluster of two nodes on this machine: both work, and one may die. `make test-ray` runs this."""

import threading
import time
from pathlib import Path

import pytest

from instructor_embedding.bulk.on_ray import Actor
from instructor_embedding.bulk.run import Progress, run
from instructor_embedding.bulk.verify import verify
from tests.bulk.conftest import shard_bytes

ray = pytest.importorskip("ray", reason="ray is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture
def cluster():
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    nodes.add_node(num_cpus=2)
    ray.init(nodes.address, log_to_driver=False, logging_level="ERROR")
    nodes.wait_for_nodes()
    yield nodes
    ray.shutdown()
    nodes.shutdown()


class SlowActor(Actor):
    """Slow enough that a node dies before the job ends; a file per node shows which ones worked."""

    def __call__(self, batch):
        nodes = Path(f"{self.folder}-nodes")
        nodes.mkdir(exist_ok=True)
        (nodes / ray.get_runtime_context().get_node_id()).touch()
        time.sleep(0.3)
        return super().__call__(batch)


def test_two_nodes_of_which_one_dies(cluster, request_of, finished, monkeypatch):
    from instructor_embedding.bulk import on_ray

    monkeypatch.setattr(on_ray, "Actor", SlowActor)
    expected = shard_bytes(finished("complete", shard_rows=2))
    request = request_of("both", shard_rows=2, workers=3)
    assert on_ray.run(request, Progress(), cluster.address).rows == 87
    assert len(list(Path(f"{request.folder}-nodes").iterdir())) == 2
    assert shard_bytes(request.folder) == expected
    assert verify(request.folder) == (87, [])

    request, killed = request_of("one", shard_rows=2, workers=3), []

    def kill(rows, tokens):
        done = len(list(Path(request.folder).glob("*.parquet")))
        if not killed and done >= len(expected) // 2:
            killed.append(done)
            threading.Thread(target=cluster.remove_node, args=(cluster.list_all_nodes()[-1],)).start()

    assert on_ray.run(request, Progress(advance=kill), cluster.address).rows == 87
    assert killed
    assert killed[0] < len(expected)
    assert shard_bytes(request.folder) == expected
    assert verify(request.folder) == (87, [])


def test_one_form_resumes_the_other(cluster, request_of, finished, folders):
    from instructor_embedding.bulk import on_ray

    expected = shard_bytes(finished("complete"))
    request = request_of("mixed", workers=2)
    run(request, Progress())
    for name in list(expected)[::2]:
        Path(request.folder, name).unlink()
    summary = on_ray.run(request, Progress(), cluster.address)
    assert summary.resumed == len(expected) - len(list(expected)[::2])
    assert shard_bytes(request.folder) == expected
