"""Requests of ours that nobody traces: an exporter whose requests are traced exports for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context
from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY, _SUPPRESS_INSTRUMENTATION_KEY

# What `opentelemetry.instrumentation.utils.suppress_instrumentation` sets, a package that is no dependency of ours; the last
# one is of versions before 2021.
_KEYS = (_SUPPRESS_INSTRUMENTATION_KEY, _SUPPRESS_HTTP_INSTRUMENTATION_KEY, "suppress_instrumentation")


@contextmanager
def untraced() -> Iterator[None]:
    """Keeps OpenTelemetry's instrumentations (urllib3, requests, grpc) from making spans of what is called within."""
    now = context.get_current()
    for key in _KEYS:
        now = context.set_value(key, True, now)
    token = context.attach(now)
    try:
        yield
    finally:
        context.detach(token)
