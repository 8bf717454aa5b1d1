"""Rolls beside threads that append: nothing is lost, late, twice, out of order, or in a stranger's file."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otel_phi.delivery.journal import chain
from otel_phi.delivery.journal.facts import Entry
from otel_phi.delivery.journal.journal import Journal
from tests.delivery.journal.journals import abandon, adopt, create, read_all, said, segments_of, texts

THREADS, ROLLS = 4, 15


@contextmanager
def busy() -> Iterator[None]:
    """Has a thread compute, and threads change places every 10 us."""
    until = threading.Event()

    def compute() -> None:
        number = 1
        while not until.is_set():
            number = number * 1103515245 % (1 << 31)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=compute)
    thread.start()
    try:
        yield
    finally:
        until.set()
        thread.join()
        sys.setswitchinterval(before)


@contextmanager
def agents(journal: Journal, kept: list[list[str]]) -> Iterator[None]:
    """Has threads append until the block is left."""
    enough = threading.Event()

    def work(which: int) -> None:
        while not enough.is_set():
            text = f"{which} {len(kept[which])}"
            journal.append(said(text))
            kept[which].append(text)
            if len(kept[which]) % 10 == 0:
                time.sleep(0.0005)  # ten at a time, as an agent's turn; the sender is to keep up

    threads = [threading.Thread(target=work, args=(which,)) for which in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        enough.set()
        for thread in threads:
            thread.join()


def step(journal: Journal) -> list[Entry]:
    """Reads once, as a sender does beside its other work."""
    found = journal.read(20_000)
    if journal.wants_snapshot:
        journal.snapshot(b"state")
    return found


def in_order(entries: list[Entry], kept: list[list[str]]) -> None:
    by_thread = defaultdict(list)
    for text in texts(entries):
        by_thread[int(text.split()[0])].append(text)
    assert [by_thread[which] for which in range(THREADS)] == kept


@pytest.mark.parametrize("acknowledging", [False, True])
def test_rolls_beside_busy_threads_lose_nothing(tmp_path: Path, acknowledging: bool) -> None:
    journal = create(tmp_path)
    kept: list[list[str]] = [[] for _ in range(THREADS)]
    found: list[Entry] = []
    strangers: list[int] = []
    rolls = 0
    with busy(), agents(journal, kept):
        while rolls < ROLLS:
            rolls += journal.roll()
            found += step(journal)
            number = os.open(tmp_path / f"stranger {rolls}", os.O_RDWR | os.O_CREAT)  # takes the number just freed
            found += step(journal)
            if acknowledging and found:
                journal.acknowledge(found[-1].position)
            strangers.append(os.fstat(number).st_size)
            os.close(number)
    found += read_all(journal)
    in_order(found, kept)
    total = sum(map(len, kept))
    assert set(strangers) == {0}
    assert [entry.position for entry in found] == sorted({entry.position for entry in found})
    stats = journal.stats()
    assert (stats.lines, stats.read, stats.damaged_lines, stats.lost) == (total, total, 0, ())
    if acknowledging:
        journal.acknowledge(found[-1].position)
        assert len(segments_of(journal)) == 1
    else:
        assert len(segments_of(journal)) == ROLLS + 1
        adopted = adopt(abandon(journal))
        assert read_all(adopted) == found
        adopted.close(delete=True)
        return
    journal.close(delete=True)


def test_rolls_of_files_that_refuse_now_and_then_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[list[str]] = [[] for _ in range(THREADS)]
    calls = iter(range(1 << 40))

    def write(descriptor: int, line: bytes, length: int) -> int:
        match next(calls) % 500:
            case 7:
                return -1
            case 300:
                return os.write(descriptor, line[: length // 2])
            case _:
                return os.write(descriptor, line)

    monkeypatch.setattr(chain, "write_for", lambda _: write)
    journal = create(tmp_path)
    found: list[Entry] = []
    rolls = 0
    with busy(), agents(journal, kept):
        while rolls < ROLLS:
            if journal.due():
                rolls += journal.roll()
            found += step(journal)
    while journal.due():
        journal.roll()
        found += read_all(journal)
    found += read_all(journal)
    in_order(found, kept)
    assert journal.stats().lost == ()
    assert journal.stats().damaged_lines == 0, "what a short write left is no loss: the line was carried"
    adopted = adopt(abandon(journal))
    assert read_all(adopted) == found
    assert adopted.stats().damaged_lines == 0
    adopted.close(delete=True)


def test_a_segment_is_read_on_until_nobody_holds_it(tmp_path: Path) -> None:
    journal = create(tmp_path)
    journal.append(said("one"))
    slow = journal.append  # a call that began before the roll, and is slow
    assert journal.roll()
    journal.append(said("three"))
    assert texts(read_all(journal)) == ["one"]
    assert not journal.roll(), "one at a time"
    slow(said("two"))
    assert texts(read_all(journal)) == ["two"]
    del slow
    assert texts(read_all(journal)) == ["three"]
    journal.close(delete=True)


def test_one_that_is_held_for_ever_is_given_up_and_what_it_still_writes_is_late_and_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "_PINNED_S", 0.0)
    journal = create(tmp_path)
    journal.append(said("one"))
    held = journal.append
    journal.roll()
    journal.append(said("two"))
    entries = read_all(journal)
    assert texts(entries) == ["one", "two"]
    held(said("late"))
    journal.acknowledge(entries[-1].position)
    assert len(segments_of(journal)) == 2, "it may still be written to"
    del held
    journal.sync()
    assert len(segments_of(journal)) == 1
    assert texts(read_all(journal)) == ["late"]
    assert journal.stats().lines == journal.stats().read, "each counted once"
    journal.close(delete=True)


def test_many_segments_wait_for_a_reader_that_is_far_behind(tmp_path: Path) -> None:
    journal = create(tmp_path, segment_bytes=2000)
    for number in range(500):
        journal.append(said(str(number)))
        if journal.due():
            assert journal.roll()
    assert len(segments_of(journal)) > 10
    found = read_all(journal)
    assert texts(found) == list(map(str, range(500)))
    journal.acknowledge(found[-1].position)
    assert len(segments_of(journal)) == 1
    journal.close(delete=True)
