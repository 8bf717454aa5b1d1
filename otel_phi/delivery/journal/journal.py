r"""The journal of one process: its durable, append-only log of facts.

    outbox/{destination}/{pid}-{nonce}/
      lock               held by the owner while it lives (POSIX record lock)
      00000001.journal   Head, lines            sealed, wholly settled: deleted as soon as 2 has its snapshot
      00000002.journal   Head, Snapshot, lines  sealed, being read
      00000003.journal   Head, lines            current: agents' threads append here
      00000004.reserve   Head                   made ahead, so that a roll on a full disk needs no space
      dead               dead letters

        agents' threads          │ append ─▶ current segment's file, or its memory where that refuses
        ─────────────────────────┼──────────────────────────────────────────────────────────────────────
        the sender's thread      │ read: 2's file, then `snapshot`, then what 2's memory held, then 3's file
                                 │ acknowledge: a mark in 2's first 512 bytes
                                 │ roll, sync: sealed files, the next reserve, what was removed made anew

Invariants
 1. `append` returned True: the line is in the file, whatever happens to the process. False: it waits in memory, behind it
    all that came later to the same segment; it comes before the next segment's own lines, in order.
 2. A segment is sealed when nobody can write to it any more: its appender is dead. Only then is its last line final, and
    read on into the next.
 3. A segment is deleted when every exporter's mark is behind its last line, and the next one's snapshot is on the disk.
    So the first segment that is left has its snapshot, or is number 1 and needs none.
 4. Recovery: restore the first segment's snapshot, replay up to the marks and send nothing of it, then go on. The order of
    entries, and their positions, are the same as when they were read live.
 5. What a crash leaves half done is either ignored (an unfinished line, a reserve, a half-written snapshot, a torn mark: the
    other one stands) or done again (a deletion).
 6. Damage costs the damaged lines. A segment that is missing costs its lines: the next one's snapshot goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from otel_phi.delivery.journal import adoption
from otel_phi.delivery.journal.append import Closed, Forked
from otel_phi.delivery.journal.chain import MEMORY_BYTES, SEGMENT_BYTES, Chain
from otel_phi.delivery.journal.counting import CLOSED, JournalStats, Losses
from otel_phi.delivery.journal.cursor import Cursor
from otel_phi.delivery.journal.facts import (
    START,
    Entry,
    Fact,
    Head,
    LookedUp,
    Position,
    RootClaimed,
    encode_fact,
)
from otel_phi.delivery.journal.filelock import FileLock
from otel_phi.delivery.journal.outbox import Found, Place, make_process_folder
from otel_phi.delivery.journal.preamble import EXPORTERS
from otel_phi.delivery.journal.segment import Segment
from otel_phi.delivery.journal.segment_file import make_segment, segment_name

READ_BYTES = 1 << 20


class Journal:
    """A journal is a process's own journal, or the adopted one of a dead process.

    `append` is for any thread. All else is for the sender's thread alone, but `lines` and `stats`, which anybody may ask.

    Attributes:
        append: takes a line's JSON. True: it is in the file. False: it waits in memory, or was lost and counted.
            Never raises for the disk; raises `Forked` in a forked child, before it writes. To be called as
            `journal.append(body)`: a bound method that is kept keeps a segment from being sealed.
        head: what every segment begins with.
        owner: `{destination}/{pid}-{nonce}`, the name other tables know it by.
        folder: where it lies, None in memory.
        position: end of what `read` gave.
        wants_snapshot: `read` goes on only after `snapshot` was called.
        acknowledged: at opening, by exporter: replay up to it and send nothing.
        restored: at opening: the state to restore before the first `read`, None for an empty one.
        looked_up: at adoption, by the position they are about: all such facts of the journal.
        claimed: at adoption, likewise.
    """

    append: Callable[[bytes], bool]
    _chain: Chain
    _cursor: Cursor

    def __init__(self, head: Head, owner: str) -> None:
        self.head = head
        self.owner = owner
        self.position = START
        self.wants_snapshot = False
        self.acknowledged = [START] * len(head.exporters)
        self.restored: bytes | None = None
        self.looked_up: Mapping[Position, LookedUp] = {}
        self.claimed: Mapping[Position, RootClaimed] = {}
        self._settled = list(self.acknowledged)
        self._losses = Losses()
        self._closed = Closed()
        self._is_open = True
        self._last_stats: JournalStats | None = None
        self._pid = os.getpid()

    @classmethod
    def create(
        cls, place: Place, head: Head, *, segment_bytes: int = SEGMENT_BYTES, memory_bytes: int = MEMORY_BYTES
    ) -> Journal:
        """Makes a journal of this process.

        Args:
            place: from `Outbox.place`.
            head: what its segments begin with.
            segment_bytes: a segment of this size is rolled.
            memory_bytes: bound of what waits in memory because files refused it.

        Raises:
            OSError: no file can be made there.
            ValueError: there are more exporters than marks.
        """
        if len(head.exporters) > EXPORTERS:
            raise ValueError(f"{len(head.exporters)} exporters: a journal has marks for {EXPORTERS}")
        folder, lock = make_process_folder(place.folder)
        try:
            path = folder / segment_name(1)
            make_segment(path, head)
            first = Segment(path, 1)
            first.begin_now()
            first.entered = True
            journal = cls(head, _owner(folder))
            journal._start(
                Chain(
                    folder,
                    lock,
                    head,
                    [first],
                    journal._publish,
                    segment_bytes=segment_bytes,
                    memory_bytes=memory_bytes,
                )
            )
        except BaseException:
            adoption.remove_folder(folder, lock)
            raise
        return journal

    @classmethod
    def adopt(cls, found: Found, *, segment_bytes: int = SEGMENT_BYTES, memory_bytes: int = MEMORY_BYTES) -> Journal:
        """Opens a dead process's journal, which is locked by us.

        Raises:
            OSError: it cannot be opened.
        """
        segments = adoption.open_segments(found.folder)
        survey = adoption.survey(segments)
        journal = cls(found.head, _owner(found.folder))
        journal.looked_up, journal.claimed = survey.looked_up, survey.claimed
        journal.acknowledged = adoption.marks(segments, len(found.head.exporters))
        journal._settled = list(journal.acknowledged)
        journal.restored = segments[0].region.snapshot
        journal._losses.adopted = survey.events
        adoption.note_holes(segments, journal._losses)
        segments[0].entered = True
        journal._start(
            Chain(
                found.folder,
                found.lock,
                found.head,
                segments,
                journal._publish,
                segment_bytes=segment_bytes,
                memory_bytes=memory_bytes,
            )
        )
        if not adoption.cut_unfinished(segments[-1]):
            journal._chain.gone = True  # nothing is to be written behind damage, or it looks unfinished for ever
            journal._chain.roll()
        return journal

    @classmethod
    def in_memory(cls, head: Head, reason: str, *, memory_bytes: int = MEMORY_BYTES) -> Journal:
        """Makes a journal without files, for where none can be.

        Args:
            head: as of any journal.
            reason: why, for `stats`.
            memory_bytes: bound of the lines that were not read yet.
        """
        from otel_phi.delivery.journal.memory import MemoryJournal

        return MemoryJournal(head, reason, memory_bytes)

    def _start(self, chain: Chain) -> None:
        self._chain, self._cursor = chain, Cursor(chain, self._losses)
        chain.open()

    def _publish(self, append: Callable[[bytes], bool]) -> None:
        self.append = append

    @property
    def folder(self) -> Path | None:
        """Returns the folder it lies in, None in memory."""
        return self._chain.folder

    @property
    def lines(self) -> int:
        """Returns how many events were given to `append` and kept."""
        return self.stats().lines

    # --- reading -----------------------------------------------------------------------------------------------------

    def read(self, max_bytes: int = READ_BYTES) -> list[Entry]:
        """Returns the next entries in order; none where there is nothing new, or `wants_snapshot`.

        A `Snapshot` among them says that the log has a hole before it: restore it and go on.

        Args:
            max_bytes: about so many bytes of lines at once.
        """
        self._check_owner()
        if not self._is_open:
            return []
        entries = self._cursor.read(max_bytes)
        self.position, self.wants_snapshot = self._cursor.position, self._cursor.wants_snapshot
        return entries

    @property
    def lags(self) -> bool:
        """Tells whether there is something that `read` cannot give yet: a call that began before a roll, lines that a file refused."""
        segments = self._chain.segments
        return self._is_open and (
            self._cursor.at < len(segments) - 1 or self.wants_snapshot or bool(segments[-1].memory)
        )

    # --- writing -----------------------------------------------------------------------------------------------------

    def write(self, fact: Fact) -> bool:
        """Appends a fact of the sender's own; as `append`."""
        appender = self._chain.current.appender() if self._is_open else None
        return appender is not None and appender.append_fact(encode_fact(fact))

    def due(self) -> bool:
        """Tells whether the current segment is full, refuses lines, or is gone: time to `roll`."""
        return self._is_open and self._chain.due()

    def roll(self) -> bool:
        """Publishes a new segment; False where that cannot be now: try again later."""
        self._check_owner()
        return self._is_open and self._chain.roll()

    def snapshot(self, state: bytes) -> None:
        """Writes down the state at `position`, as `wants_snapshot` asks.

        Raises:
            ValueError: nobody asked for it: the state would be of another place.
        """
        self._check_owner()
        if not self.wants_snapshot:
            raise ValueError("a snapshot is of the place where `wants_snapshot` asks for it")
        self._cursor.snapshot(state)
        self.wants_snapshot = False
        self._tidy()

    def acknowledge(self, position: Position, exporter: int = 0) -> None:
        """Marks all up to a position as settled for one exporter, and deletes segments nobody needs any more.

        Args:
            position: of an entry that `read` gave; one that lies before what is acknowledged already is ignored.
            exporter: its number in `Head.exporters`.
        """
        self._check_owner()
        if not self._is_open or position <= self._settled[exporter]:
            return
        self._settled[exporter] = position
        for segment in self._chain.segments:
            if segment.number == position.segment:
                segment.owe_mark(exporter, position.offset)
        self._tidy()

    def _tidy(self) -> None:
        segments = self._chain.segments
        for segment in segments:
            if segment.unwritten and min(self._settled) >= Position(segment.number, 0):
                segment.forget_carried()
        while len(segments) > 1 and self._may_go(segments[0], segments[1]):
            self._losses.leave(segments[0])
            self._cursor.at -= 1
            self._chain.drop_first()

    def _may_go(self, first: Segment, second: Segment) -> bool:
        """Invariant 3."""
        settled = min(self._settled) >= first.last
        return first.finished and settled and second.region.snapshot is not None and first.appender() is None

    def sync(self) -> None:
        """Syncs to the disk, and mends what was removed. To be called about once a second. Never raises for the disk."""
        self._check_owner()
        if not self._is_open:
            return
        try:
            if self._chain.mend(self._remade):
                self._losses.say(f"{self._chain.folder}: something was removed there, and was made anew")
        except OSError as error:
            self._losses.say(f"{self._chain.folder} was removed and cannot be made anew: {error}")
        self._chain.write_unwritten()
        self._tidy()
        self._chain.reserve()
        self._chain.sync()

    def _remade(self) -> tuple[Path, FileLock]:
        return make_process_folder(self._chain.folder.parent)

    def close(self, *, delete: bool) -> None:
        """Closes the files and frees the lock. Repeatable; in a forked child it does nothing.

        Args:
            delete: all is settled; the folder goes, unless dead letters are in it.
        """
        if self._is_open and os.getpid() == self._pid:
            self._is_open = False
            self._chain.close(self._closed.append, delete=delete)
            self._last_stats = self._losses.stats(self._chain.segments, self._cursor.at)
            self._chain.segments.clear()  # and with them the files

    def stats(self) -> JournalStats:
        """Returns what it holds now."""
        found = self._last_stats or self._losses.stats(tuple(self._chain.segments), self._cursor.at)
        late = self._closed.lost.count
        return msgspec.structs.replace(found, lost=(*found.lost, (CLOSED, late))) if late else found

    def _check_owner(self) -> None:
        if os.getpid() != self._pid:
            raise Forked("a forked process begins a journal of its own")


def _owner(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"
