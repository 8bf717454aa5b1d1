"""What is purged beside a living process does not leave, whatever that process has in its memory already."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest
from otel_phi.delivery.folder import folder_status, purge
from otel_phi.delivery.outbox import Outbox

from otel_phi.delivery.sending.stats import LiveStats
from otel_phi.testing import Receiver
from tests.delivery.live_agent import SESSION, delivery_for, work
from tests.delivery.test_known_bounds import wait as until
from tests.delivery.test_live import ids

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="record locks and forks are POSIX's")


def settled(stats: LiveStats) -> tuple[int, dict[str, int], int, int]:
    assert stats.balanced()
    return stats.acknowledged, dict(stats.dropped), stats.queued, stats.deferred


def test_spans_and_roots_purged_while_a_request_waits_to_be_sent_again_never_leave(
    receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answer(status=503, times=1000)
    delivery = delivery_for(receiver.endpoint, tmp_path)
    assert delivery.claim_root(work(1))
    delivery.commit([work(number) for number in range(2, 9)])
    until(lambda: delivery.stats().retries > 0)
    assert purge(tmp_path) == 8
    receiver.forget_script()
    delivery.commit([work(100)])
    assert delivery.flush(30)
    assert ids(receiver) == [100]
    assert settled(delivery.stats()) == (1, {"purged": 8}, 0, 0)
    assert delivery.shutdown(2)


def test_of_a_request_s_sessions_the_others_are_sent(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answer(status=503, times=1000)
    delivery = delivery_for(receiver.endpoint, tmp_path)
    other = msgspec.structs.replace(work(2), attributes=(("session.id", "another"),))
    delivery.commit([work(1), other, work(3)])
    until(lambda: delivery.stats().retries > 0)
    assert purge(tmp_path, SESSION) == 2
    receiver.forget_script()
    assert delivery.flush(30)
    assert ids(receiver) == [2]
    assert settled(delivery.stats()) == (1, {"purged": 2}, 0, 0)
    assert delivery.shutdown(2)


def test_what_had_no_room_in_the_request_is_looked_at_too(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answer(status=503, times=1000)
    delivery = delivery_for(receiver.endpoint, tmp_path)
    delivery.commit([work(number, text="x" * 200_000) for number in range(1, 13)])
    until(lambda: delivery.stats().retries > 0)
    assert purge(tmp_path, SESSION) == 12
    receiver.forget_script()
    assert delivery.flush(30)
    delivery.commit([work(100)])
    assert delivery.flush(30)
    assert ids(receiver) == [100]
    assert settled(delivery.stats()) == (1, {"purged": 12}, 0, 0)
    assert delivery.shutdown(2)


def test_what_a_request_took_from_memory_is_purged_once_it_is_on_disk(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.answer(status=503, times=1000)
    delivery = delivery_for(receiver.endpoint, tmp_path)
    write = Outbox.write_locked

    def full(self: Outbox, *_: object) -> bool:
        self.error = "disk full"
        return False

    monkeypatch.setattr(Outbox, "write_locked", full)
    delivery.commit([work(1), work(2)])
    until(lambda: delivery.stats().retries > 0)
    assert delivery.stats().deferred == 2
    monkeypatch.setattr(Outbox, "write_locked", write)
    until(lambda: delivery.stats().deferred == 0)
    assert purge(tmp_path, SESSION) == 2
    receiver.forget_script()
    delivery.commit([work(100)])
    assert delivery.flush(30)
    assert ids(receiver) == [100]
    assert settled(delivery.stats()) == (1, {"purged": 2}, 0, 0)
    assert delivery.shutdown(2)


def test_rows_acknowledged_while_the_disk_was_full_are_not_sent_again_by_a_recount(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = delivery_for(receiver.endpoint, tmp_path)
    delete = Outbox.delete
    monkeypatch.setattr(Outbox, "delete", lambda *_: False)
    delivery.commit([work(1), work(2)])
    until(lambda: delivery.stats().acknowledged == 2)
    with delivery._shelves.gate:
        delivery._shelves.recount()
    delivery.commit([work(3)])
    until(lambda: delivery.stats().acknowledged >= 3)
    monkeypatch.setattr(Outbox, "delete", delete)
    assert delivery.flush(30)
    assert ids(receiver) == [1, 2, 3]
    assert settled(delivery.stats()) == (3, {}, 0, 0)
    assert delivery.shutdown(2)
    assert folder_status(tmp_path).queued == 0
