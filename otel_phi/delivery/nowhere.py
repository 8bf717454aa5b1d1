"""The destination of those who switched sending off: nothing leaves, nothing is kept."""

from __future__ import annotations

from otel_phi.delivery.transport import Accepted, Reply


class Nowhere:
    """Stands where a transport would, for `OTEL_SDK_DISABLED=true` and `OTEL_TRACES_EXPORTER=none`. It is never sent to."""

    max_in_flight = 1

    def send(self, body: bytes, timeout_s: float) -> Reply:  # noqa: ARG002  # the protocol's names
        """Accepts, as a sink does."""
        return Accepted()

    def close(self, *, whole: bool = True) -> None:
        """Does nothing: nothing was opened."""
