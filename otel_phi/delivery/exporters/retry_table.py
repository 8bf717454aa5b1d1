"""The retry table: what an answer means, over HTTP and over gRPC. It stands here and nowhere else; a test has a line for each.

    answer                                                                     becomes
    ─────────────────────────────────────────────────────────────────────────  ─────────────
    2xx, gRPC OK, whole                                                        Accepted
    429, 502, 503, 504                                                         Retry
    CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE,          Retry
      DATA_LOSS, RESOURCE_EXHAUSTED with RetryInfo
    no answer in time, no connection, a failed TLS handshake                   Retry
    an answer that was cut short, in its headers or in its body                Retry
    413, RESOURCE_EXHAUSTED without RetryInfo, OUT_OF_RANGE that names a       TooLarge
      length
    3xx, 401, 403, 404                                                         Misconfigured
    UNAUTHENTICATED, PERMISSION_DENIED, NOT_FOUND, UNIMPLEMENTED               Misconfigured
    an answer in another protocol                                              Misconfigured
    400, 500, INVALID_ARGUMENT, INTERNAL and all the rest                      Refused

A wait that the destination asks for is cut to 15 minutes; one that is negative or no number was not asked for.
"""

from __future__ import annotations

import re

import msgspec

from otel_phi.delivery.exporters.exporter import ExportResult, Misconfigured, Refused, Retry, TooLarge

# Longer waits are slips (milliseconds for seconds, a clock of last year) or hold data until it is too old: a try is made.
MAX_RETRY_AFTER_S = 900.0
CUT_SHORT = "the answer was cut short"

_HTTP_RETRY = frozenset((429, 502, 503, 504))
_HTTP_MISCONFIGURED = frozenset((401, 403, 404))
_GRPC_RETRY = frozenset(("CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"))
_GRPC_MISCONFIGURED = frozenset(("UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "UNIMPLEMENTED"))

# rotel and other tonic servers: "message length too large: found 4195038 bytes, the limit is: 4194304 bytes".
_NAMES_A_LENGTH = re.compile(r"\blength\b|too large|larger than", re.IGNORECASE)
# The words of gRPC's own library for a call that ended without a status of the server's, and the status it makes of that. A
# stream that the server reset for an error of its (1, 2) is its word: it says INTERNAL.
_CUT_SHORT = re.compile(r"No status received|(?:Stream removed|RST_STREAM|Received RST_STREAM)(?!.*error code [12]\b)")
_MADE_HERE = frozenset(("UNKNOWN", "INTERNAL", "RESOURCE_EXHAUSTED"))
# The same for an answer of a proxy or a web server that speaks HTTP/2.
_HTTP_STATUS = re.compile(r"Received http2 header with status: (\d{3})")


def asked_wait_s(seconds: float | None) -> float | None:
    """Returns the wait that counts for one that was asked for, None for none."""
    return min(seconds, MAX_RETRY_AFTER_S) if seconds is not None and seconds >= 0 else None


def http_result(status: int, reason: str, retry_after_s: float | None = None) -> ExportResult:
    """Returns what an HTTP status other than 2xx means.

    Args:
        status: of the answer.
        reason: one line for a person.
        retry_after_s: the wait it asks for, None for none.
    """
    if status in _HTTP_RETRY:
        return Retry(reason, asked_wait_s(retry_after_s))
    if status == 413:
        return TooLarge(reason)
    if 300 <= status < 400 or status in _HTTP_MISCONFIGURED:
        return Misconfigured(reason)
    return Refused(reason)


def grpc_result(status: str, details: str, reason: str, retry_after_s: float | None = None) -> ExportResult:
    """Returns what a gRPC status other than OK means.

    Args:
        status: its name.
        details: its text.
        reason: one line for a person.
        retry_after_s: the wait its RetryInfo asks for, None for none.
    """
    wait_s = asked_wait_s(retry_after_s)
    http = _HTTP_STATUS.match(details)
    if http:  # a proxy between, or no gRPC server: a 4xx is another protocol's
        code = int(http[1])
        found = http_result(code, reason)
        return Misconfigured(reason) if isinstance(found, Refused) and code < 500 else found
    if status in _MADE_HERE and _CUT_SHORT.match(details):
        return Retry(f"{CUT_SHORT}: {reason}")
    if status == "RESOURCE_EXHAUSTED":
        return TooLarge(reason) if wait_s is None else Retry(reason, wait_s)
    if status == "OUT_OF_RANGE" and _NAMES_A_LENGTH.search(details):
        return TooLarge(reason)
    if status in _GRPC_RETRY:
        return Retry(reason, wait_s)
    return Misconfigured(reason) if status in _GRPC_MISCONFIGURED else Refused(reason)


class RpcStatus(msgspec.Struct, frozen=True):
    """A status is what a failed request's server says.

    Attributes:
        message: the server's words, "" if none.
        retry_after_s: the wait its RetryInfo asks for, None if there is none that makes sense.
    """

    message: str = ""
    retry_after_s: float | None = None


def read_status(content: bytes) -> RpcStatus:
    """Reads a serialised `google.rpc.Status`; bytes that are none read as an empty one."""
    from google.protobuf.message import DecodeError
    from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # it ships no stubs
    from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # it ships no stubs

    info = RetryInfo()
    try:
        status = Status.FromString(content)
    except DecodeError:
        return RpcStatus()
    try:
        asked = any(detail.Unpack(info) for detail in status.details)
    except DecodeError:
        asked = False
    delay_s = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
    return RpcStatus(str(status.message), delay_s if asked and delay_s >= 0 else None)
