"""Options that several verbs share: one name, one list of values and one help text for each."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from instructor_embedding.errors import InputError, choose
from instructor_embedding.extras import need
from instructor_embedding.files.atomic import check_folder

if TYPE_CHECKING:
    from instructor_embedding.encoder import Encoder
    from instructor_embedding.instructor import INSTRUCTOR

DEFAULT = "instructor-mini"  # comes with the package
DTYPES = ("float32", "bfloat16", "float16")
PRECISIONS = ("exact", "fast", "int8")
BACKENDS = ("torch", "openvino", "onnx", "auto")
TRUNCATE = ("warn", "error", "quiet")

# spellings of the original's scripts and of earlier releases, accepted wherever the flag on the right exists
FORMER_NAMES = {"model-name": "model", "task-name": "task"}

Model = Annotated[str, typer.Option("-m", "--model", help="Hub id or folder of the model.")]
ModelOption = Annotated[
    str | None,
    typer.Option("-m", "--model", help=f"Hub id or folder of the model.  [default: {DEFAULT}]", show_default=False),
]
RequiredModel = Annotated[str | None, typer.Option("-m", "--model", help="Hub id or folder of the model.  [required]")]
ModelArgument = Annotated[str | None, typer.Argument(metavar="[MODEL]", hidden=True)]
Folder = Annotated[str | None, typer.Option("-o", "--output", help="Folder to write.  [required]")]
ModelAndFolder = Annotated[list[str] | None, typer.Argument(metavar="[MODEL] [FOLDER]", hidden=True)]
Instruction = Annotated[
    str | None, typer.Option("-i", "--instruction", help="Instruction of the rows that have none of their own.")
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 or mps; default: the fastest available.")]
Dtype = Annotated[str, typer.Option(help="Number format of the weights: float32, bfloat16 or float16.")]
Backend = Annotated[str, typer.Option(help="torch, openvino, onnx or auto.")]
Precision = Annotated[
    str | None,
    typer.Option(
        help="Number format of the computation, on a CPU: exact, fast (bfloat16) or int8. "
        "Default: exact; int8 for quantized folders."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print results as JSON.")]
Truncate = Annotated[str, typer.Option(help="Texts longer than the model's limit: warn, error or quiet.")]
Encoding = Annotated[
    str | None, typer.Option(help="Character encoding of the input, such as latin-1 or utf-16; default: utf-8.")
]
Delimiter = Annotated[
    str | None, typer.Option(help="Separator of the cells of csv and tsv, such as ';' or '\\t'; default: ',' and tab.")
]


def flag_name(name: str) -> str:
    """Return the present spelling of a flag: kebab-case, former names replaced."""
    name = name.replace("_", "-")
    return FORMER_NAMES.get(name, name)


def chosen_model(option: str | None, argument: str | None) -> str:
    """Return the model that ``-m`` or the older positional argument names, else the bundled one.

    Raises
    ------
    InputError
        Both were given.
    """
    if option is not None and argument is not None:
        raise InputError(f"the model was given twice: -m {option} and {argument}; use -m alone")
    return option if option is not None else argument if argument is not None else DEFAULT


def model_and_folder(model: str | None, folder: str | None, arguments: list[str] | None) -> tuple[str, str]:
    """Return the model of ``-m`` and the folder of ``-o``; the older positional arguments fill what is missing.

    Raises
    ------
    InputError
        The model or the folder is missing or was given twice.
    """
    rest = list(arguments or [])
    model = model if model is not None else rest.pop(0) if rest else None
    folder = folder if folder is not None else rest.pop(0) if rest else None
    if rest:
        raise InputError(f"unexpected argument {rest[0]!r}; give the model with -m and the folder with -o")
    if model is None:
        raise InputError("the model is missing: -m MODEL, a hub id or a folder")
    if not folder:
        raise InputError("the folder to write is missing: -o FOLDER")
    check_folder(folder)
    return model, folder


def check(
    *,
    dtype: str = "float32",
    backend: str = "torch",
    precision: str | None = None,
    truncate: str = "warn",
    batch_size: int = 1,
) -> None:
    """Check choices before anything is loaded.

    Raises
    ------
    InputError
        A value is unknown; the message names the nearest one and lists all.
    """
    choose("--dtype", dtype, DTYPES)
    choose("--backend", backend, BACKENDS)
    choose("--precision", precision or "exact", PRECISIONS)
    choose("--truncate", truncate, TRUNCATE)
    if batch_size < 1:
        raise InputError(f"--batch-size must be at least 1, got {batch_size}")


def text(value: str, name: str) -> str:
    """Return an argument of the command line that must be text.

    Raises
    ------
    InputError
        The shell passed bytes that are not text in this locale's encoding.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(value)[:40]
        raise InputError(f"{name} is not valid UTF-8: {shown!r}; pass the text in a file with --encoding") from None
    return value


def load(
    model: str, device: str | None, dtype: str, backend: str = "torch", precision: str | None = None
) -> INSTRUCTOR:
    """Load a model; torch is imported here and not before."""
    check(dtype=dtype, backend=backend, precision=precision)
    need("torch", "this command, or this device, backend or precision,")
    from instructor_embedding.instructor import INSTRUCTOR

    return INSTRUCTOR(model, device=device, dtype=dtype, backend=backend, precision=precision)


def load_encoder(
    model: str, device: str | None, dtype: str, backend: str = "torch", precision: str | None = None
) -> Encoder | INSTRUCTOR:
    """Load a model that only encodes: without torch, which takes seconds to import, where the compiled engine runs it.

    Both classes have ``tokens``, ``backend``, ``dimension``, ``encode`` and ``similarity``, and give the same vectors.
    """
    check(dtype=dtype, backend=backend, precision=precision)
    on_cpu = device == "cpu" or (device is None and not _gpu_is_likely())
    if on_cpu and dtype == "float32" and backend == "torch":
        from instructor_embedding.encoder import Encoder
        from instructor_embedding.engine.native_library import kernels

        if not _is_installed("torch"):
            return Encoder(model, precision)
        if kernels():
            # torch has kernels for precisions and models that the compiled engine does not support
            with contextlib.suppress(InputError):
                return Encoder(model, precision)
    return load(model, device, dtype, backend, precision).eval()


def _is_installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def _gpu_is_likely() -> bool:
    """Return True if this machine may have a GPU that torch uses; asking torch itself would import it."""
    return sys.platform == "darwin" or any(map(os.path.exists, ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")))
