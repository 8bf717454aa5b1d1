"""Where a process's spans wait: its outbox, or memory where there is none; and the session roots it owes.

Rule 1: the agent waits for the lock at most 5 ms. What does not get it in time goes to the spill, and follows.
Rule 2: after a commit that took over 50 ms the disk is left to the courier for 10 s.
Rule 3: what is in the spill is written before what comes after it: what opened must not be written after it closed.
"""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
import threading
import time
from collections import OrderedDict
from pathlib import Path

import msgspec

from otel_phi.delivery import filelock, outbox_schema
from otel_phi.delivery.counts import Counts
from otel_phi.delivery.encoder import Envelope
from otel_phi.delivery.known import Known
from otel_phi.delivery.outbox import LOCK_SUFFIX, Outbox
from otel_phi.delivery.private import make_folder
from otel_phi.delivery.rows import Change, Row
from otel_phi.delivery.spill import MAX_BYTES, Spill
from otel_phi.delivery.statements import SLICE_ROWS
from otel_phi.delivery.stats import LiveStats

logger = logging.getLogger("otel_phi")

FOLDER = "outbox"
WAIT_S = 0.005
SLOW_COMMIT_S = 0.05
SLOW_FOR_S = 10.0
BUFFER_FULL = "buffer_full"
_NAMES = 5  # tried for a lock: someone may be looking at a new one at just that moment
_NOTHING = Change()
_CLAIMS = 10_000  # remembered where no table can: the recorder's bound on open loops


class Place(msgspec.Struct, frozen=True):
    """Says where spans wait, and for whom.

    Attributes:
        folder: the outbox folder.
        destination: the destination's name, from `destination_name`.
        endpoint: the destination in words, without secrets.
        envelope: resource and scope of the spans to come.
        spill_bytes: bound of the memory.
    """

    folder: Path
    destination: str
    endpoint: str
    envelope: Envelope
    spill_bytes: int = MAX_BYTES


class Store:
    """Takes rows and keeps them until they are settled. Safe for use by several threads.

    Args:
        place: where.
        counts: gets what becomes of the rows.

    Attributes:
        outbox: our file, None before it is opened and where there can be none.
        in_memory: why there is none, "" if there is one or none was tried yet.
        spill: what the outbox could not take in time.
        known: the table of all processes, None where there is no outbox.
        owes_roots: roots may wait in the table that nobody has read yet.
        roots: how many of ours wait there or are under way, as far as we know: others may purge.
    """

    def __init__(self, place: Place, counts: Counts[LiveStats]) -> None:
        self.opening = threading.Lock()
        self.outbox: Outbox | None = None
        self.in_memory = ""
        self.spill = Spill(place.envelope, place.spill_bytes)
        self.known: Known | None = None
        self.owes_roots = False
        self.roots = 0
        self.place = place
        self._counts = counts
        self._slow_until = 0.0
        self._tried = False
        self._claimed: OrderedDict[bytes, None] = OrderedDict()

    def open(self) -> None:
        """Opens the outbox, unless that was done or tried before."""
        if self._tried:
            return
        with self.opening:
            if not self._tried:
                self._open()

    def _open(self) -> None:
        try:
            make_folder(self.place.folder)
            outbox = new_outbox(self.place)
        except (OSError, sqlite3.Error) as error:
            self.in_memory = str(error)
            logger.warning("no outbox on disk, spans wait in memory and are lost with the process: %s", error)
        else:
            if self.known is None:  # it is there already where a damaged file was replaced
                self.known = Known(self.place.folder, self.place.destination)
                self.known.open()
            self.outbox = outbox
        self._tried = True

    def put(self, change: Change) -> None:
        """Takes a change; never waits longer than 5 ms for the lock."""
        if not self._tried:
            self.open()
        count, outbox = len(change.rows), self.outbox
        if outbox is None:
            self._counts.add(accepted=count, queued=count)
            self._dropped(self.spill.add(Change(change.rows)))
            return
        self._write(outbox, change)

    def _write(self, outbox: Outbox, change: Change) -> None:
        """Writes a change, with what is in the spill if that is little; what cannot be written now is deferred."""
        started, count = time.monotonic(), len(change.rows)
        counted = held = False
        first, whole = _NOTHING, change
        try:
            counted = not count or self._counts.add(accepted=count, queued=count)
            held = started >= self._slow_until and outbox.lock.acquire(timeout=WAIT_S)
            if held and self.spill:
                first = self.spill.begin_move(SLICE_ROWS)
                whole = first.then(change)
            if held and (whole is change or not self.spill.waiting):
                outbox.write_locked(whole)
        finally:  # also where the agent is interrupted, by Ctrl-C say: that passes, and costs no span
            done = held and outbox.last is whole
            if held:
                if self.spill:
                    self.spill.end_move(moved=done)
                outbox.lock.release()
                if time.monotonic() - started > SLOW_COMMIT_S:
                    self._slow_until = time.monotonic() + SLOW_FOR_S
            if done and first.rows:
                self._counts.add(deferred=-len(first.rows), queued=len(first.rows))
            if counted and not done:
                self._defer(change)

    def _defer(self, change: Change) -> None:
        count = len(change.rows)
        gone = self.spill.add(change)
        self._counts.add(queued=-count, deferred=count, deferrals=count)
        self._dropped(gone)

    def claim(self, row: Row, started_ns: int) -> bool:
        """Takes a session's root unless a process has taken it before."""
        self.open()
        started = time.monotonic()
        if self.outbox is not None and self.known is not None and started >= self._slow_until:
            won = self.known.claim(row, started_ns, self.place.envelope, self.outbox.name)
            if time.monotonic() - started > SLOW_COMMIT_S:
                self._slow_until = time.monotonic() + SLOW_FOR_S
            if won:
                self._counts.add(accepted=1, queued=1)
                self.owe(1)
            if won is not None:
                return won
        if row.key in self._claimed:
            return False
        self._claimed[row.key] = None
        if len(self._claimed) > _CLAIMS:
            self._claimed.popitem(last=False)
        self.put(Change((row,)))
        return True

    def owe(self, roots: int) -> None:
        """Takes roots into the count of those that wait, or out of it."""
        with self._counts.lock:
            self.roots += roots
        self.owes_roots = self.owes_roots or roots > 0

    def move_spill(self) -> bool:
        """Moves one slice from memory to the outbox; False if there is none to move, or the disk does not take it."""
        outbox = self.outbox
        if outbox is None or not self.spill:
            return False
        with outbox.lock:
            under_way, first = self.spill.unsaved(SLICE_ROWS), outbox.next_number
            change = Change([row for _, row in under_way]) if under_way else self.spill.begin_move(SLICE_ROWS)
            moved = outbox.write_locked(change)
            if under_way and moved:
                outbox.held.update(range(first, outbox.next_number))
                self.spill.save(under_way, outbox, first)
            self.spill.end_move(moved=moved)
        if moved:
            self._counts.add(deferred=-len(change.rows), queued=len(change.rows))
        return moved

    def renew(self) -> None:
        """Makes a new file where ours was removed. What the old one holds is sent by this process, or by nobody."""
        with self.opening:
            if self.outbox is None or self.outbox.path.exists():
                return
            logger.warning("%s was removed; spans go to a new file from now on", self.outbox.path)
            make_folder(self.place.folder)
            self.outbox = new_outbox(self.place)

    def fold(self) -> bool:
        """Writes one slice of what rows say of open ones; False if there is none."""
        return self.outbox is not None and self.outbox.fold()

    def set_aside(self, outbox: Outbox) -> None:
        """Renames a damaged outbox; where it is our own a new one takes its place, or memory."""
        with self.opening:
            own = outbox is self.outbox
            if own:
                self.outbox = None
            again = self.spill.unsave(outbox)
            self._counts.add(queued=-again, deferred=again)
            outbox.close(keep=True)
            target = outbox_schema.set_aside(outbox.path)
            logger.warning("%s is set aside as %s: %s", outbox.path, target.name, outbox.error)
            if own:
                self._open()
                if self.outbox is None:  # from now on memory is where spans wait
                    deferred = self._counts.now.deferred
                    self._counts.add(deferred=-deferred, queued=deferred)

    def _dropped(self, count: int) -> None:
        if count:
            bucket = "queued" if self.outbox is None else "deferred"
            self._counts.drop(BUFFER_FULL, count, **{bucket: -count})


def new_outbox(place: Place) -> Outbox:
    """Makes this process's file, its lock first: nobody takes a locked file for a dead process's.

    Raises:
        OSError, sqlite3.Error: it cannot be made.
    """
    for _ in range(_NAMES):
        name = f"{place.destination}-{os.getpid()}-{secrets.token_hex(4)}"
        lock = filelock.acquire(place.folder / (name + LOCK_SUFFIX))
        if lock is not None:
            break
    else:
        raise OSError(f"{place.folder}: no lock of ours stays ours")
    path = place.folder / (name + outbox_schema.SUFFIX)
    try:
        outbox = Outbox(path, lock, outbox_schema.create(path), place.envelope)
    except (OSError, sqlite3.Error):
        outbox_schema.remove(path)
        lock.release(remove=True)
        raise
    outbox.about([("endpoint", place.endpoint), ("destination", place.destination)])
    return outbox
