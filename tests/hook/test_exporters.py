"""Several exporters: one journal, a mark each; what one of them does not take keeps the others from nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

import otel_phi
from otel_phi.delivery.exporters.http import HttpExporter
from otel_phi.testing import Receiver
from tests.delivery.accounts import assert_in_order
from tests.faults.collectors import gone, receiver_at
from tests.faults.loops import LOOP_SCOPE, give, once
from tests.hook.children import journals
from tests.hook.waiting import until

TEXT = "x" * 1_000  # twenty loops are some 25 kB of spans


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch, receiver: Receiver, tmp_path: Path) -> tuple[otel_phi.Hook, str]:
    """Gives a hook that sends to the receiver, and to another collector that is down; it maps 25 kB ahead."""
    endpoint = gone()
    opened = tuple(HttpExporter(f"{one}/v1/traces") for one in (receiver.endpoint, endpoint))
    monkeypatch.setattr("otel_phi.hook.live.open_exporters", lambda _: opened)
    monkeypatch.setattr("otel_phi.hook.journal_export.AHEAD_BYTES", 25_000)
    hook = otel_phi.install(
        exporter="otlp,console",
        service_name="test",
        state_dir=tmp_path / "state",
        max_request_bytes=4_000,
        **LOOP_SCOPE,
    )
    return hook, endpoint


def test_one_that_is_down_keeps_nothing_from_the_other_and_gets_all_when_it_is_back(
    two: tuple[otel_phi.Hook, str], receiver: Receiver, tmp_path: Path
) -> None:
    hook, endpoint = two
    numbers = give(hook, range(1, 81), TEXT)
    until(lambda: once(receiver) == numbers)
    assert not hook.flush(0.1), "the other has none of it"
    with receiver_at(endpoint) as other:
        assert hook.flush(60.0)
        assert once(other) == numbers
    assert hook.shutdown(20.0)
    assert journals(tmp_path / "state") == []
    assert_in_order([hook])


def test_one_that_is_far_behind_is_waited_for_and_memory_is_bounded(
    two: tuple[otel_phi.Hook, str], receiver: Receiver
) -> None:
    hook, endpoint = two
    numbers = give(hook, range(1, 1_001), TEXT)
    until(lambda: len(receiver.spans) > 100)
    assert not hook.flush(1.0)
    assert len(once(receiver)) < 400
    assert hook.stats().waiting > 500
    with receiver_at(endpoint) as other:
        assert hook.flush(120.0)
        assert once(other) == once(receiver) == numbers
    assert hook.shutdown(20.0)
    assert_in_order([hook])
