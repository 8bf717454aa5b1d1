"""The bound on the count of spans holds for the whole folder: dead processes' files, living ones', other destinations'."""

from __future__ import annotations

import os
import sqlite3
import sys
from pathlib import Path

import pytest
from otel_phi.delivery.live import LiveDelivery
from otel_phi.delivery.upkeep import Limits

from tests.delivery.live_agent import delivery_for, gone, work
from tests.delivery.test_known_bounds import wait
from tests.delivery.test_live import fork

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="record locks and forks are POSIX's")
BOUND = Limits(spans=300)


def dropped(delivery: LiveDelivery) -> int:
    assert delivery.stats().balanced()
    return dict(delivery.stats().dropped).get("outbox_full", 0)


def on_disk(state: Path) -> int:
    total = 0
    for path in (state / "outbox").glob("*-*.sqlite3"):
        connection = sqlite3.connect(path)
        total += connection.execute("SELECT count(*) FROM span").fetchone()[0]
        connection.close()
    return total


def test_a_dead_process_s_spans_for_another_collector_count_and_go_first(tmp_path: Path) -> None:
    def die() -> None:
        agent = delivery_for("http://127.0.0.1:9", tmp_path)
        agent.commit([work(number) for number in range(1, 201)])

    os.waitpid(fork(die), 0)
    assert on_disk(tmp_path) == 200
    delivery = delivery_for(gone(), tmp_path, limits=BOUND)
    delivery.commit([work(number) for number in range(1, 201)])
    wait(lambda: dropped(delivery) > 0)
    assert dropped(delivery) == 200, "the oldest, as a whole"
    assert delivery.stats().queued == on_disk(tmp_path) == 200
    delivery.shutdown(0.5)


def test_of_two_that_live_each_gives_its_part(tmp_path: Path) -> None:
    both = [delivery_for(endpoint, tmp_path, limits=BOUND) for endpoint in (gone(), "http://127.0.0.1:9")]
    for delivery in both:
        delivery.commit([work(1)])
    wait(lambda: all(delivery.stats().retries for delivery in both))  # what is under way stays: one of each
    for delivery in both:
        delivery.commit([work(number) for number in range(2, 301)])
    wait(lambda: on_disk(tmp_path) <= 300)
    gone_ones = [dropped(delivery) for delivery in both]
    assert sum(gone_ones) + on_disk(tmp_path) == 600
    assert min(gone_ones) >= 60, "slices of twenty, and each looks when it will"
    assert on_disk(tmp_path) >= 200
    for delivery in both:
        delivery.shutdown(0.5)
