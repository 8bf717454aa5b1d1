"""The collector is away, slow or odd: nothing recorded is lost, nothing arrives changed, and every wait is bounded."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest

import otel_phi
from otel_phi.testing import Receiver
from otel_phi.testing.grpc_server import GrpcServer
from tests.faults.collectors import Moody, Narrow, Picky, gone, receiver_at
from tests.faults.loops import give, once

Open = Callable[..., otel_phi.Hook]
SEED = 20_261_123


def test_down_at_start_and_for_a_while(open_hook: Open) -> None:
    """Down at the start, up, down in mid-run, up again at the same address."""
    endpoint = gone()
    hook = open_hook(endpoint=endpoint)
    first = give(hook, range(1, 301))
    time.sleep(1.0)
    stats = hook.stats().delivery
    assert (stats.queued, stats.trouble) == (300, "connection refused")
    with receiver_at(endpoint) as receiver:
        assert hook.flush(5.0)
        assert once(receiver) == first
    second = give(hook, range(1001, 1301))
    assert not hook.flush(0.7)
    with receiver_at(endpoint) as receiver:
        assert hook.flush(5.0)
        assert once(receiver) == second


def test_slow(receiver: Receiver, open_hook: Open) -> None:
    receiver.answer(delay_s=0.15, times=1000)
    hook = open_hook(max_request_bytes=8_000)
    began = time.monotonic()
    numbers = give(hook, range(1, 251))
    assert time.monotonic() - began < 2.0, "the agent does not wait for the collector"
    assert hook.flush(20.0)
    assert once(receiver) == numbers
    assert len(receiver.spans) == 250


@pytest.mark.parametrize("answer", [{"delay_s": 3.0}, {"drip_s": 0.1}], ids=["hanging", "dripping"])
def test_hanging_and_dripping(answer: dict[str, Any], receiver: Receiver, open_hook: Open) -> None:
    """A dripping SDK exporter holds a post 24 s with a timeout of 10; ours ends within the timeout, and tries again."""
    receiver.answer(times=2, **answer)
    hook = open_hook(timeout_s=0.5)
    numbers = give(hook, range(1, 101))
    assert hook.flush(8.0)
    first, second, third = (request.time_s for request in receiver.requests[:3])
    assert max(second - first, third - second) <= 0.5 + 1.0
    assert once(receiver) == numbers


@pytest.mark.parametrize(
    ("told", "least_s", "most_s"),
    [("2", 2.0, 2.4), ("date", 1.5, 3.5), ("soon, perhaps", 0.05, 0.8)],
    ids=["seconds", "http-date", "garbage"],
)
def test_429_with_retry_after(told: str, least_s: float, most_s: float, receiver: Receiver, open_hook: Open) -> None:
    """A date has whole seconds: 3 s ahead is 2 to 3. Garbage is answered with our own first wait."""
    when = formatdate(time.time() + 3, usegmt=True) if told == "date" else told
    receiver.answer(status=429, headers={"Retry-After": when})
    hook = open_hook()
    numbers = give(hook, range(1, 101))
    assert hook.flush(8.0)
    first, second = (request.time_s for request in receiver.requests[:2])
    assert least_s <= second - first <= most_s
    assert once(receiver) == numbers
    assert len(receiver.spans) == 100


@pytest.mark.parametrize("status", [301, 307, 401, 403, 404])
def test_misconfigured_is_kept_probed_and_healed(
    status: int, receiver: Receiver, open_hook: Open, caplog: pytest.LogCaptureFixture
) -> None:
    with Receiver() as elsewhere:
        receiver.answer(status=status, headers={"Location": elsewhere.endpoint + "/v1/traces"})
        hook = open_hook()
        numbers = give(hook, range(1, 101))
        receiver.wait_for_requests(1)
        assert not hook.flush(0.5)
        stats = hook.stats().delivery
        assert (stats.queued, stats.dead, len(receiver.requests)) == (100, 0, 1)
        assert (stats.trouble or "").startswith(f"HTTP {status}")
        assert hook.flush(5.0)
        assert elsewhere.requests == [], "redirects are not followed"
    assert once(receiver) == numbers
    assert len([record for record in caplog.records if f"HTTP {status}" in record.getMessage()]) == 1


def test_413_costs_the_oversize_span_alone(open_hook: Open) -> None:
    with Narrow() as receiver:
        hook = open_hook(endpoint=receiver.endpoint)
        numbers = give(hook, range(1, 201))
        give(hook, [1000], "x" * 300_000)
        numbers += give(hook, range(2001, 2201))
        assert hook.flush(10.0)
        assert once(receiver) == numbers
        assert (hook.stats().delivery.acknowledged, hook.stats().delivery.dead) == (400, 1)


def test_grpc_4_mib_costs_the_oversize_span_alone(receiver: Receiver, open_hook: Open) -> None:
    server = GrpcServer(receiver.take, None, max_message_bytes=4 << 20)
    try:
        hook = open_hook(endpoint=server.endpoint, protocol="grpc")
        numbers = give(hook, range(1, 201))
        give(hook, [1000], "x" * (5 << 20))
        numbers += give(hook, range(2001, 2201))
        assert hook.flush(15.0)
        assert once(receiver) == numbers
        assert (hook.stats().delivery.acknowledged, hook.stats().delivery.dead) == (400, 1)
        assert hook.shutdown(2.0)
    finally:
        server.close()


def test_partial_success_is_counted_and_not_sent_again(receiver: Receiver, open_hook: Open) -> None:
    receiver.answer(rejected=1, message="too old")
    hook = open_hook()
    numbers = give(hook, range(1, 11))
    assert hook.flush(5.0)
    stats = hook.stats().delivery
    assert (stats.acknowledged, stats.rejected) == (9, 1)
    assert once(receiver) == numbers[1:]


def test_reset_and_garbage(receiver: Receiver, open_hook: Open) -> None:
    receiver.answer(reset=True, times=2)
    receiver.answer(raw=b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    receiver.answer(raw=b"")
    hook = open_hook()
    numbers = give(hook, range(1, 201))
    assert hook.flush(10.0)
    assert once(receiver) == numbers


def test_a_poison_span_costs_no_neighbour(open_hook: Open) -> None:
    with Picky() as receiver:
        hook = open_hook(endpoint=receiver.endpoint)
        give(hook, range(1, 513))
        assert hook.flush(10.0)
        assert once(receiver) == [number for number in range(1, 513) if number != 13]
        assert (hook.stats().delivery.acknowledged, hook.stats().delivery.dead) == (511, 1)


def test_30_percent_random_errors_over_20_000_spans(open_hook: Open) -> None:
    """The stock SDK loses 56 %. What arrives twice, because only the answer was lost, is the same to the last byte."""
    with Moody(SEED, share=0.3) as receiver:
        hook = open_hook(endpoint=receiver.endpoint, max_request_bytes=150_000)
        numbers = give(hook, range(1, 20_001))
        assert hook.flush(60.0)
        assert once(receiver) == numbers
        assert receiver.failures > 10
        assert hook.stats().delivery.acknowledged == 20_000
