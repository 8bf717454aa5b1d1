"""What the outbox could not take in time: it follows whole and in order, and is lost neither to a request nor to a kill."""

from __future__ import annotations

import inspect
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from otel_phi.delivery.live import LiveDelivery
from otel_phi.delivery.rows import Change, open_row_of, row_of
from otel_phi.delivery.spill import Spill
from otel_phi.delivery.store import Store

from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.testing import Receiver
from tests.delivery.live_agent import delivery_for, opened, work
from tests.delivery.samples import RESOURCE
from tests.delivery.test_live import fork, ids

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks are POSIX's")

ENCODER = Encoder(RESOURCE)


@pytest.fixture
def open_live(receiver: Receiver, tmp_path: Path) -> Iterator[Callable[[], LiveDelivery]]:
    """Gives live deliveries to the receiver; what their counts say waits, waits."""
    made: list[LiveDelivery] = []

    def open_one() -> LiveDelivery:
        made.append(delivery_for(receiver.endpoint, tmp_path))
        return made[-1]

    yield open_one
    for delivery in made:
        assert delivery.stats().balanced()
        delivery.shutdown(1.0)
        assert delivery.stats().balanced()


def disk(delivery: LiveDelivery, *, works: bool) -> None:
    """Makes the disk refuse every write, or heals it; the error is injected in SQLite."""
    outbox = delivery._store.outbox
    assert outbox is not None
    with outbox.lock:
        outbox._connection.execute(f"PRAGMA query_only={int(not works)}")


def wait_until(done: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not done():
        assert time.monotonic() < until
        time.sleep(0.01)


# --- under way when the disk heals ---------------------------------------------------------------------------------------


def with_spilled_spans_under_way(receiver: Receiver, delivery: LiveDelivery) -> None:
    """Commits 50 spans with the disk failing, and waits until a request that is not answered well holds them."""
    receiver.answer(status=503, times=100_000)
    disk(delivery, works=False)
    for number in range(1, 51):
        delivery.commit([work(number)])
    wait_until(lambda: delivery.stats().retries > 0)
    assert delivery.stats().deferred == 50


def test_spans_that_a_request_took_from_memory_are_on_disk_once_it_is_well_and_survive_a_shutdown(
    receiver: Receiver, open_live: Callable[[], LiveDelivery]
) -> None:
    first = open_live()
    with_spilled_spans_under_way(receiver, first)
    disk(first, works=True)
    first.commit([work(51)])
    wait_until(lambda: first.stats().deferred == 0)
    assert first.stats().queued == 51
    assert not first.shutdown(0.5)
    receiver.forget_script()
    second = open_live()
    assert second.flush(10)
    assert second.stats().adopted == 51
    assert ids(receiver) == list(range(1, 52))


def test_those_that_the_disk_takes_only_at_the_end_survive_too(
    receiver: Receiver, open_live: Callable[[], LiveDelivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_live()
    with_spilled_spans_under_way(receiver, first)
    close = first._courier.close

    def heals_first(timeout_s: float) -> None:
        disk(first, works=True)
        close(timeout_s)

    monkeypatch.setattr(first._courier, "close", heals_first)
    assert not first.shutdown(0.5)
    assert (first.stats().queued, first.stats().deferred) == (50, 0)
    receiver.forget_script()
    second = open_live()
    assert second.flush(10)
    assert ids(receiver) == list(range(1, 51))


def test_those_that_arrive_after_all_leave_the_disk_and_none_is_sent_twice(
    receiver: Receiver, open_live: Callable[[], LiveDelivery], tmp_path: Path
) -> None:
    delivery = open_live()
    with_spilled_spans_under_way(receiver, delivery)
    disk(delivery, works=True)
    wait_until(lambda: delivery.stats().queued == 50)
    delivery.commit([work(51)])
    receiver.forget_script()
    assert delivery.flush(20)
    stats = delivery.stats()
    assert (stats.accepted, stats.acknowledged, stats.queued, stats.deferred) == (51, 51, 0, 0)
    assert ids(receiver) == list(range(1, 52))
    assert delivery.shutdown(2)
    assert list((tmp_path / "outbox").glob("*-*.sqlite3")) == []


# --- killed while it follows ---------------------------------------------------------------------------------------------


def loops(count: int, turns: int) -> list[tuple[list[Any], list[Any], list[tuple[int, int]]]]:
    """Returns what to commit for loops of some turns each, opened and closed: spans, opened, closed."""
    found: list[tuple[list[Any], list[Any], list[tuple[int, int]]]] = []
    number = 0
    for _ in range(count):
        number = loop = number + 1
        found.append(([], [opened(loop)], []))
        for _ in range(turns):
            number += 1
            found.append(([], [opened(number, loop, "turn")], []))
            found.append(([work(number, loop)], [], [(work(number).trace_id, number)]))
        found.append(([work(loop, name="invoke_agent")], [], [(work(loop).trace_id, loop)]))
    return found


@pytest.mark.parametrize("slices", range(6))
def test_a_process_killed_while_deferred_spans_go_to_the_disk_leaves_no_orphan_and_nothing_twice(
    receiver: Receiver, tmp_path: Path, slices: int
) -> None:
    def die() -> None:
        delivery = delivery_for(receiver.endpoint, tmp_path)
        delivery._courier.wake = lambda: None  # type: ignore[method-assign]  # the slices are moved by hand
        outbox = delivery._store.outbox
        assert outbox is not None
        with outbox.lock:  # as a thread does that the agent cannot wait for
            for spans, opens, closed in loops(count=3, turns=16):
                delivery.commit(spans, opens, closed)
        for _ in range(slices):
            assert delivery._store.move_spill()
        os._exit(0)

    assert os.waitpid(fork(die), 0)[1] == 0
    next_one = delivery_for(receiver.endpoint, tmp_path)
    assert next_one.flush(10)
    assert next_one.shutdown(2)
    arrived = ids(receiver)
    assert len(arrived) == len(set(arrived))
    assert {span.parent_span_id for span in receiver.spans} - {0} <= set(arrived)
    assert (len(arrived) > 0) == (slices > 0)


def changes(count: int) -> list[Change]:
    """Returns the changes of a loop with so many turns; each turn opens and closes."""
    found = [Change(opened=[open_row_of(opened(1).span, ENCODER)])]
    for number in range(2, count + 2):
        row = row_of(work(number, 1), ENCODER)
        found += [
            Change(opened=[open_row_of(opened(number, 1).span, ENCODER)]),
            Change([row], (), [(row_of(work(1), ENCODER).key, 7)], [row.key]),
        ]
    row = row_of(work(1), ENCODER)
    return [*found, Change([row], closed=[row.key])]


def moved(spill: Spill) -> list[Change]:
    found = []
    while spill:
        found.append(spill.begin_move(20))
        spill.end_move(moved=True)
    return found


def test_a_change_of_thousands_of_rows_goes_in_slices_each_row_with_its_own_closing() -> None:
    spill = Spill(ENCODER.envelope)
    rows = [row_of(work(number), ENCODER) for number in range(1, 5_001)]
    spill.add(Change(rows, closed=[b"a group's", *(row.key for row in rows)]))
    found = moved(spill)
    assert len(found) == 250
    assert all([row.key for row in each.rows] == list(each.closed)[: len(each.rows)] for each in found)
    assert [key for each in found for key in each.closed if key == b"a group's"] == [b"a group's"]


def test_rows_lost_to_the_bound_leave_their_parents_open_and_what_comes_after_follows() -> None:
    spill = Spill(ENCODER.envelope, max_bytes=3_000)
    everything = changes(40)
    gone = sum(spill.add(change) for change in everything[:-1])
    assert gone > 20
    found = moved(spill)
    first, turn = found[0].opened[0].key, row_of(work(2), ENCODER).key
    assert first == row_of(work(1), ENCODER).key
    assert turn in [o.key for each in found for o in each.opened], "it lost its row: it will leave as aborted"
    assert turn not in [key for each in found for key in each.closed]
    assert sum(len(each.rows) for each in found) == 40 - gone
    assert spill._bytes == 0


def test_what_a_slice_the_disk_refused_held_is_offered_again_in_order() -> None:
    spill = Spill(ENCODER.envelope)
    for change in changes(40):
        spill.add(change)
    first = spill.begin_move(20)
    spill.end_move(moved=False)
    assert spill.begin_move(20) == first
    spill.end_move(moved=True)
    rest = moved(spill)
    numbers = [row.key for each in (first, *rest) for row in each.rows]
    assert numbers == [row_of(work(number), ENCODER).key for number in [*range(2, 42), 1]]


# --- interrupted ---------------------------------------------------------------------------------------------------------


class Interrupt(BaseException):
    """Is what a signal's handler raises."""


def interruptible(frame: FrameType) -> bool:
    """Tells whether a line is of the way to the disk; what mends an interrupt is not interrupted once more."""
    code = frame.f_code
    if not code.co_filename.endswith(("store.py", "outbox.py", "open_rows.py", "spill.py")):
        return False
    if code is Store._write.__code__:
        lines, first = inspect.getsourcelines(code)
        mends = next(at for at, line in enumerate(lines, first) if line.strip().startswith("finally:"))
        return frame.f_lineno < mends
    return code.co_name not in {"__bool__", "_defer", "add", "_parts", "_size", "end_move", "_wrote"}


def interrupted_at(line: int, act: Callable[[], None]) -> bool:
    """Runs `act` with an interrupt at the so-many-th line of the way to the disk; False if there are fewer."""
    left = [line]

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if event == "line" and interruptible(frame):
            left[0] -= 1
            if left[0] == 0:
                sys.settrace(None)
                raise Interrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    except Interrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize("spilled", [False, True])
def test_an_interrupt_anywhere_in_a_commit_passes_and_costs_no_span(
    receiver: Receiver, tmp_path: Path, spilled: bool
) -> None:
    line = 0
    hit = True
    while hit:
        line += 1
        delivery = delivery_for(receiver.endpoint, tmp_path / str(line))
        delivery._courier.wake = lambda: None  # type: ignore[method-assign]  # as if the courier were slow
        delivery.commit([], [opened(1), opened(3, 1)])
        outbox = delivery._store.outbox
        assert outbox is not None
        if spilled:
            with outbox.lock:
                delivery.commit([work(2, 1)])
        turn = lambda: delivery.commit([work(3, 1), work(4, 3)], [opened(5, 1)], [(work(3).trace_id, 3)])  # noqa: B023, E731
        hit = interrupted_at(line, turn)
        delivery.commit([work(1)], [], [(work(1).trace_id, 1)])
        while delivery._store.move_spill():
            pass
        stats = delivery.stats()
        kept = sorted(int.from_bytes(key[16:], "big") for (key,) in outbox._connection.execute("SELECT key FROM span"))
        open_ = [int.from_bytes(key[16:], "big") for (key,) in outbox._connection.execute("SELECT key FROM open")]
        assert stats.balanced()
        assert stats.deferred == 0
        assert stats.queued == stats.accepted == len(kept) == outbox.rows
        whole = [1, *([2] if spilled else []), 3, 4]
        assert kept in (whole, [n for n in whole if n not in (3, 4)]), "a turn is taken whole, or not at all"
        assert [n for n in open_ if n not in kept] == ([5] if kept == whole else [3]), "rows tell what they close"
        assert hit or kept == whole
        assert outbox.delete([number for (number,) in outbox._connection.execute("SELECT id FROM span").fetchall()])
        open_ = [int.from_bytes(key[16:], "big") for (key,) in outbox._connection.execute("SELECT key FROM open")]
        assert open_ == ([5] if kept == whole else [3]), "and it is written before they leave"
        delivery._counts.add(acknowledged=len(kept), queued=-len(kept))
        delivery._shelves.close()
    assert line > 40, "the interrupts reached the commit"
