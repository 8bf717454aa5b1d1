"""Accounts audited: when a live delivery closes its files, what it counts as waiting is what is there.

Counters alone add up even where a span is nowhere. Here they are compared with the rows in its files, the roots it owes in the
table of all processes, and its memory: in this process, and in those forked from it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

import pytest
from otel_phi.delivery.outbox import Outbox
from otel_phi.delivery.shelves import Shelves

from otel_phi.delivery.sending.stats import LiveStats
from otel_phi.testing import Receiver


@pytest.fixture(autouse=True)
def audited(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Audits each live delivery of a test as it closes; at the end of the test there is no fault."""
    found = tmp_path_factory.mktemp("audit") / "faults"  # a file: forked processes find faults too
    close = Shelves.close

    def audited_close(self: Shelves) -> None:
        fault = audit(self)
        if fault:
            with found.open("a") as file:
                file.write(fault + "\n")
        close(self)

    monkeypatch.setattr(Shelves, "close", audited_close)
    yield
    assert (found.read_text() if found.exists() else "") == ""


def audit(shelves: Shelves) -> str:
    """Returns what is wrong with the counts of a delivery that is about to close its files, "" if they are right."""
    store, now = shelves._store, shelves._counts.now
    if shelves._again:
        return ""  # acknowledged rows that a full disk did not let go
    try:
        on_disk = sum(_rows(outbox) for _, outbox in shelves._files())
    except sqlite3.Error:
        return ""  # a damaged file, say: nobody can know
    if store.known is not None and store.outbox is not None:
        owed = store.known.waiting(store.outbox.name)
        if owed is None:
            return ""  # kept busy by the test
        on_disk += owed
    in_memory = rows_in_memory(shelves)
    wanted = (on_disk + in_memory, 0) if store.outbox is None else (on_disk, in_memory)
    if (now.queued, now.deferred) == wanted:
        return ""
    return f"queued and deferred are {wanted}, on disk {on_disk}, in memory {in_memory}; counted: {now}"


def rows_in_memory(shelves: Shelves) -> int:
    """Returns how many finished spans are in memory alone."""
    spill = shelves._store.spill
    with spill.lock:
        waiting = sum(len(step.change.rows) for step in [*spill._steps, *spill._moving])
        return waiting + len(spill._under_way) - len(spill._saved)


def _rows(outbox: Outbox) -> int:
    with outbox.lock:
        return int(outbox._connection.execute("SELECT count(*) FROM span").fetchone()[0])


def assert_arrived(receiver: Receiver, stats: Iterable[LiveStats]) -> None:
    """Asserts that a collector got at least as many spans as deliveries to it alone count as acknowledged."""
    assert len(receiver.spans) >= sum(each.acknowledged for each in stats)
