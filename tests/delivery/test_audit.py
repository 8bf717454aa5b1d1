"""The audit at the end of each test finds spans that are nowhere, and what it found is mended."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest

from otel_phi.testing import Receiver
from tests.delivery.accounts import audit
from tests.delivery.live_agent import delivery_for, gone, work
from tests.delivery.test_known_bounds import wait

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="record locks and forks are POSIX's")


def test_the_audit_sees_a_span_that_is_counted_and_nowhere(tmp_path: Path) -> None:
    delivery = delivery_for(gone(), tmp_path)
    delivery._courier.wake = lambda: None  # type: ignore[method-assign]
    delivery.commit([work(1), work(2)])
    delivery._shelves.tidy()  # as the courier does
    assert audit(delivery._shelves) == ""
    outbox = delivery._store.outbox
    assert outbox is not None
    assert outbox.delete([1])
    assert delivery.stats().balanced(), "the counters alone do not tell"
    assert "on disk 1, in memory 0" in audit(delivery._shelves)
    delivery._counts.drop("purged", 1, queued=-1)
    assert delivery.shutdown(0.5)


def test_what_was_under_way_from_a_file_set_aside_is_counted_as_damaged_in_the_end(
    receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answer(status=503, times=1000)
    delivery = delivery_for(receiver.endpoint, tmp_path)
    delivery.commit([work(1)])
    wait(lambda: delivery.stats().retries > 0)
    outbox = delivery._store.outbox
    assert outbox is not None
    outbox.failed(sqlite3.DatabaseError("malformed"))
    wait(lambda: delivery._store.outbox not in {outbox, None})
    assert delivery.stats().queued == 1, "it may still be sent"
    delivery.commit([work(2)])
    assert not delivery.shutdown(0.5)
    assert (delivery.stats().queued, delivery.stats().dropped) == (1, (("damaged", 1),))
    assert delivery.stats().balanced()
