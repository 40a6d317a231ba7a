"""``instructor-embed serve``: an embedding server and its playground."""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from instructor_embedding.cli import options
from instructor_embedding.errors import InputError, choose
from instructor_embedding.serving import LOG_FORMATS, SERVERS

if TYPE_CHECKING:
    from instructor_embedding.serving.service import Limits, Service

KEY_VARIABLE = "INSTRUCTOR_API_KEY"


def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL]...", help="Hub ids or folders; NAME=MODEL renames. Default: instructor-mini."),
    ] = None,
    *,
    model: Annotated[
        list[str] | None, typer.Option("-m", "--model", help="The same as an option; may be repeated.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 is all of them.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8080,
    server: Annotated[str, typer.Option(help="granian or uvicorn.")] = "granian",
    device: options.Device = None,
    dtype: options.Dtype = "float32",
    backend: options.Backend = "torch",
    precision: options.Precision = None,
    default_instruction: Annotated[
        str | None, typer.Option(help="Instruction of texts that come without one. Default: they are encoded without.")
    ] = None,
    instructions: Annotated[
        Path | None, typer.Option(help="TOML file of named instructions, beside the published ones.")
    ] = None,
    max_batch_tokens: Annotated[int, typer.Option(min=1, help="Tokens computed at once.")] = 2048,
    max_client_batch_size: Annotated[int, typer.Option(min=1, help="Texts of a request.")] = 2048,
    max_body: Annotated[int, typer.Option(min=1, help="Bytes of a request.")] = 32 * 2**20,
    max_queue_tokens: Annotated[int, typer.Option(min=1, help="Tokens of all requests that wait.")] = 4 * 2**20,
    max_wait: Annotated[float, typer.Option(min=0.001, help="Seconds that a request may wait.")] = 10.0,
    api_key_file: Annotated[
        Path | None, typer.Option(help=f"File of API keys, one per line. Default: the variable {KEY_VARIABLE}.")
    ] = None,
    cors: Annotated[
        list[str] | None, typer.Option(help="Origin whose pages may call the server; repeatable. Default: none.")
    ] = None,
    log: Annotated[str, typer.Option(help="text, json or off; no user's text is logged.")] = "text",
) -> None:
    """Serve embeddings over HTTP, as OpenAI's API and that of text-embeddings-inference, with instructions.

    The playground at the server's address shows what an instruction changes.
    SIGTERM and Ctrl-C stop it when all accepted requests are answered.
    """
    choose("--server", server, SERVERS)
    choose("--log", log, LOG_FORMATS)
    keys = _keys(api_key_file)

    from instructor_embedding.extras import need

    for library in ("starlette", "msgspec", "orjson", "prometheus_client", server):
        need(library, "instructor-embed serve")
    from instructor_embedding.serving import server as running
    from instructor_embedding.serving.app import application
    from instructor_embedding.serving.service import Limits

    limits = Limits(max_batch_tokens, max_client_batch_size, max_body, max_queue_tokens, max_wait)
    loading = {"device": device, "dtype": dtype, "backend": backend, "precision": precision}
    service = _service(
        [*(models or []), *(model or [])] or [options.DEFAULT], loading, limits, instructions, default_instruction
    )
    app = application(service, keys, cors or (), log)
    running.run(service, app, server, host, port, lambda port: _announce(service, host, port, bool(keys)))


def _service(
    models: list[str], loading: dict[str, Any], limits: Limits, table: Path | None, default_instruction: str | None
) -> Service:
    from instructor_embedding.serving import instructions
    from instructor_embedding.serving.service import Service, served

    extra = instructions.read(table) if table else {}
    ready = []
    for argument in models:
        name, _, source = argument.rpartition("=")
        source_name = Path(source).name if Path(source).is_dir() else source
        ready.append(served(name or source_name, _encoder(source, loading), limits, extra))
    return Service(ready, limits, default_instruction)


def _encoder(source: str, loading: dict[str, Any]) -> Any:
    """Load a model, with torch where it is installed, because its modules give token states."""
    load = options.load if importlib.util.find_spec("torch") else options.load_encoder
    return load(source, **loading)


def _keys(file: Path | None) -> list[str]:
    """Return the API keys from a file, or from the environment.

    Raises
    ------
    InputError
        The file cannot be read, has no key, or others may read it.
    """
    if file is None:
        return [key for key in [os.environ.get(KEY_VARIABLE, "").strip()] if key]
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
        mode = file.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"cannot read --api-key-file {file}: {reason}") from None
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise InputError(f"--api-key-file {file} has no key; write one per line")
    if stat.S_ISREG(mode) and mode & stat.S_IROTH:
        typer.echo(f"instructor-embed: every user of this machine can read {file}; run: chmod 600 {file}", err=True)
    return keys


def _announce(service: Service, host: str, port: int, keyed: bool) -> None:
    """Print the address, the playground's address and a line to try."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}"
    key = f"-H 'authorization: Bearer '\"${KEY_VARIABLE}\" " if keyed else ""
    typer.echo(f"serving {', '.join(service.by_name)} at {address}")
    typer.echo(f"playground: {address}/")
    typer.echo(
        f"try: curl {address}/v1/embeddings {key}-H 'content-type: application/json' "
        '-d \'{"input": "Parton energy loss in QCD matter", "instruction": "Represent the Science title: "}\''
    )
    sys.stdout.flush()
