"""The collector is away, slow or odd: nothing committed is lost, nothing arrives changed, and every wait is bounded."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest

from otel_phi.delivery.live import LiveDelivery
from otel_phi.testing import Receiver
from otel_phi.testing.grpc_server import GrpcServer
from tests.delivery.live_agent import gone, work
from tests.faults.collectors import Moody, Narrow, Picky, once, receiver_at

Open = Callable[..., LiveDelivery]
SEED = 20_261_123


def commit(delivery: LiveDelivery, count: int, first: int = 1) -> list[int]:
    """Commits spans with the ids from `first` on, and returns the ids."""
    numbers = list(range(first, first + count))
    for number in numbers:
        delivery.commit([work(number)])
    return numbers


def test_down_at_start_and_for_a_while(open_live: Open) -> None:
    """Down at the start, up, down in mid-run, up again at the same address."""
    endpoint = gone()
    delivery = open_live(endpoint)
    first = commit(delivery, 300)
    time.sleep(1.0)
    stats = delivery.stats()
    assert (stats.queued + stats.deferred, stats.trouble) == (300, "connection refused")
    with receiver_at(endpoint) as receiver:
        assert delivery.flush(5.0)
        assert once(receiver) == first
    second = commit(delivery, 300, 1001)
    assert not delivery.flush(0.7)
    with receiver_at(endpoint) as receiver:
        assert delivery.flush(5.0)
        assert once(receiver) == second


def test_slow(receiver: Receiver, open_live: Open) -> None:
    receiver.answer(delay_s=0.15, times=1000)
    delivery = open_live(max_request_bytes=8_000)
    began = time.monotonic()
    numbers = commit(delivery, 500)
    assert time.monotonic() - began < 2.0, "the agent does not wait for the collector"
    assert delivery.flush(20.0)
    assert once(receiver) == numbers
    assert len(receiver.spans) == 500


@pytest.mark.parametrize("answer", [{"delay_s": 3.0}, {"drip_s": 0.1}], ids=["hanging", "dripping"])
def test_hanging_and_dripping(answer: dict[str, Any], receiver: Receiver, open_live: Open) -> None:
    """A dripping SDK exporter holds a post 24 s with a timeout of 10; ours ends within the timeout, and tries again."""
    receiver.answer(times=2, **answer)
    delivery = open_live(timeout_s=0.5)
    numbers = commit(delivery, 100)
    assert delivery.flush(8.0)
    first, second, third = (request.time_s for request in receiver.requests[:3])
    assert max(second - first, third - second) <= 0.5 + 1.0
    assert once(receiver) == numbers


@pytest.mark.parametrize(
    ("told", "least_s", "most_s"),
    [("2", 2.0, 2.4), ("date", 1.5, 3.5), ("soon, perhaps", 0.05, 0.8)],
    ids=["seconds", "http-date", "garbage"],
)
def test_429_with_retry_after(told: str, least_s: float, most_s: float, receiver: Receiver, open_live: Open) -> None:
    """A date has whole seconds: 3 s ahead is 2 to 3. Garbage is answered with our own first wait."""
    when = formatdate(time.time() + 3, usegmt=True) if told == "date" else told
    receiver.answer(status=429, headers={"Retry-After": when})
    delivery = open_live()
    numbers = commit(delivery, 100)
    assert delivery.flush(8.0)
    first, second = (request.time_s for request in receiver.requests[:2])
    assert least_s <= second - first <= most_s
    assert once(receiver) == numbers
    assert len(receiver.spans) == 100


@pytest.mark.parametrize("status", [301, 307, 401, 403, 404])
def test_misconfigured_is_kept_probed_and_healed(
    status: int, receiver: Receiver, open_live: Open, caplog: pytest.LogCaptureFixture
) -> None:
    with Receiver() as elsewhere:
        receiver.answer(status=status, headers={"Location": elsewhere.endpoint + "/v1/traces"})
        delivery = open_live()
        numbers = commit(delivery, 100)
        receiver.wait_for_requests(1)
        assert not delivery.flush(0.5)
        stats = delivery.stats()
        assert (stats.queued + stats.deferred, stats.dead, len(receiver.requests)) == (100, 0, 1)
        assert (stats.trouble or "").startswith(f"HTTP {status}")
        assert delivery.flush(5.0)
        assert elsewhere.requests == [], "redirects are not followed"
    assert once(receiver) == numbers
    assert len([record for record in caplog.records if f"HTTP {status}" in record.getMessage()]) == 1


def test_413_costs_the_oversize_span_alone(open_live: Open) -> None:
    with Narrow() as receiver:
        delivery = open_live(receiver.endpoint)
        numbers = commit(delivery, 200)
        delivery.commit([work(1000, text="x" * 300_000)])
        numbers += commit(delivery, 200, 2001)
        assert delivery.flush(10.0)
        assert once(receiver) == numbers
        assert (delivery.stats().acknowledged, delivery.stats().dead) == (400, 1)


def test_grpc_4_mib_costs_the_oversize_span_alone(receiver: Receiver, open_live: Open) -> None:
    server = GrpcServer(receiver.take, None, max_message_bytes=4 << 20)
    try:
        delivery = open_live(server.endpoint, protocol="grpc")
        numbers = commit(delivery, 200)
        delivery.commit([work(1000, text="x" * (5 << 20))])
        numbers += commit(delivery, 200, 2001)
        assert delivery.flush(15.0)
        assert once(receiver) == numbers
        assert (delivery.stats().acknowledged, delivery.stats().dead) == (400, 1)
        assert delivery.shutdown(2.0)
    finally:
        server.close()


def test_partial_success_is_counted_and_not_sent_again(receiver: Receiver, open_live: Open) -> None:
    receiver.answer(rejected=7, message="too old")
    delivery = open_live()
    delivery.commit([work(number) for number in range(1, 11)])
    assert delivery.flush(5.0)
    stats = delivery.stats()
    assert (stats.acknowledged, stats.rejected, len(receiver.requests)) == (3, 7, 1)


def test_reset_and_garbage(receiver: Receiver, open_live: Open) -> None:
    receiver.answer(reset=True, times=2)
    receiver.answer(raw=b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    receiver.answer(raw=b"")
    delivery = open_live()
    numbers = commit(delivery, 200)
    assert delivery.flush(10.0)
    assert once(receiver) == numbers


def test_a_poison_span_costs_no_neighbour(open_live: Open) -> None:
    with Picky() as receiver:
        delivery = open_live(receiver.endpoint)
        delivery.commit([work(number) for number in range(1, 513)])
        assert delivery.flush(10.0)
        assert once(receiver) == [number for number in range(1, 513) if number != 13]
        assert (delivery.stats().acknowledged, delivery.stats().dead) == (511, 1)


def test_30_percent_random_errors_over_20_000_spans(open_live: Open) -> None:
    """The stock SDK loses 56 %. What arrives twice, because only the answer was lost, is the same to the last byte."""
    with Moody(SEED, share=0.3) as receiver:
        delivery = open_live(receiver.endpoint, max_request_bytes=50_000)
        numbers = commit(delivery, 20_000)
        assert delivery.flush(60.0)
        assert once(receiver) == numbers
        assert receiver.failures > 10
        assert delivery.stats().acknowledged == 20_000
