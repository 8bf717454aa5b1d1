"""The `google.rpc.Status` that servers put into gRPC trailers and HTTP error bodies: their words and a wait."""

from __future__ import annotations

import msgspec


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
