"""The retry table, a line a test; what real servers make of it stands in test_http, test_grpc and test_cut_short."""

from __future__ import annotations

import pytest

from otel_phi.delivery.exporters.exporter import Misconfigured, Refused, Retry, TooLarge
from otel_phi.delivery.exporters.retry_table import MAX_RETRY_AFTER_S, asked_wait_s, grpc_result, http_result

HTTP = [
    *((status, Retry) for status in (429, 502, 503, 504)),
    (413, TooLarge),
    *((status, Misconfigured) for status in (300, 301, 302, 303, 304, 307, 308, 399, 401, 403, 404)),
    *((status, Refused) for status in (100, 400, 402, 405, 408, 409, 410, 411, 415, 422, 431, 500, 501, 505, 511, 599)),
]
GRPC = [
    *((name, Retry) for name in ("CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS")),
    ("RESOURCE_EXHAUSTED", TooLarge),
    *((name, Misconfigured) for name in ("UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "UNIMPLEMENTED")),
    *((name, Refused) for name in ("INVALID_ARGUMENT", "INTERNAL", "UNKNOWN", "FAILED_PRECONDITION", "ALREADY_EXISTS")),
]  # fmt: skip


@pytest.mark.parametrize(("status", "meaning"), HTTP)
def test_http(status: int, meaning: type) -> None:
    assert http_result(status, "why") == meaning("why")


@pytest.mark.parametrize(("status", "meaning"), GRPC)
def test_grpc(status: str, meaning: type) -> None:
    assert grpc_result(status, "", "why") == meaning("why")


@pytest.mark.parametrize(
    ("details", "meaning"),
    [
        ("Error, decoded message length too large: found 4195038 bytes, the limit is: 4194304 bytes", TooLarge),
        ("grpc: received message larger than max (4309195 vs. 4194304)", TooLarge),
        ("position 7 of 5", Retry),
    ],
)
def test_out_of_range_is_too_large_only_where_it_names_a_length(details: str, meaning: type) -> None:
    assert grpc_result("OUT_OF_RANGE", details, "why") == meaning("why")


def test_resource_exhausted_is_retried_only_with_a_wait() -> None:
    assert grpc_result("RESOURCE_EXHAUSTED", "", "why", 2.0) == Retry("why", 2.0)
    assert grpc_result("RESOURCE_EXHAUSTED", "", "why", -2.0) == TooLarge("why")


@pytest.mark.parametrize("status", ["UNKNOWN", "INTERNAL"])
@pytest.mark.parametrize(
    "details",
    [
        "Stream removed (Data frame with END_STREAM flag received)",
        "Stream removed (RST_STREAM (Received RST_STREAM with error code 0))",
        "Received RST_STREAM with error code 0",
        "No status received",
    ],
)
def test_a_call_that_ended_without_the_server_s_status_is_retried(status: str, details: str) -> None:
    assert grpc_result(status, details, "why") == Retry("the answer was cut short: why")


@pytest.mark.parametrize(("code", "meaning"), [(1, Refused), (2, Refused), (12, Retry)])
def test_a_stream_that_the_server_reset_for_an_error_is_its_word(code: int, meaning: type) -> None:
    details = f"Stream removed (RST_STREAM (Received RST_STREAM with error code {code}))"
    assert isinstance(grpc_result("INTERNAL", details, "why"), meaning)


@pytest.mark.parametrize(
    ("code", "meaning"), [(400, Misconfigured), (404, Misconfigured), (415, Misconfigured), (301, Misconfigured), (413, TooLarge),
                          (429, Retry), (502, Retry), (503, Retry), (500, Refused)],
)  # fmt: skip
def test_an_http2_answer_that_is_no_grpc_is_read_by_its_http_status(code: int, meaning: type) -> None:
    details = f"Received http2 header with status: {code}"
    assert grpc_result("UNKNOWN", details, "why") == meaning("why")


@pytest.mark.parametrize(
    ("asked_s", "counts"),
    [
        (None, None),
        (0.0, 0.0),
        (2.5, 2.5),
        (900.0, 900.0),
        (901.0, 900.0),
        (1e300, 900.0),
        (-0.1, None),
        (-1e300, None),
    ],
)
def test_a_wait_is_cut_to_15_minutes_and_a_negative_one_is_none(asked_s: float | None, counts: float | None) -> None:
    assert asked_wait_s(asked_s) == counts
    assert http_result(503, "why", asked_s) == Retry("why", counts)
    assert grpc_result("UNAVAILABLE", "", "why", asked_s) == Retry("why", counts)
    assert MAX_RETRY_AFTER_S == 15 * 60
