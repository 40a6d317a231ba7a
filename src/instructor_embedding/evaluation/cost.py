"""What an evaluation costs: time, throughput, memory and the size of the model, stored beside each score."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any


class Cost:
    """Counts the texts a model has encoded and the seconds that took; vectors from a cache are not counted."""

    def __init__(self) -> None:
        self.texts = 0
        self.seconds = 0.0

    def add(self, texts: int, seconds: float) -> None:
        """Count one call of the model."""
        self.texts += texts
        self.seconds += seconds


class Clock:
    """Measures one run; made when it starts.

    Parameters
    ----------
    cost : Cost, optional
        Of the model that is evaluated: what it counts from now on is this run's.
    """

    def __init__(self, cost: Cost | None = None) -> None:
        self._start = time.perf_counter()
        self._cost = cost or Cost()
        self._texts, self._seconds = self._cost.texts, self._cost.seconds

    def circumstances(self, metrics: Mapping[str, float]) -> dict[str, Any]:
        """Return what a `Score`'s config states about the run itself; `metrics` are further figures of it."""
        texts, seconds = self._cost.texts - self._texts, self._cost.seconds - self._seconds
        return {
            "metrics": {name: round(value, 6) for name, value in metrics.items()},
            "seconds": round(time.perf_counter() - self._start, 1),
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "cost": {
                "texts_encoded": texts,
                "texts_per_second": round(texts / seconds, 1) if texts and seconds else None,
                "peak_memory_mb": peak_memory_mb(),
            },
        }


def peak_memory_mb() -> float | None:
    """Return the most memory this process has occupied so far, in MiB; None where the platform does not tell."""
    try:
        import resource
    except ImportError:
        return None
    # kilobytes on Linux, bytes on macOS
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def size_of(model: Any) -> dict[str, int]:
    """Return the ``parameters`` and ``bytes`` of a model's weights; empty where it does not expose them.

    Quantized layers count the parameters they stand for, not the integers, scales and zero points that store them;
    ``bytes`` are those in memory.
    """
    own = getattr(model, "size", None)
    if isinstance(own, dict):
        return own
    state = getattr(model, "state_dict", None)
    if not callable(state):
        return {}
    from instructor_embedding.model.lowbit_layers import count_parameters

    seen: dict[int, Any] = {tensor.data_ptr(): tensor for tensor in _tensors(state().values())}
    size = sum(tensor.numel() * tensor.element_size() for tensor in seen.values())
    return {"parameters": count_parameters(model), "bytes": size}


def _tensors(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from _tensors(value)
        elif hasattr(value, "data_ptr"):
            yield value
