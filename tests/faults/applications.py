"""Web applications whose requests are loops, for real servers: `tests.faults.applications:wsgi`, `:asgi`."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import otel_phi
from tests.hook.stories import loop_of

hook = otel_phi.install(service_name="test")


def record(path: str) -> bytes:
    """Records the loop of a request; that of `open` does not end."""
    name = path.strip("/")
    events = loop_of(name)
    for event in events[:-1] if name == "open" else events:
        hook(event)
    return str(os.getpid()).encode()


def wsgi(environ: dict[str, Any], start: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    """Answers as WSGI has it."""
    start("200 OK", [("Content-Type", "text/plain")])
    return [record(environ["PATH_INFO"])]


async def asgi(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answers as ASGI has it."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = record(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})
