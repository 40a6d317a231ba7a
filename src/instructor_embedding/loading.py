"""A model that only encodes, loaded as the class that is the lightest on this machine."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from typing import TYPE_CHECKING

from instructor_embedding.errors import InputError
from instructor_embedding.extras import need

if TYPE_CHECKING:
    from instructor_embedding.encoder import Encoder
    from instructor_embedding.instructor import INSTRUCTOR


def load_encoder(
    model: str,
    device: str | None = None,
    dtype: str = "float32",
    backend: str = "torch",
    precision: str | None = None,
    threads: int | None = None,
) -> Encoder | INSTRUCTOR:
    """Load a model: without torch, which takes seconds to import, where the compiled engine runs it.

    Both classes have ``tokens``, ``backend``, ``dimension``, ``encode`` and ``similarity``, and give the same vectors.

    Parameters
    ----------
    model, device, dtype, backend, precision
        As for `INSTRUCTOR`.
    threads : int, optional
        Of a run on a CPU. Default: as many as CPUs that this process may use.
    """
    on_cpu = device == "cpu" or (device is None and not _gpu_is_likely())
    if on_cpu and dtype == "float32" and backend == "torch":
        from instructor_embedding.encoder import Encoder
        from instructor_embedding.engine.native_library import kernels

        if importlib.util.find_spec("torch") is None:
            return Encoder(model, precision, threads)
        if kernels():
            # torch has kernels for precisions and models that the compiled engine does not support
            with contextlib.suppress(InputError):
                return Encoder(model, precision, threads)
    torch = need("torch", "this command, or this device, backend or precision,")
    from instructor_embedding.instructor import INSTRUCTOR

    if threads is not None:
        torch.set_num_threads(threads)
    return INSTRUCTOR(model, device=device, dtype=dtype, backend=backend, precision=precision).eval()


def _gpu_is_likely() -> bool:
    """Return True if this machine may have a GPU that torch uses; asking torch itself would import it."""
    return sys.platform == "darwin" or any(map(os.path.exists, ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")))
