"""Where a process's spans wait: its outbox, or memory where there is none; and the session roots it owes.

Rule 1: the agent waits at most 5 ms an event. What is not in time goes to the spill, and follows; a loop of another process
        that cannot be looked up in time counts as unknown.
Rule 2: after something that took over 50 ms the disk is left to the courier for 10 s.
Rule 3: what is in the spill is written before what comes after it: what opened must not be written after it closed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from otel_phi.delivery import outbox_schema, unsaid
from otel_phi.delivery.journal import filelock
from otel_phi.delivery.journal.private import make_folder
from otel_phi.delivery.known import Known
from otel_phi.delivery.otlp.encoder import Envelope
from otel_phi.delivery.outbox import LOCK_SUFFIX, Outbox
from otel_phi.delivery.rows import Change, Row
from otel_phi.delivery.sending.counts import Counts
from otel_phi.delivery.sending.stats import LiveStats
from otel_phi.delivery.spill import MAX_BYTES, Spill
from otel_phi.delivery.statements import SLICE_ROWS

_T = TypeVar("_T")

FOLDER = "outbox"
WAIT_S = 0.005
SLOW_COMMIT_S = 0.05
SLOW_FOR_S = 10.0
BUFFER_FULL = "buffer_full"
_NAMES = 5  # tried for a lock: someone may be looking at a new one at just that moment
_NOTHING = Change()
_LOOPS = _CLAIMS = 10_000  # remembered where no table can: the recorder's bound on open loops


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
        loops: session id and start (ns) of loops this process, or the one it was forked from, remembered.
        roots: how many of ours wait there or are under way, as far as we know: others may purge.
    """

    def __init__(self, place: Place, counts: Counts[LiveStats]) -> None:
        self.opening = threading.Lock()
        self.outbox: Outbox | None = None
        self.in_memory = ""
        self.spill = Spill(place.envelope, place.spill_bytes)
        self.known: Known | None = None
        self.loops: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self.owes_roots = False
        self.roots = 0
        self.place = place
        self._counts = counts
        self._slow_until = 0.0
        self._left_s = WAIT_S
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
            unsaid.warn("no outbox on disk, spans wait in memory and are lost with the process: %s", error)
        else:
            if self.known is None:  # it is there already where a damaged file was replaced
                self.known = Known(self.place.folder, self.place.destination)
            self.outbox = outbox
        self._tried = True

    def put(self, change: Change) -> None:
        """Takes an event's change; for all that an event needs, locks and disk, nobody waits longer than 5 ms."""
        try:
            self._take(change)
        finally:
            self._left_s = WAIT_S

    def _take(self, change: Change) -> None:
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
            held = started >= self._slow_until and outbox.lock.acquire(timeout=self._left_s)
            if held and self.spill:
                first = self.spill.begin_move(SLICE_ROWS)
                whole = first.then(change)
            if held and outbox is self.outbox and (whole is change or not self.spill.waiting):
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
        known, outbox = self.known, self.outbox
        if known is not None and outbox is not None:
            envelope = self.place.envelope
            won = self._in_time(lambda left_s: known.claim(row, started_ns, envelope, outbox.name, wait_s=left_s))
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
        self._take(Change((msgspec.structs.replace(row, unclaimed=known is not None and outbox is not None),)))
        return True

    def loop(self, loop_id: str) -> tuple[str, int] | None:
        """Returns session id and start (ns) of a loop, None where it is unknown or cannot be looked up in time."""
        known = self.known
        if loop_id in self.loops or known is None:
            return self.loops.get(loop_id)
        return self._in_time(lambda left_s: known.loop(loop_id, wait_s=left_s))

    def remember(self, loop_id: str, session_id: str, started_ns: int) -> None:
        """Remembers a loop, for others once the courier has written it; of several that share an id, the latest."""
        self.loops[loop_id] = (session_id, started_ns)
        self.loops.move_to_end(loop_id)
        if len(self.loops) > _LOOPS:
            with contextlib.suppress(KeyError):
                self.loops.popitem(last=False)
        if self.known is not None:
            self.known.remember(loop_id, session_id, started_ns)

    def _in_time(self, ask: Callable[[float], _T | None]) -> _T | None:
        """Asks with what is left of the event's 5 ms; not at all while the disk is slow."""
        started = time.monotonic()
        if started < self._slow_until:
            return None
        try:
            return ask(self._left_s)
        finally:
            took = time.monotonic() - started
            self._left_s = max(self._left_s - took, 0.0)
            if took > SLOW_COMMIT_S:
                self._slow_until = started + took + SLOW_FOR_S

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
        """Makes a new file where ours was removed, with what is open. What waits in the old one only this process can send."""
        with self.opening:
            if (old := self.outbox) is None or old.path.exists():
                return
            unsaid.warn("%s was removed; spans go to a new file from now on", old.path)
            make_folder(self.place.folder)
            new = new_outbox(self.place)
            with old.lock:  # who waits for it finds another outbox, and defers
                new.write_locked(Change(opened=old.open_rows.rows()))
                self.outbox = new

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
            unsaid.warn("%s is set aside as %s: %s", outbox.path, target.name, outbox.error)
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
