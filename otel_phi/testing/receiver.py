"""The receiver: takes OTLP over HTTP and gRPC on the loopback and keeps what arrived, decoded and raw."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from otel_phi.delivery.otlp.decode import ScopeSpans, decode_request
from otel_phi.mapping.span import Span
from otel_phi.testing.answers import Answer
from otel_phi.testing.http_server import METRICS_METHOD, METRICS_PATH, HttpServer

if TYPE_CHECKING:
    from typing_extensions import Self

    from otel_phi.testing.grpc_server import GrpcServer


class Request(msgspec.Struct, frozen=True):
    """A request is kept as it came.

    Attributes:
        path: of the URL, or the gRPC method.
        headers: lower-case names; gRPC metadata.
        body: the message, uncompressed.
        time_s: monotonic seconds of its arrival.
        connection: tells connections apart: the client's port.
    """

    path: str
    headers: Mapping[str, str]
    body: bytes
    time_s: float
    connection: str = ""


class Receiver:
    """A receiver is an OTLP collector in this process, used as a context manager.

    Args:
        grpc: also serve gRPC, at `grpc_endpoint`.
        tls: serve HTTP over TLS with this context.
        grpc_tls: key, certificate chain and, to ask for client certificates, their CA, each PEM.

    Attributes:
        requests: every request whose body was read, refused ones too.
        groups: what was taken, by request, resource and scope.
        metric_requests: the `ExportMetricsServiceRequest`s that came, taken always: answers that are scripted are for spans.
    """

    def __init__(
        self,
        *,
        grpc: bool = False,
        tls: ssl.SSLContext | None = None,
        grpc_tls: tuple[bytes, bytes, bytes | None] | None = None,
    ) -> None:
        self._changed = threading.Condition()
        self._script: deque[Answer] = deque()
        self.requests: list[Request] = []
        self.groups: list[ScopeSpans] = []
        self.metric_requests: list[Request] = []
        self._http = HttpServer(self.take, tls)
        self._grpc: GrpcServer | None = None
        if grpc:
            from otel_phi.testing.grpc_server import GrpcServer

            self._grpc = GrpcServer(self.take, grpc_tls)

    @property
    def endpoint(self) -> str:
        """Returns the base URL for OTLP/HTTP; `/v1/traces` is to be appended."""
        return self._http.endpoint

    @property
    def grpc_endpoint(self) -> str:
        """Returns the URL for OTLP/gRPC.

        Raises:
            ValueError: the receiver was made without `grpc=True`.
        """
        if self._grpc is None:
            raise ValueError("make the receiver with grpc=True")
        return self._grpc.endpoint

    @property
    def spans(self) -> tuple[Span, ...]:
        """Returns all spans taken, in the order of their arrival."""
        with self._changed:
            return tuple(span for group in self.groups for span in group.spans)

    def answer(self, *, times: int = 1, **answer: Any) -> None:
        """Scripts the answer to the next `times` requests, after those scripted before; see `Answer` for its fields."""
        with self._changed:
            self._script.extend([Answer(**answer)] * times)

    def forget_script(self) -> None:
        """Forgets scripted answers that were not used: requests are taken again."""
        with self._changed:
            self._script.clear()

    def wait_for(self, spans: int, timeout_s: float = 5.0) -> tuple[Span, ...]:
        """Waits until so many spans have arrived and returns all.

        Raises:
            TimeoutError: fewer came in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.spans) >= spans, timeout_s):
                raise TimeoutError(f"{len(self.spans)} of {spans} spans arrived within {timeout_s:g} s")
            return self.spans

    def wait_for_requests(self, requests: int, timeout_s: float = 5.0) -> list[Request]:
        """Waits until so many requests have arrived, refused ones too, and returns all.

        Raises:
            TimeoutError: fewer came in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= requests, timeout_s):
                raise TimeoutError(f"{len(self.requests)} of {requests} requests arrived within {timeout_s:g} s")
            return list(self.requests)

    def wait_for_metrics(self, requests: int = 1, timeout_s: float = 5.0) -> list[Request]:
        """Waits until so many requests of metrics have arrived and returns all.

        Raises:
            TimeoutError: fewer came in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.metric_requests) >= requests, timeout_s):
                raise TimeoutError(f"{len(self.metric_requests)} of {requests} requests of metrics arrived")
            return list(self.metric_requests)

    def take(self, path: str, headers: Mapping[str, str], body: bytes, connection: str) -> Answer:
        """Keeps one request and says how to answer it; the servers call it from their threads."""
        if path.endswith(METRICS_PATH) or path == METRICS_METHOD:
            with self._changed:
                self.metric_requests.append(Request(path, headers, body, time.monotonic(), connection))
                self._changed.notify_all()
            return Answer(body=b"")
        with self._changed:
            self.requests.append(Request(path, headers, body, time.monotonic(), connection))
            answer = self._script.popleft() if self._script else Answer()
            if 200 <= answer.status < 300 and answer.grpc_status == "OK" and not (answer.reset or answer.raw):
                try:
                    groups = decode_request(body)
                except ValueError as error:
                    return Answer(status=400, grpc_status="INVALID_ARGUMENT", body=str(error).encode())
                self.groups.extend(_without_last(groups, answer.rejected))
            self._changed.notify_all()
            return answer

    def close(self) -> None:
        """Stops serving; what arrived stays readable."""
        self._http.close()
        if self._grpc is not None:
            self._grpc.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            self.close()


def _without_last(groups: list[ScopeSpans], count: int) -> list[ScopeSpans]:
    """Leaves out the spans that a partial success rejects: the last ones."""
    kept = []
    left = sum(len(group.spans) for group in groups) - count
    for group in groups:
        spans = group.spans[: max(left, 0)]
        left -= len(spans)
        if spans:
            kept.append(msgspec.structs.replace(group, spans=spans))
    return kept
