"""Which device and which dtype a model gets."""

from __future__ import annotations

import torch

from instructor_embedding.errors import InputError, nearest

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def device_of(device: str | torch.device | None) -> torch.device:
    """Return the requested device, or the fastest available.

    Raises
    ------
    InputError
        No such device, or this torch cannot use it; the message lists those it can.
    """
    if device is None:
        return torch.device(_usable()[-1])
    try:
        requested = torch.device(device)
    except (RuntimeError, TypeError, ValueError):
        raise InputError(f"device={device!r} is unknown; this torch can use: {', '.join(_usable())}") from None
    if requested.type not in (*_usable(), "meta") or (
        requested.type == "cuda" and (requested.index or 0) >= _cuda_count()
    ):
        raise InputError(f"device={str(requested)!r} is not available; this torch can use: {', '.join(_usable())}")
    return requested


def dtype_of(dtype: str | torch.dtype | None) -> torch.dtype:
    """Return the requested dtype, float32 by default.

    Raises
    ------
    InputError
        It is none of float32, bfloat16 and float16.
    """
    if dtype is None:
        return torch.float32
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise InputError(f"dtype={name!r} is unknown{nearest(name, DTYPES)}; known: {', '.join(DTYPES)}")
    return DTYPES[name]


def _usable() -> list[str]:
    """Device types this torch can use, the best one last."""
    devices = ["cpu"]
    if torch.backends.mps.is_available():
        devices.append("mps")
    if torch.cuda.is_available():
        devices.append("cuda")
    return devices


def _cuda_count() -> int:
    return torch.cuda.device_count()
