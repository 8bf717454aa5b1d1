"""The watcher: rounds of looking, indexing, recording and sending, with a cursor behind what is settled.

Rule 1: a round looks at all changed files first, then indexes them as far as they are by now, then records them as far as
        they were: whatever an event refers to was on disk before it, so it is in the index.
Rule 2: cursors are written after what they pass is settled, never before.
Rule 3: a file that cannot be read costs itself alone, and is tried again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from otel_phi.delivery.batch import span_key
from otel_phi.delivery.cursor_rows import FileCursor, LoopRow, LostLoop
from otel_phi.delivery.cursors import Cursors
from otel_phi.mapping.opened import opened_span
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.recorder.notices import LoopOpened
from otel_phi.sources.lines import Block
from otel_phi.sources.reader import BadLine, EventReader
from otel_phi.sources.tail import Look, added_lines, is_zipped, look_at
from otel_phi.watch.books import Books
from otel_phi.watch.files import Files
from otel_phi.watch.folder import Folder
from otel_phi.watch.index import Index
from otel_phi.watch.log import Log, Outgoing, Part, Token, marked_lines
from otel_phi.watch.outflow import Outflow
from otel_phi.watch.saved import read_saved
from otel_phi.wire.events import AgentStart

ABANDON_AFTER_S = 86_400.0  # an agent that waits for a person overnight goes on; one silent for a day was killed
# A saved session is coarser than its event log: where both appear at once, the log is to be seen first.
SESSION_REST_S = 2.0
SENT_BEFORE, SAMPLED_OUT = "sent_before", "sampled_out"


class Watcher:
    """Follows files and sends what they complete. For one thread.

    Args:
        folder: what is watched.
        cursors: how far it was read before.
        outflow: where spans go.
        options: how notices become spans.
        sample: share of sessions to keep.
        abandon_after_s: a file that has not changed for so long has no loops at work.
        on_bad_line: called with each line that is no event.
        on_span: called with each span that leaves.
    """

    def __init__(
        self,
        folder: Folder,
        cursors: Cursors,
        outflow: Outflow,
        options: MappingOptions,
        *,
        sample: float = 1.0,
        abandon_after_s: float = ABANDON_AFTER_S,
        on_bad_line: Callable[[BadLine], None] | None = None,
        on_span: Callable[[Span], None] | None = None,
    ) -> None:
        self._folder, self._cursors, self._outflow, self._options = folder, cursors, outflow, options
        self._sample, self._abandon_after_s = sample, abandon_after_s
        self._on_bad_line, self._on_span = on_bad_line, on_span
        self._files = Files(folder, cursors)
        self._index = Index(cursors)
        self._books = Books(cursors, outflow)
        self._active: dict[int, tuple[Log, Part]] = {}
        self._resting: set[Path] = set()
        self._vanished: list[tuple[FileCursor, Log]] = []
        self._begun = False

    @property
    def open_loops(self) -> int:
        """How many loops are open."""
        return sum(log.core.open_loops for log in {id(log): log for log, _ in self._active.values()}.values())

    @property
    def files(self) -> int:
        """How many files are followed."""
        return len(self._files)

    @property
    def resting(self) -> bool:
        """Whether a saved session waits for its event log to be seen."""
        return bool(self._resting)

    # --- rounds ------------------------------------------------------------------------------------------------------

    def round(self, changed: Iterable[Path] | None = None, *, last: bool = False) -> None:
        """Takes in what has changed, and sends it.

        Args:
            changed: paths that have; None to look at all.
            last: whether no other round will come: nothing rests.

        Raises:
            Stopped: it was told to stop while the destination took nothing.
            DeliveryError: the destination was given up.
        """
        whole = changed is None or not self._begun
        if whole:
            looks = list(self._folder.all())
            self._close_missing(self._files.missing(looks))
        else:
            looks = list(self._folder.changed([*(changed or ()), *self._resting]))
        found = [(cursor, look) for path, look in looks if (cursor := self._files.cursor(path, look)) is not None]
        self._close_missing(self._taken_replaced())
        found = sorted((each for each in found if self._unread(*each)), key=lambda each: each[0].id)
        grown = [(*self._part(cursor), look) for cursor, look in found if cursor.kind == "events"]
        self._index.see_all([row for _, part, _ in grown for row in self._scan(part)])
        for log, part, look in grown:
            self._read(log, part, look)
        for cursor, look in found:
            if cursor.kind == "session":
                self._read_session(cursor, look, last=last)
        if whole:
            self._after_all()
        self._outflow.push()
        self.breathe(force=True)
        self._forget_idle()

    def _unread(self, cursor: FileCursor, look: Look) -> bool:
        changed = (cursor.size, cursor.mtime_ns) != (look.size, look.mtime_ns)
        return changed or (cursor.offset < cursor.read_bytes and cursor.id not in self._active)

    def _taken_replaced(self) -> list[FileCursor]:
        found, self._files.replaced = self._files.replaced, []
        return found

    def _close_missing(self, missing: Iterable[FileCursor]) -> None:
        """Closes what was open in files that are no more, unless it goes on in others."""
        for cursor in missing:
            if cursor.id not in self._active:
                self._cursors.gone(cursor.id)
                continue
            log, _ = self._active[cursor.id]
            self._vanished.append((cursor, log))
            if not any(self._files.living(part.cursor) for part in log.parts) and not self._goes_on(cursor):
                self._put_all(log, log.abort())

    def _goes_on(self, cursor: FileCursor) -> bool:
        """Says whether another content took this one's place; what was open may go on there."""
        return any(other.follows == cursor.id for other in self._files.all())

    def _after_all(self) -> None:
        """Closes what cannot go on: loops that were abandoned, and those an earlier process knew open."""
        self._begun = True
        oldest_ns = time.time_ns() - int(self._abandon_after_s * 1e9)
        for log in {id(log): log for log, _ in self._active.values()}.values():
            if log.core.open_loops and all(part.cursor.mtime_ns < oldest_ns for part in log.parts):
                self._put_all(log, log.abort())
                self._books.moved |= {part.cursor.id for part in log.parts}
        for lost in self._cursors.lost():
            self._tell_lost(lost)

    def breathe(self, *, force: bool = False) -> None:
        """Takes in what was settled and writes the cursors, if it is time."""
        if self._books.write({number: log for number, (log, _) in self._active.items()}, force=force):
            self._forget_vanished()

    # --- files -------------------------------------------------------------------------------------------------------

    def _part(self, cursor: FileCursor) -> tuple[Log, Part]:
        if cursor.id not in self._active:
            before = self._active.get(cursor.follows)
            log = before[0] if before is not None else Log(self._index, self._options, self._sample)
            reader = EventReader(cursor.path, for_spans=True, on_bad_line=self._on_bad_line)
            part = Part(cursor, reader)
            part.replaced = before is not None and before[1].cursor.identity == cursor.identity
            log.parts.append(part)
            self._active[cursor.id] = (log, part)
        return self._active[cursor.id]

    def _scan(self, part: Part) -> Iterator[tuple[str, str, LoopRow]]:
        """Yields a file's AgentStarts for the index, as far as it is by now."""
        path, cursor = Path(part.cursor.path), part.cursor
        look = look_at(path)
        if look is None or look.identity != cursor.identity:
            return
        reader = EventReader(cursor.path, for_spans=True)
        try:
            for added in added_lines(path, look, part.scanned, part.scanned_line):
                lines = marked_lines(added.block.lines)
                for event in reader.read([Block(added.block.number, added.block.offset, lines)]) if lines else ():
                    if isinstance(event, AgentStart):
                        yield self._index.row_of(event, cursor.id)
                part.scanned, part.scanned_line = added.offset, added.line
        except OSError:
            return  # it vanished meanwhile: the next round tells

    def _read(self, log: Log, part: Part, look: Look) -> None:
        """Records a file's new lines."""
        path, cursor = Path(part.cursor.path), part.cursor
        self._books.moved.add(cursor.id)
        try:
            if is_zipped(path):
                part.offset, part.line = 0, 1
            for added in added_lines(path, look, part.offset, part.line):
                self._put_all(log, log.take(part, added))
                part.offset, part.line = added.offset, added.line
                self.breathe()
        except OSError:
            return  # as above
        cursor.size, cursor.mtime_ns = look.size, look.mtime_ns

    def _read_session(self, cursor: FileCursor, look: Look, *, last: bool) -> None:
        path, age_s = Path(cursor.path), time.time() - look.mtime_ns / 1e9
        if cursor.id in self._active or (0 <= age_s < SESSION_REST_S and not last):
            self._resting.add(path)
            return
        self._resting.discard(path)
        log = Log(self._index, self._options, self._sample)
        part = Part(cursor, EventReader(cursor.path))
        self._active[cursor.id] = (log, part)
        self._books.moved.add(cursor.id)
        whole = age_s > self._abandon_after_s
        self._put_all(log, read_saved(path, log, part, self._cursors, self._index, self._on_bad_line, whole=whole))
        part.offset = look.size
        cursor.size, cursor.mtime_ns = look.size, look.mtime_ns

    # --- spans -------------------------------------------------------------------------------------------------------

    def _put_all(self, log: Log, found: Iterator[Outgoing]) -> None:
        for out in found:
            self._put(out)
        if log.sampled_out:
            self._outflow.leave_out(SAMPLED_OUT, log.sampled_out)
            log.sampled_out = 0

    def _put(self, out: Outgoing) -> None:
        token = out.token
        if out.root_of:
            if not self._books.claims_root(out.root_of):
                return
        elif token.sent:
            return
        elif token.check and self._cursors.was_sent(span_key(out.span)):
            self._outflow.leave_out(SENT_BEFORE)
            return
        if self._on_span is not None:
            self._on_span(out.span)
        self._outflow.put(out)

    def _tell_lost(self, lost: LostLoop) -> None:
        """Sends a loop as lost whose file vanished while nobody looked: its turns must not stay without a parent."""
        opened = msgspec.json.decode(lost.opened, type=LoopOpened)
        span = opened_span(opened, self._options)
        span = msgspec.structs.replace(span, end_ns=max(span.end_ns, lost.latest_ns))
        token = Token(FileCursor(0, "events", "", b"", 0, ""), 0, 0, opened.loop.identity)
        token.open = False
        self._put(Outgoing(span, token))

    # --- letting go --------------------------------------------------------------------------------------------------

    def _forget_vanished(self) -> None:
        """Lets go of files that are no more, once nothing of them is under way."""
        over = [(cursor, log) for cursor, log in self._vanished if log.idle]
        for cursor, log in over:
            self._cursors.gone(cursor.id)
            self._active.pop(cursor.id, None)
            log.parts = [part for part in log.parts if part.cursor is not cursor]
        if over:
            self._vanished = [each for each in self._vanished if not each[1].idle]

    def _forget_idle(self) -> None:
        """Keeps nothing in memory of logs that are read to their end, with nothing open or under way."""
        for number, (log, _) in list(self._active.items()):
            if log.idle:
                del self._active[number]
