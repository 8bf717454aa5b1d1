"""The cursor: gives a chain's lines as entries, in the order that a recovery gives them too.

    segment 1: its file ─▶ sealed, read to its end ─▶ segment 2: `snapshot`, what 1's memory held, its file ─▶ ...

Rule: nothing of a segment is given before the one before it is sealed and read to its end, and the state there is known.
"""

from __future__ import annotations

from otel_phi.delivery.journal.chain import Chain
from otel_phi.delivery.journal.counting import Losses, counts_as_event
from otel_phi.delivery.journal.facts import START, Entry, Position, Purged, Snapshot, decode_fact, encode_fact
from otel_phi.delivery.journal.segment import Segment
from otel_phi.delivery.journal.segment_file import INTERNAL


class Cursor:
    """Reads a chain. For the sender's thread.

    Args:
        chain: what to read; the first segment's state is known.
        losses: gets what could not be read.

    Attributes:
        at: index of the segment being read.
        position: end of the last line that was given.
        wants_snapshot: the state at `position` is to be given before it reads on.
    """

    def __init__(self, chain: Chain, losses: Losses) -> None:
        self.at = 0
        self.position = START
        self.wants_snapshot = False
        self._chain = chain
        self._losses = losses

    def read(self, max_bytes: int) -> list[Entry]:
        """Returns the next entries, about so many bytes of them; see `Journal.read`."""
        entries: list[Entry] = []
        while not entries:
            segment = self._chain.segments[self.at]
            if not segment.entered and not self._enter(segment, entries):
                break
            if not entries and not self._read_carried(segment, entries, max_bytes):
                closed = segment is not self._chain.current and self._chain.sealed(segment)
                moved = self._read_file(segment, entries, max_bytes, closed=closed)
                if closed and not moved:
                    self._finish(segment)
                elif not moved:
                    break
        return entries

    def _enter(self, segment: Segment, entries: list[Entry]) -> bool:
        """Begins a segment, if its state is on the disk; asks for it otherwise."""
        state = segment.region.snapshot
        if state is None:
            self.wants_snapshot = True
            return False
        segment.entered = True
        if segment.after_hole:
            entries.append(Entry(Position(segment.number, -len(segment.carried)), Snapshot(state=state)))
        return True

    def snapshot(self, state: bytes) -> None:
        """Takes the state that it asked for."""
        segment = self._chain.segments[self.at]
        self._chain.state_bytes = len(state)
        segment.keep(encode_fact(Snapshot(state=state)))
        segment.entered = True
        self.wants_snapshot = False

    def _read_carried(self, segment: Segment, entries: list[Entry], max_bytes: int) -> bool:
        """Gives the next lines that were carried over; tells whether there were any."""
        first, size, total = segment.next_carried, 0, len(segment.carried)
        while segment.next_carried < total and size < max_bytes:
            body = segment.carried[segment.next_carried]
            segment.next_carried += 1
            size += len(body)
            self._give(segment, segment.next_carried - total, body, entries)
        return segment.next_carried > first

    def _read_file(self, segment: Segment, entries: list[Entry], max_bytes: int, *, closed: bool) -> bool:
        """Gives the next lines of its file; tells whether anything was understood."""
        shrunk = segment.shrunk()
        if shrunk is not None:
            self._losses.damage(segment.path.name, shrunk)
            self._chain.gone = self._chain.gone or segment is self._chain.current
        found = segment.reader.read(max_bytes, closed=closed)
        for damage in found.damages:
            if damage.kind == "cut":
                segment.cuts.append(damage)
            else:
                self._losses.damage(segment.path.name, damage)
        for _, end, body in found.lines:
            if not body.startswith(INTERNAL):
                self._give(segment, end, body, entries)
        return found.moved

    def _give(self, segment: Segment, offset: int, body: bytes, entries: list[Entry]) -> None:
        fact = decode_fact(body)
        segment.last = self.position = Position(segment.number, offset)
        self._losses.read += counts_as_event(fact)
        if not isinstance(fact, Purged):
            entries.append(Entry(segment.last, fact))

    def _finish(self, segment: Segment) -> None:
        """Leaves a segment that is read to its end."""
        segment.finished = True
        self._losses.finish(segment, self._chain.segments[self.at + 1])
        self.at += 1
