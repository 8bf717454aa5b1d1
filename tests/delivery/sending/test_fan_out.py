"""Several exporters: each gets every span, and none waits, counts or acknowledges for another."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_phi
from otel_phi.delivery.exporters.exporter import Accepted, Exporter, ExportResult, Refused, Retry
from otel_phi.delivery.exporters.http import HttpExporter
from otel_phi.delivery.exporters.sdk import SdkExporter
from otel_phi.delivery.journal.ledger import Ledger
from otel_phi.errors import DeliveryError
from otel_phi.testing import Receiver
from tests import golden

SPANS = len(list(otel_phi.spans(golden.demo())))


class Scripted:
    """An exporter that answers always the same."""

    max_in_flight = 1

    def __init__(self, result: ExportResult) -> None:
        self.result = result
        self.closed: list[bool] = []

    def send(self, body: bytes, timeout_s: float) -> ExportResult:
        return self.result

    def close(self, *, whole: bool = True) -> None:
        self.closed.append(whole)


def ids(spans: tuple[ReadableSpan, ...]) -> set[int]:
    return {span.context.span_id for span in spans if span.context}


@pytest.mark.parametrize("live", [False, True])
def test_each_exporter_gets_every_span_once(live: bool) -> None:
    memory = InMemorySpanExporter()
    with Receiver() as receiver:
        exporters: tuple[SpanExporter | str, ...] = (memory, "otlp")
        with otel_phi.Bridge(endpoint=receiver.endpoint, exporter=exporters, live=live) as bridge:
            bridge.feed(golden.demo())
            bridge.flush()
            arrived = sorted(span.span_id for span in receiver.spans)
            assert len(arrived) == SPANS == len(memory.get_finished_spans())
            assert set(arrived) == ids(memory.get_finished_spans())
    assert [one.destination for one in bridge.deliveries] == ["otlp", "InMemorySpanExporter"]
    assert [one.progress.stats.acknowledged for one in bridge.deliveries] == [SPANS, SPANS]
    assert bridge.stats().delivery.acknowledged == SPANS, "a span is one span, however many exporters take it"


@pytest.mark.parametrize("live", [False, True])
def test_one_that_is_down_keeps_nothing_from_the_other_and_is_reported(live: bool) -> None:
    down = Scripted(Retry("it is down"))
    with Receiver() as receiver:
        bridge = otel_phi.Bridge(
            exporters=[down, HttpExporter(receiver.endpoint + "/v1/traces")], give_up_after_s=0.2, live=live,
            max_request_bytes=4_096,
        )  # fmt: skip
        bridge.feed(golden.demo())
        with pytest.raises(DeliveryError, match="it is down"):
            bridge.shutdown()
        assert len(receiver.spans) == SPANS
    first, second = (one.progress.stats for one in bridge.deliveries)
    assert (first.acknowledged, first.queued, second.acknowledged) == (0, SPANS, SPANS)
    assert first.balanced()
    assert second.balanced()
    assert down.closed == [False], "spans are missing there"
    assert bridge.progress().trouble == "it is down"


def test_when_all_are_down_the_source_is_stopped() -> None:
    bridge = otel_phi.Bridge(
        exporters=[Scripted(Retry("a")), Scripted(Retry("b"))], give_up_after_s=0.1, max_request_bytes=1_000
    )
    endless = (event for _ in range(1_000) for event in golden.demo())
    with pytest.raises(DeliveryError):
        bridge.feed(endless)
    bridge.close()


def test_refusals_of_one_are_its_own_dead_letters() -> None:
    class Picky(Scripted):
        def send(self, body: bytes, timeout_s: float) -> ExportResult:
            result, self.result = self.result, Accepted()
            return result

    with otel_phi.Bridge(exporters=[Scripted(Accepted()), Picky(Refused("no"))], max_request_bytes=1) as bridge:
        bridge.feed(golden.demo())
    taken, refused = bridge.deliveries
    assert (taken.progress.stats.acknowledged, taken.progress.stats.dead) == (SPANS, 0)
    assert (refused.progress.stats.acknowledged, refused.progress.stats.dead) == (SPANS - 1, 1)
    assert refused.dead_letters == bridge.dead_letters


def test_a_resumed_export_sends_each_exporter_what_it_has_not_got(tmp_path: Path) -> None:
    memory = InMemorySpanExporter()
    ledger = Ledger(tmp_path, "one")
    first = otel_phi.Bridge(
        exporters=[SdkExporter(memory), Scripted(Retry("down"))], ledger=ledger, give_up_after_s=0.1
    )
    first.feed(golden.demo())
    with pytest.raises(DeliveryError):
        first.shutdown()
    ledger.close()
    assert len(memory.get_finished_spans()) == SPANS

    again, ledger = InMemorySpanExporter(), Ledger(tmp_path, "one")
    with Receiver() as receiver:
        exporters: list[Exporter] = [SdkExporter(again), HttpExporter(receiver.endpoint + "/v1/traces")]
        with otel_phi.Bridge(exporters=exporters, ledger=ledger) as second:
            second.feed(golden.demo())
            assert not again.get_finished_spans()
        assert len(receiver.spans) == SPANS
    assert [dict(one.progress.stats.dropped) for one in second.deliveries] == [{"sent_before": SPANS}, {}]
    assert all(one.progress.stats.balanced() for one in second.deliveries)
    ledger.close()


def test_a_live_stream_does_not_wait_for_the_slower_one() -> None:
    gate, got = threading.Event(), InMemorySpanExporter()

    class Slow(Scripted):
        def send(self, body: bytes, timeout_s: float) -> ExportResult:
            gate.wait(30)
            return Accepted()

    bridge = otel_phi.Bridge(exporters=[Slow(Accepted()), SdkExporter(got)], live=True)
    bridge.feed(golden.demo())
    while len(got.get_finished_spans()) < SPANS:
        assert not gate.wait(0.01)
    gate.set()
    bridge.shutdown()
    assert [one.progress.stats.acknowledged for one in bridge.deliveries] == [SPANS, SPANS]
