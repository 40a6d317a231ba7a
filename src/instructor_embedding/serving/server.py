"""Runs the application under granian or uvicorn, and stops it without losing accepted work."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette

from instructor_embedding.errors import InputError
from instructor_embedding.extras import need
from instructor_embedding.serving.service import Service

HEADER_SECONDS = 10  # a client may take as long to send its headers, and to stay idle
SWITCH_SECONDS = 0.0005
BACKLOG = 2048
CONNECTIONS = 16_384
LAST_SECONDS = 1.0  # for idle connections to close after the last reply


def run(
    service: Service, application: Starlette, server: str, host: str, port: int, announce: Callable[[int], None]
) -> None:
    """Serve until SIGTERM or SIGINT; then refuse new work, answer what was accepted, and return.

    Parameters
    ----------
    server : str
        One of ``serving.SERVERS``.
    port : int
        0: a free one.
    announce : callable
        Called with the port when requests are taken.

    Raises
    ------
    InputError
        The address cannot be listened at.
    """
    # a backend that is called from Python takes the interpreter's lock back after each operation: not after 5 ms each
    sys.setswitchinterval(SWITCH_SECONDS)
    start = _granian if server == "granian" else _uvicorn
    asyncio.run(_serve(service, application, start, host, _free(host, port), announce))


async def _serve(
    service: Service,
    application: Starlette,
    start: Callable[[Starlette, str, int], tuple[Any, Callable[[], None]]],
    host: str,
    port: int,
    announce: Callable[[int], None],
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with application.router.lifespan_context(application):
        serving, end = start(application, host, port)
        task = asyncio.ensure_future(serving)
        await _listening(host, port, task)
        announce(port)
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
        await service.queue.drain()
        while service.active:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)  # the last bytes of the last reply
        end()
        with contextlib.suppress(asyncio.TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(task, LAST_SECONDS)


def _granian(application: Starlette, host: str, port: int) -> tuple[Any, Callable[[], None]]:
    embedded = need("granian.server.embed", "serving with granian")
    constants = need("granian.constants", "serving with granian")
    http = need("granian.http", "serving with granian")
    server = embedded.Server(
        application,
        address=host,
        port=port,
        interface=constants.Interfaces.ASGINL,
        backlog=BACKLOG,
        backpressure=CONNECTIONS,
        http1_settings=http.HTTP1Settings(header_read_timeout=HEADER_SECONDS * 1000),
        websockets=False,
        log_enabled=False,
    )
    return server.serve(), server.stop


def _uvicorn(application: Starlette, host: str, port: int) -> tuple[Any, Callable[[], None]]:
    library = need("uvicorn", "serving with uvicorn")
    from instructor_embedding.serving.uvicorn_timeout import protocol

    config = library.Config(
        application,
        host=host,
        port=port,
        http=protocol(HEADER_SECONDS),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        backlog=BACKLOG,
        timeout_keep_alive=HEADER_SECONDS,
        timeout_graceful_shutdown=1,
        server_header=False,
    )
    server = library.Server(config)

    async def serve() -> None:
        # the signals are handled here, for both servers alike
        await server._serve()

    def end() -> None:
        server.should_exit = True

    return serve(), end


def _free(host: str, port: int) -> int:
    """Return the port, or a free one for 0; refuse one that cannot be listened at."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(f"cannot listen at {host}:{port}: {error.strerror}; choose another --port") from None
        return int(probe.getsockname()[1])


async def _listening(host: str, port: int, task: asyncio.Future[Any]) -> None:
    """Wait until the server takes connections."""
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    while not task.done():
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(target, port)
            writer.close()
            return
        await asyncio.sleep(0.02)
    task.result()
