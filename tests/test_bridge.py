"""The bridge: events in, OTLP in a real receiver; every span in one place at any moment, whatever happens."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_phi
from otel_phi.delivery.exporters.exporter import Accepted, ExportResult
from otel_phi.delivery.sending.span_queue import SpanQueue
from otel_phi.errors import DecodeError, DeliveryError
from otel_phi.events import AgentEvent, encode_event
from otel_phi.testing import Receiver
from tests import golden

DEAD = "http://127.0.0.1:9"  # the discard port: nobody listens on a test machine
SPANS = len(list(otel_phi.spans(golden.demo())))


class Slow:
    """Is an exporter that takes its time."""

    max_in_flight = 1

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.gate = threading.Event()

    def send(self, body: bytes, timeout_s: float) -> ExportResult:
        self.gate.wait(self.seconds)
        return Accepted()

    def close(self, *, whole: bool = True) -> None:
        """Has nothing to close."""


@pytest.mark.parametrize("live", [False, True])
def test_every_span_arrives_and_the_counts_say_so(live: bool) -> None:
    with Receiver() as receiver:
        with otel_phi.Bridge(endpoint=receiver.endpoint, live=live) as bridge:
            bridge.feed(golden.demo())
        assert len(receiver.spans) == SPANS
    stats = bridge.stats()
    assert (stats.delivery.accepted, stats.delivery.acknowledged, stats.delivery.queued) == (SPANS, SPANS, 0)
    assert stats.delivery.balanced()


@pytest.mark.parametrize("live", [False, True])
def test_shutdown_flush_and_finish_can_be_repeated_also_inside_the_with_block(live: bool) -> None:
    with Receiver() as receiver:
        with otel_phi.Bridge(endpoint=receiver.endpoint, live=live) as bridge:
            bridge.feed(golden.demo())
            started = time.monotonic()
            for _ in range(2):
                bridge.shutdown()
                bridge.finish()
                bridge.flush()
        assert time.monotonic() - started < 10
        assert len(receiver.spans) == SPANS


@pytest.mark.parametrize("live", [False, True])
def test_an_agent_that_fails_within_the_block_still_gets_its_trace(live: bool) -> None:
    unfinished = golden.demo()[:-60]

    def agent(bridge: otel_phi.Bridge) -> None:
        with bridge:
            bridge.feed(unfinished)
            raise RuntimeError("the agent failed")

    with Receiver() as receiver:
        bridge = otel_phi.Bridge(endpoint=receiver.endpoint, live=live)
        with pytest.raises(RuntimeError, match="agent"):
            agent(bridge)
        assert len(receiver.spans) == len(list(otel_phi.spans(unfinished)))
        assert any(span.get("error.type") == "aborted" for span in receiver.spans)
    assert bridge.stats().delivery.balanced()


def test_an_iterator_that_fails_loses_nothing_it_gave() -> None:
    def events() -> Iterator[AgentEvent]:
        yield from golden.demo()
        raise RuntimeError("the source failed")

    with Receiver() as receiver:
        with pytest.raises(RuntimeError, match="source"), otel_phi.Bridge(endpoint=receiver.endpoint) as bridge:
            bridge.feed(events())
        assert len(receiver.spans) == SPANS


@pytest.mark.parametrize("live", [False, True])
def test_a_collector_that_is_away_is_said_and_the_spans_stay_queued(live: bool) -> None:
    bridge = otel_phi.Bridge(endpoint=DEAD, live=live, give_up_after_s=0.5)
    bridge.feed(golden.demo())
    with pytest.raises(DeliveryError, match="refused"):
        bridge.shutdown()
    stats = bridge.stats().delivery
    assert (stats.accepted, stats.acknowledged, stats.queued) == (SPANS, 0, SPANS)
    assert stats.balanced()


def test_events_come_as_values_mappings_texts_or_bytes() -> None:
    events = golden.demo()
    forms = [
        events,
        [json.loads(encode_event(event)) for event in events],
        [encode_event(event).decode() for event in events],
        [encode_event(event) for event in events],
    ]
    found = []
    for form in forms:
        with Receiver() as receiver:
            with otel_phi.Bridge(endpoint=receiver.endpoint) as bridge:
                bridge.feed(form)
            found.append(receiver.spans)
    assert found[0] == found[1] == found[2] == found[3]
    assert [list(otel_phi.spans(form)) for form in forms] == [list(otel_phi.spans(events))] * len(forms)


def test_what_is_no_event_costs_itself_alone_in_the_bridge_and_is_an_error_in_the_pure_function() -> None:
    with Receiver() as receiver:
        with otel_phi.Bridge(endpoint=receiver.endpoint) as bridge:
            bridge.feed([*golden.demo(), b"{", {"no": "type"}, {"type": object()}])
        assert len(receiver.spans) == SPANS
    assert bridge.stats().undecodable == 3
    with pytest.raises(DecodeError, match="no AgentEvent"):
        list(otel_phi.spans([{"no": "type"}]))


def test_any_span_exporter_stands_in_for_the_collector() -> None:
    exporter = InMemorySpanExporter()
    with otel_phi.Bridge(exporter=exporter) as bridge:
        bridge.feed(golden.demo())
        bridge.flush()
        ids = {span.context.span_id for span in exporter.get_finished_spans() if span.context}
    assert ids == {span.span_id for span in otel_phi.spans(golden.demo())}


def test_a_live_bridge_never_waits_and_drops_by_count_what_its_buffer_cannot_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SpanQueue.__init__, "__defaults__", (4_096,))
    slow = Slow(20)
    bridge = otel_phi.Bridge(live=True, exporters=[slow], max_request_bytes=1_000, give_up_after_s=5)
    started = time.monotonic()
    for _ in range(3):
        bridge.feed(golden.demo())
    assert time.monotonic() - started < 5
    stats = bridge.stats().delivery
    assert dict(stats.dropped)["buffer_full"] > 0
    assert stats.balanced()
    slow.gate.set()
    bridge.shutdown()
    stats = bridge.stats().delivery
    assert stats.queued == 0
    assert stats.balanced()


def test_accepted_never_goes_down_and_the_counts_balance_while_spans_leave() -> None:
    seen = []
    with Receiver() as receiver, otel_phi.Bridge(endpoint=receiver.endpoint, live=True) as bridge:
        for event in golden.demo():
            bridge.feed([event])
            seen.append(bridge.stats().delivery)
    assert all(stats.balanced() and stats.queued >= 0 for stats in seen)
    assert [stats.accepted for stats in seen] == sorted(stats.accepted for stats in seen)


def test_a_disabled_bridge_counts_what_it_drops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with otel_phi.Bridge() as bridge:
        bridge.feed(golden.demo())
    stats = bridge.stats().delivery
    assert dict(stats.dropped) == {"sdk_disabled": SPANS}
    assert stats.balanced()


def test_sampling_leaves_whole_sessions_out_and_counts_their_spans() -> None:
    with Receiver() as receiver:
        with otel_phi.Bridge(endpoint=receiver.endpoint, sample=0.0) as bridge:
            bridge.feed(golden.demo())
        assert not receiver.spans
    stats = bridge.stats().delivery
    assert dict(stats.dropped) == {"sampled_out": SPANS}
    assert stats.balanced()


def test_a_collector_given_up_within_the_block_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    def fed(bridge: otel_phi.Bridge) -> None:
        with bridge:
            bridge.feed(golden.demo())
            bridge.flush()

    with pytest.raises(DeliveryError, match="gave up"):
        fed(otel_phi.Bridge(endpoint=DEAD, give_up_after_s=0.3))
    assert not [record for record in caplog.records if "gave up" in record.message]
