"""An app for gunicorn and uWSGI."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import otel_phi
from tests.front.servers.work import answer

otel_phi.install(service_name="test")


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers with the session asked for."""
    start_response("200 OK", [("content-type", "text/plain")])
    return [answer(str(environ["PATH_INFO"]).strip("/")).encode()]
