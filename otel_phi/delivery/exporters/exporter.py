"""The one door between the sender and a destination: send bytes, get one of six results; and nobody traces the request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import msgspec


class Accepted(msgspec.Struct, frozen=True):
    """Says that the request arrived and must never be sent again.

    Attributes:
        rejected: spans the destination refused for good, from `partial_success`; 0 if none.
        message: its words about them, or a warning; "" if none.
    """

    rejected: int = 0
    message: str = ""


class Retry(msgspec.Struct, frozen=True):
    """Says that the same request may succeed later.

    Attributes:
        reason: one line for a person, without secrets.
        after_s: seconds the destination asked us to wait, None if it did not say.
    """

    reason: str
    after_s: float | None = None


class TooLarge(msgspec.Struct, frozen=True):
    """Says that the request must be cut; `reason` is one line for a person, without secrets."""

    reason: str


class Misconfigured(msgspec.Struct, frozen=True):
    """Says that no request can succeed until a person changes something; `reason` says what was found."""

    reason: str


class Refused(msgspec.Struct, frozen=True):
    """Says that this request will never be taken; one of its spans may be the culprit."""

    reason: str


class Discarded(msgspec.Struct, frozen=True):
    """Says that nothing is sent on purpose; `reason` is a word to count by, such as `disabled`."""

    reason: str


ExportResult = Accepted | Retry | TooLarge | Misconfigured | Refused | Discarded


class Exporter(Protocol):
    """An exporter sends OTLP requests to one destination. `send` may be called by `max_in_flight` threads at once."""

    @property
    def max_in_flight(self) -> int:
        """Returns how many sends may run at once."""

    def send(self, body: bytes, timeout_s: float) -> ExportResult:
        """Delivers one `ExportTraceServiceRequest`.

        Args:
            body: the request, protobuf.
            timeout_s: the whole attempt takes no longer, connecting and reading included.

        Returns:
            What became of it. It never raises.
        """

    def close(self, *, whole: bool = True) -> None:
        """Frees what is held. `whole=False` says that spans are missing: half an output file is then discarded."""


class Nowhere:
    """Nowhere is the exporter of a configuration that sends nothing: every span is counted as dropped.

    Args:
        reason: the word to count by.
    """

    max_in_flight = 1

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self._reply = Discarded(reason)

    def send(self, body: bytes, timeout_s: float) -> ExportResult:  # noqa: ARG002  # nothing is sent
        """Discards a request."""
        return self._reply

    def close(self, *, whole: bool = True) -> None:
        """Does nothing."""


@contextmanager
def untraced() -> Iterator[None]:
    """Keeps OpenTelemetry's instrumentations (urllib3, requests, grpc) from making spans of what is called within."""
    # Here, since whoever only encodes needs nothing of OpenTelemetry; whoever exports detected a resource and has it loaded.
    from opentelemetry import context
    from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY, _SUPPRESS_INSTRUMENTATION_KEY

    now = context.get_current()
    # What `opentelemetry.instrumentation.utils.suppress_instrumentation` sets, a package that is no dependency of ours; the last
    # one is of versions before 2021.
    for key in (_SUPPRESS_INSTRUMENTATION_KEY, _SUPPRESS_HTTP_INSTRUMENTATION_KEY, "suppress_instrumentation"):
        now = context.set_value(key, True, now)
    token = context.attach(now)
    try:
        yield
    finally:
        context.detach(token)
