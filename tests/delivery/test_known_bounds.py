"""The table that all processes share keeps to its share of the folder: what is settled goes first, the oldest first."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from otel_phi.delivery.folder import purge
from otel_phi.delivery.known_bounds import SHARE
from otel_phi.delivery.live import LiveDelivery
from otel_phi.delivery.upkeep import Limits

from otel_phi.testing import Receiver
from tests.delivery.live_agent import SESSION, delivery_for, gone, work
from tests.delivery.test_live import fork

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="record locks and forks are POSIX's")
FOLDER = 1 << 20
LOG = 1 << 20  # the write-ahead log, cut once it is longer
Open = Callable[..., LiveDelivery]


@pytest.fixture
def open_live(tmp_path: Path) -> Iterator[Open]:
    """Opens live deliveries of a small folder; in the end their counts balance."""
    made: list[LiveDelivery] = []

    def open_one(endpoint: str, **limits: Any) -> LiveDelivery:
        made.append(delivery_for(endpoint, tmp_path, limits=Limits(**{"bytes": FOLDER, **limits})))
        return made[-1]

    yield open_one
    for delivery in made:
        delivery.shutdown(0.5)
        assert delivery.stats().balanced()
        assert delivery.stats().queued >= 0


def claim(delivery: LiveDelivery, numbers: range, text: str = "x" * 500) -> None:
    for number in numbers:
        while not delivery._store.known.claim(*_row(delivery, number, text)):  # type: ignore[union-attr]
            time.sleep(0.001)  # the courier had the table for a moment
        delivery._counts.add(accepted=1, queued=1)
        delivery._store.owe(1)
    delivery._courier.wake()


def _row(delivery: LiveDelivery, number: int, text: str) -> Any:
    from otel_phi.delivery.rows import row_of

    span = work(number, name="invoke_workflow", text=text)
    outbox = delivery._store.outbox
    assert outbox is not None
    return row_of(span, delivery._encoder), span.start_ns, delivery._place.envelope, outbox.name


def asked(state: Path, query: str) -> list[Any]:
    connection = sqlite3.connect(state / "outbox" / "known.sqlite3")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def within(delivery: LiveDelivery, state: Path, share: int) -> bool:
    size = (state / "outbox" / "known.sqlite3").stat().st_size
    return delivery._store.known.used_bytes() <= share and size <= share + LOG  # type: ignore[union-attr]


def wait(until: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_acknowledged_roots_and_loops_go_oldest_first_and_cost_no_span(
    receiver: Receiver, open_live: Open, tmp_path: Path
) -> None:
    delivery = open_live(receiver.endpoint)
    for first in range(1, 2_001, 50):
        claim(delivery, range(first, first + 50))
        for number in range(first, first + 50):
            delivery.remember_loop(f"loop {number}", "s", number)
        assert delivery.flush(20)
    wait(lambda: within(delivery, tmp_path, FOLDER // SHARE))
    stats = delivery.stats()
    assert (stats.acknowledged, stats.dropped) == (2_000, ())
    (count, oldest), *_ = asked(tmp_path, "SELECT count(*), min(key) FROM root")
    assert 0 < count < 2_000
    assert int.from_bytes(oldest[16:], "big") > 1, "the first went"
    assert not delivery.claim_root(work(2_000, name="invoke_workflow")), "the last is known"
    assert delivery._store.loop("loop 2000") == ("s", 2_000)


def test_roots_that_wait_go_last_the_oldest_first_and_are_counted(open_live: Open, tmp_path: Path) -> None:
    delivery = open_live(gone(), bytes=16 << 20)
    for number in range(300):  # the courier sleeps: a request made before all are there would hold more than the share
        delivery._store.remember(f"loop {number}", "s", number)
    claim(delivery, range(1, 2_001), "x" * 2_000)
    wait(lambda: "outbox_full" in dict(delivery.stats().dropped) and within(delivery, tmp_path, 2 << 20))
    assert asked(tmp_path, "SELECT count(*) FROM loop") == [(0,)]
    waiting = {int.from_bytes(key[16:], "big") for (key,) in asked(tmp_path, "SELECT key FROM root")}
    dropped = dict(delivery.stats().dropped)["outbox_full"]
    assert (len(waiting) + dropped, delivery.stats().queued) == (2_000, len(waiting))
    gone_ones = set(range(1, 2_001)) - waiting
    free = set(range(1, 2_001)) - under_way(delivery, tmp_path)  # a request's are not taken from under it
    assert gone_ones == set(sorted(free)[: len(gone_ones)])


def under_way(delivery: LiveDelivery, state: Path) -> set[int]:
    held = delivery._shelves.roots_under_way
    rows = asked(state, "SELECT rowid, key FROM root")
    return {int.from_bytes(key[16:], "big") for number, key in rows if number in held}


def test_the_share_is_all_that_the_table_costs_our_own_spans(
    receiver: Receiver, open_live: Open, tmp_path: Path
) -> None:
    first = open_live(receiver.endpoint, bytes=8 << 20)
    for number in range(6_000):
        first._store.remember(f"loop {number}" + "x" * 300, "s" * 100, number)  # written together, not one by one
    second = open_live(gone(), bytes=8 << 20)
    for number in range(1, 1_501):
        second.commit([work(number, text="x" * 2_000)])
    wait(lambda: within(first, tmp_path, 1 << 20) and second._upkeep.scans > 0)
    time.sleep(1.5)  # bounds are looked at each second
    assert second.stats().dropped == ()
    for number in range(1_501, 6_001):
        second.commit([work(number, text="x" * 2_000)])
    wait(lambda: "outbox_full" in dict(second.stats().dropped))
    assert second.stats().queued > 2_000


def test_the_table_counts_towards_the_folder_s_bytes(open_live: Open, tmp_path: Path) -> None:
    delivery = open_live(gone(), bytes=8 << 20)
    before = delivery._upkeep._used_bytes()
    for number in range(1_000):
        delivery.remember_loop(f"loop {number}" + "x" * 300, "s", number)
    delivery._store.known.write_loops()  # type: ignore[union-attr]
    assert delivery._upkeep._used_bytes() - before > 300_000


def test_roots_that_waited_too_long_go_and_are_counted(open_live: Open, tmp_path: Path) -> None:
    delivery = open_live(gone(), bytes=256 << 20, age_s=0.5)
    claim(delivery, range(1, 2_001), "x" * 2_000)  # the first request holds some of them
    query = "SELECT count(*) FROM root"
    wait(lambda: asked(tmp_path, query) == [(len(delivery._shelves.roots_under_way),)])
    wait(lambda: dict(delivery.stats().dropped).get("too_old", 0) > 100)  # counted once all are gone


def test_a_dead_process_s_roots_for_another_collector_count_too(
    receiver: Receiver, open_live: Open, tmp_path: Path
) -> None:
    def die() -> None:
        agent = delivery_for("http://127.0.0.1:9", tmp_path)
        agent._courier.wake = lambda: None  # type: ignore[method-assign]  # it dies before anything is sent
        claim(agent, range(1, 301))

    os.waitpid(fork(die), 0)
    delivery = open_live(receiver.endpoint)
    delivery.commit([work(1_000)])
    wait(lambda: "outbox_full" in dict(delivery.stats().dropped) and within(delivery, tmp_path, FOLDER // SHARE))
    stats = delivery.stats()
    gone_ones = dict(stats.dropped)["outbox_full"]
    assert (stats.accepted, stats.adopted) == (1 + gone_ones, gone_ones)
    assert asked(tmp_path, "SELECT count(*) FROM root") == [(300 - gone_ones,)]


def test_roots_purged_under_a_living_process_are_counted_by_it(open_live: Open, tmp_path: Path) -> None:
    delivery = open_live(gone())
    delivery._courier.wake = lambda: None  # type: ignore[method-assign]  # it has not come to read them
    for number in (1, 2, 3):
        assert delivery.claim_root(work(number))
    assert purge(tmp_path, SESSION) == 3
    delivery._shelves.tidy()
    delivery._shelves.recount()
    assert (delivery.stats().queued, dict(delivery.stats().dropped)) == (0, {"purged": 3})
