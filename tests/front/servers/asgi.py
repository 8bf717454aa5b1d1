"""An app for uvicorn."""

from __future__ import annotations

from typing import Any

import otel_phi
from tests.front.servers.work import answer

otel_phi.install(service_name="test")


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers with the session asked for."""
    if scope["type"] != "http":
        return
    said = answer(scope["path"].strip("/")).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": said})
