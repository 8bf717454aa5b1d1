"""Journals for tests: made in a folder of the test's own, adopted as another process would, and read back."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otel_phi.delivery.journal import chain, filelock
from otel_phi.delivery.journal.destination import destination
from otel_phi.delivery.journal.facts import Entry, Head, encode_event
from otel_phi.delivery.journal.journal import Journal
from otel_phi.delivery.journal.outbox import LOCK, Found, Outbox
from otel_phi.delivery.journal.segment_file import read_head
from otel_phi.wire.events import ProgressMessage

PLACE = destination("http://localhost:4318/v1/traces", "http/protobuf")
HEAD = Head(destination=PLACE, version="0", exporters=("otlp",))


def create(state: Path, *, head: Head = HEAD, **options: Any) -> Journal:
    """Makes a journal of this process."""
    return Journal.create(Outbox(state).place(head.destination), head, **options)


def abandon(journal: Journal) -> Path:
    """Leaves a journal as a killed process does: nothing is written, nothing removed; the lock is free."""
    folder = journal.folder
    assert folder is not None
    journal._chain.lock.release()
    journal._is_open = False
    return folder


def adopt(folder: Path, **options: Any) -> Journal:
    """Adopts a folder as another process would, which does not take it for its own."""
    lock = filelock.acquire(folder / LOCK)
    head = read_head(folder)[0]
    assert lock is not None
    assert head is not None
    return Journal.adopt(Found(folder, head, lock), **options)


def said(text: str) -> bytes:
    """Returns a line's JSON that says a text."""
    return encode_event(ProgressMessage(loop_id="s.m.1", text=text))


def texts(entries: list[Entry]) -> list[str]:
    """Returns what `said` lines of some entries say."""
    return [entry.fact.text for entry in entries if isinstance(entry.fact, ProgressMessage)]


def read_all(journal: Journal, state: Callable[[], bytes] = lambda: b"state", max_bytes: int = 1 << 20) -> list[Entry]:
    """Reads until there is nothing new, taking snapshots where they are asked for."""
    found: list[Entry] = []
    while True:
        some = journal.read(max_bytes)
        found += some
        if journal.wants_snapshot:
            journal.snapshot(state())
        elif not some:
            return found


def segments_of(journal: Journal) -> list[Path]:
    """Returns the files of a journal's segments, oldest first."""
    return sorted(folder_of(journal).glob("*.journal"))


class Files:
    """Files take what a journal appends, but while they refuse it. To be made before the journal is.

    Attributes:
        refuse: whether they do now.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refuse = False
        monkeypatch.setattr(chain, "write_for", lambda _: self.write)

    def write(self, descriptor: int, line: bytes, _: int) -> int:
        """Writes a line, unless it is refused; returns how much was taken, as the system does."""
        return -1 if self.refuse else os.write(descriptor, line)


def folder_of(journal: Journal) -> Path:
    """Returns the folder a journal with files lies in."""
    assert journal.folder is not None
    return journal.folder
