"""Scripted answers: what the receiver does with the next requests instead of taking them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer is what becomes of one request.

    Attributes:
        status: HTTP status; the spans are kept for 2xx only.
        grpc_status: name of the gRPC status, `OK` to take the spans.
        headers: HTTP response headers on top of the usual ones.
        body: HTTP response body; None for an empty protobuf answer, or what `rejected` and `message` ask for.
        rejected: spans at the end of the request that a partial success refuses.
        message: words of the partial success, or of the gRPC status.
        retry_after_s: gRPC RetryInfo; None for none. HTTP takes a header `Retry-After`.
        delay_s: seconds before anything is answered.
        drip_s: seconds between the header lines of an answer that never ends; 0.0 for a whole answer.
        reset: close the connection without an answer, with a TCP reset; over gRPC UNAVAILABLE, as its clients report one.
        raw: HTTP only: these bytes instead of an answer, then close.
    """

    status: int = 200
    grpc_status: str = "OK"
    headers: Mapping[str, str] = {}
    body: bytes | None = None
    rejected: int = 0
    message: str = ""
    retry_after_s: float | None = None
    delay_s: float = 0.0
    drip_s: float = 0.0
    reset: bool = False
    raw: bytes | None = None

    def response(self) -> bytes:
        """Returns the body of a successful answer: an `ExportTraceServiceResponse`."""
        if self.body is not None:
            return self.body
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

        response = ExportTraceServiceResponse()
        if self.rejected or self.message:
            response.partial_success.rejected_spans = self.rejected
            response.partial_success.error_message = self.message
        return response.SerializeToString()
