"""A job on a Ray cluster: Ray Data hands the tasks to a pool of actors, each of which loads the model once.

A row of the dataset is a task, and its result is what the footer of the shard records: texts and vectors do not pass
through Ray's object store. An actor reads its rows from the inputs and writes the shard to the output, which all
nodes must reach under the same name. The shards are the record of what is done, so that a job that was begun on one
machine resumes on a cluster, and the other way around. Ray repeats the tasks of a node that dies; a shard that is
there already is not made again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from instructor_embedding import fingerprint
from instructor_embedding.bulk import job as jobs
from instructor_embedding.bulk import run as runs
from instructor_embedding.bulk.job import Job, Task
from instructor_embedding.bulk.pool import ModelSettings
from instructor_embedding.bulk.run import Progress, Request, Summary
from instructor_embedding.bulk.shard import Advance, Facts, ShardMaker, complete
from instructor_embedding.errors import InputError, first_line
from instructor_embedding.extras import need
from instructor_embedding.model import hub

_BLOCKS = 4096  # of a dataset: more tasks share blocks


def run(request: Request, progress: Progress, address: str, cpus: float = 1, gpus: float = 0) -> Summary:
    """Run a job on a cluster; otherwise as `run.run`.

    Parameters
    ----------
    request, progress
        `request.workers` are the actors.
    address : str
        ``"auto"``: the cluster that this machine is part of; ``"local"``: a new one on this machine; ``"host:port"``.
    cpus, gpus : float
        Of an actor; fractions let several share a CPU or a GPU.

    Raises
    ------
    MissingExtraError
        Ray is not installed.
    InputError
        There is no such cluster.
    """
    ray = need("ray", "running on a cluster")
    data = need("ray.data", "running on a cluster")
    if not ray.is_initialized():
        try:
            ray.init(address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = first_line(error)
            raise InputError(f"--ray {address}: there is no such cluster ({reason}); ray start --head") from None
    data.DataContext.get_current().enable_progress_bars = False

    def make(tasks: Iterable[Task], advance: Advance) -> Iterator[Facts]:
        items = [{"task": list(task)} for task in tasks]
        if not items:
            return
        job = jobs.read(request.folder)
        assert job is not None, "it was written before its tasks"
        settings = _settings(request.settings._replace(model=job.model), cpus, gpus)
        dataset = data.from_items(items, override_num_blocks=min(len(items), _BLOCKS)).map_batches(
            Actor,
            fn_constructor_args=(job, request.folder, settings),
            batch_size=1,
            compute=data.ActorPoolStrategy(min_size=1, max_size=request.workers),
            num_cpus=cpus,
            num_gpus=gpus or None,
        )
        for row in dataset.iter_rows():
            facts = Facts(**{**row["facts"], "task": Task(*row["facts"]["task"])})
            advance(facts.task.stop - facts.task.start, facts.tokens)
            yield facts

    return runs.run(request, progress, make)


def _settings(settings: ModelSettings, cpus: float, gpus: float) -> ModelSettings:
    device = settings.device or ("cuda" if gpus else "cpu")
    return settings._replace(device=device, threads=max(1, int(cpus)))


class Actor:
    """What each actor of the pool is: a loaded model that makes shards.

    Parameters
    ----------
    job : Job
    folder : str
        Of the output.
    settings : ModelSettings

    Raises
    ------
    InputError
        This node's copy of the model is another one than the job's.
    """

    def __init__(self, job: Job, folder: str, settings: ModelSettings) -> None:
        local = hub.resolve(settings.model)
        if (here := fingerprint.of_model(local)) != job.fingerprint:
            raise InputError(f"{settings.model} on this node is {here}, and the job was begun with {job.fingerprint}")
        self.job, self.folder = job, folder
        self.maker = ShardMaker(job, folder, settings.load(), settings.batch_size)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Make the shards of a batch of tasks, those that are not there yet."""
        results = []
        for values in batch["task"]:
            task = Task(*map(int, values))
            facts = None
            with contextlib.suppress(InputError):
                facts = complete(self.folder, task, self.job.digest)
            facts = facts or self.maker.make(task)
            results.append({**facts._asdict(), "task": list(facts.task)})
        return {"facts": results}
