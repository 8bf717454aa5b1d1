"""The watcher: rounds of looking, indexing, recording and sending, with a cursor behind what is settled.

Rule 1: a round looks at all changed files first, then indexes them as far as they are by now, then records them as far as
        they were: whatever an event refers to was on disk before it, so it is in the index.
        A look at everything does so step by step; the first two parts of the first look are one: the index has all, or nothing is recorded.
Rule 2: cursors are written after what they pass is settled, never before.
Rule 3: a file that cannot be read costs itself alone, and is tried again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import islice
from pathlib import Path

import msgspec

from otel_phi.clock import monotonic
from otel_phi.delivery.sending.batch import span_key
from otel_phi.mapping.opened import opened_span
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.policy.door import Policy, sees_content
from otel_phi.recorder.notices import LoopOpened
from otel_phi.sources.pieces import Unreadable
from otel_phi.sources.reader import BadLine, EventReader
from otel_phi.sources.session_content import Changed
from otel_phi.sources.tail import Look, added_lines, is_zipped, look_at
from otel_phi.watch.books import Books
from otel_phi.watch.cursor_rows import FileCursor, LostLoop
from otel_phi.watch.cursors import Cursors
from otel_phi.watch.files import Files
from otel_phi.watch.folder import Folder
from otel_phi.watch.index import Index
from otel_phi.watch.log import Log, Part
from otel_phi.watch.logs import Logs, in_order
from otel_phi.watch.outflow import Outflow
from otel_phi.watch.outgoing import Outgoing, Token
from otel_phi.watch.saved import read_saved
from otel_phi.watch.scan import best_first, scan
from otel_phi.wire.costs import Price

ABANDON_AFTER_S = 86_400.0  # an agent that waits for a person overnight goes on; one silent for a day was killed
# A saved session is coarser than its event log: where both appear at once, the log is to be seen first.
SESSION_REST_S = 2.0
# A tenth of a batch, and more logs than are open at a time: what a look at either costs is lost among them.
_BREATHE_SPANS, _MANY_LOGS = 512, 256
Found = dict[int, tuple[FileCursor, Look]]  # by the file's number
SENT_BEFORE, SAMPLED_OUT = "sent_before", "sampled_out"


class Watcher:
    """Follows files and sends what they complete. For one thread.

    Args:
        folder: what is watched.
        cursors: how far it was read before.
        outflow: where spans go.
        options: how notices become spans.
        sample: share of sessions to keep.
        policy: what may be said; None for nothing that a person or a model wrote.
        abandon_after_s: a file that has not changed for so long has no loops at work.
        on_bad_line: called with each line that is no event.
        on_span: called with each span that leaves.

    Attributes:
        begun: whether all that was there is in the index: before that, any round looks at everything.
        price: says what model calls cost, None for nobody; to be given before the first round.
    """

    def __init__(  # noqa: PLR0913  # options, each with a default
        self,
        folder: Folder,
        cursors: Cursors,
        outflow: Outflow,
        options: MappingOptions,
        *,
        sample: float = 1.0,
        policy: Policy | None = None,
        abandon_after_s: float = ABANDON_AFTER_S,
        on_bad_line: Callable[[BadLine], None] | None = None,
        on_span: Callable[[Span], None] | None = None,
    ) -> None:
        self._folder, self._cursors, self._outflow, self._options = folder, cursors, outflow, options
        self._sample, self._abandon_after_s, self._policy = sample, abandon_after_s, policy
        self.price: Price | None = None
        self._on_bad_line, self._on_span = on_bad_line, on_span
        folder.on_unreadable = on_bad_line
        self._files = Files(folder, cursors)
        self._index = Index(cursors)
        self._books = Books(cursors, outflow)
        self._logs = Logs(self._files, cursors, self._log, self._reader)
        self._resting: dict[Path, float] = {}  # since when, on the monotonic clock
        self.begun = False
        self._there: set[str] = set()  # identities that were seen since the look under way began
        self._looked: Found = {}  # what that look has found changed
        self._under_way: Found = {}  # what is being read, or is about to be

    def _log(self) -> Log:
        return Log(self._index, self._options, self._sample, self._policy, self.price)

    def _reader(self, source: str) -> EventReader:
        return EventReader(source, for_spans=True, on_bad_line=self._on_bad_line, content=sees_content(self._policy))

    @property
    def open_loops(self) -> int:
        """How many loops are open."""
        return sum(log.core.open_loops for log in self._logs)

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
            Stopped: it was asked to stop while the destination took nothing.
            DeliveryError: the destination was given up.
        """
        if changed is None or not self.begun:
            for _ in self.look(last=last):
                pass
            return
        found: Found = {}
        for path, look in self._folder.changed([*changed, *self._resting]):
            self._there.add(look.identity)
            if (cursor := self._changed(path, look)) is not None:
                self._looked.pop(cursor.id, None)  # the look under way has seen less of it
                found[cursor.id] = (cursor, look)
        self._close(None)
        for _ in self._take_in(found, last=last):
            pass
        self._end_round()

    def look(self, *, last: bool = False) -> Iterator[bool]:
        """Looks at all files and takes in what has changed, step by step: a file that is looked at, a piece of one that is read.

        Args:
            last: as for `round`.

        Yields:
            Whether a round of what changed meanwhile may come before the next step.

        Raises:
            Stopped: as for `round`.
            DeliveryError: as for `round`.
        """
        self._there, self._looked = set(), {}
        for path, look in self._folder.all():
            self._there.add(look.identity)
            if (cursor := self._changed(path, look)) is not None:
                self._looked[cursor.id] = (cursor, look)
            yield self.begun
        self._close(self._there)
        found, self._looked = self._looked, {}
        yield from self._take_in(found, last=last)
        self._after_all()
        self._end_round()

    def _take_in(self, found: Found, *, last: bool) -> Iterator[bool]:
        """Reads files that have changed: logs first, then saved sessions."""
        yield from self._read_logs(found)
        self._resting = {path: since for path, since in self._resting.items() if look_at(path) is not None}
        for cursor, look in found.values():
            if cursor.kind == "session":
                yield from self._read_session(cursor, look, last=last)
                if len(self._logs.active) > _MANY_LOGS:
                    self._logs.forget(self._under_way)

    def _end_round(self) -> None:
        self._outflow.push()
        self.breathe(force=True)
        self._logs.forget(self._under_way)

    def _changed(self, path: Path, look: Look) -> FileCursor | None:
        """Returns the cursor of a file that is to be read."""
        self._outflow.look_up()
        cursor = self._files.cursor(path, look)
        return cursor if cursor is not None and self._unread(cursor, look) else None

    def _unread(self, cursor: FileCursor, look: Look) -> bool:
        changed = (cursor.size, cursor.mtime_ns) != (look.size, look.mtime_ns)
        return changed or (cursor.offset < cursor.read_bytes and cursor.id not in self._logs.active)

    def _close(self, there: AbstractSet[str] | None) -> None:
        """Closes what was open in files that are no more, unless it goes on in others; `there` are all that are, None if that is not known."""
        gone, self._files.replaced = self._files.replaced, []
        if there is not None:
            gone += self._files.missing(there, self._folder.unseen)
        rewound, self._files.rewound = self._files.rewound, []
        for cursor in rewound:
            if (rest := self._logs.rewound(cursor)) is not None:
                self._put_all(*rest)
        for log in self._logs.missing(gone):
            self._put_all(log, log.abort())

    def _after_all(self) -> None:
        """Closes what cannot go on: loops that were abandoned, and those an earlier process knew open."""
        oldest_ns = time.time_ns() - int(self._abandon_after_s * 1e9)
        for log in self._logs:
            if not log.idle and all(part.cursor.mtime_ns < oldest_ns for part in log.parts):
                self._put_all(log, log.abort())
                self._books.moved |= {part.cursor.id for part in log.parts}
        for lost in self._cursors.lost():
            self._tell_lost(lost)
        self._cursors.sweep()

    def breathe(self, *, force: bool = False) -> None:
        """Takes in what was settled and writes the cursors, if it is time."""
        self._books.write(self._logs.active, force=force)

    # --- files -------------------------------------------------------------------------------------------------------

    def _read_logs(self, found: Found) -> Iterator[bool]:
        logs = in_order(cursor for cursor, _ in found.values() if cursor.kind == "events")
        parts = [self._part(cursor)[1] for cursor in logs]
        scans = []
        for part in parts:
            scans.append(scan(part, self._index, self._outflow.look_up))
            yield False  # the index would know some of them and not others
        self._index.see_all(best_first(scans), [each for one in scans for each in one.compacted])
        self.begun = True
        logs = self._logs.join(logs)
        self._under_way |= {cursor.id: found[cursor.id] for cursor in logs}
        for cursor in logs:
            if cursor.id in self._under_way:
                yield from self._record(*self._under_way[cursor.id])

    def _record(self, cursor: FileCursor, look: Look) -> Iterator[bool]:
        """Records a file, after those that its log was in before."""
        log, part = self._logs.active.get(cursor.id, (None, None))
        if log is not None and part is not None:
            for earlier in log.parts[: log.parts.index(part)]:
                if earlier.cursor.id in self._under_way:
                    yield from self._record(*self._under_way[earlier.cursor.id])
            yield from self._read(log, part, look)
        self._under_way.pop(cursor.id, None)

    def _part(self, cursor: FileCursor) -> tuple[Log, Part]:
        with contextlib.suppress(OSError):
            if is_zipped(Path(cursor.path)):
                return self._logs.anew(cursor)
        return self._logs.part(cursor)

    def _read(self, log: Log, part: Part, look: Look) -> Iterator[bool]:
        """Records a file's new lines; ends where another round has read on meanwhile."""
        path, cursor = Path(part.cursor.path), part.cursor
        self._books.moved.add(cursor.id)
        try:
            for added in added_lines(path, look, part.offset, part.line):
                self._put_all(log, log.take(part, added))
                part.offset, part.line = added.offset, added.line
                self.breathe()
                self._outflow.look_up()
                yield True
                if part.offset != added.offset or self._logs.active.get(cursor.id, (None, None))[1] is not part:
                    return
        except OSError as error:
            self._folder.cannot_read(path, error)
            return
        cursor.size, cursor.mtime_ns = look.size, look.mtime_ns
        yield True

    def _read_session(self, cursor: FileCursor, look: Look, *, last: bool) -> Iterator[bool]:
        path, age_s = Path(cursor.path), time.time() - look.mtime_ns / 1e9
        rested_s = monotonic() - self._resting.setdefault(path, monotonic())
        at_rest = last or rested_s >= SESSION_REST_S or not 0 <= age_s < SESSION_REST_S
        if cursor.id in self._logs.active or not at_rest:
            return
        del self._resting[path]
        log = self._log()
        part = Part(cursor, EventReader(cursor.path))
        self._logs.active[cursor.id] = (log, part)
        self._under_way[cursor.id] = (cursor, look)
        self._books.moved.add(cursor.id)
        whole = age_s > self._abandon_after_s
        found = read_saved(path, log, part, self._cursors, self._index, self._on_bad_line, whole=whole)
        try:
            yield from self._breathing(log, found)
        except (Changed, Unreadable):
            del self._logs.active[cursor.id]  # its next look is of the new content; what left of it is not sent again
            return
        except OSError as error:
            del self._logs.active[cursor.id]
            self._folder.cannot_read(path, error)
            return
        finally:
            self._under_way.pop(cursor.id, None)
        part.offset = look.size
        cursor.size, cursor.mtime_ns = look.size, look.mtime_ns
        yield True

    def _breathing(self, log: Log, found: Iterator[Outgoing]) -> Iterator[bool]:
        """Sends spans, taking in now and then what was settled: else every batch of a round would be held to its end."""
        while some := list(islice(found, _BREATHE_SPANS)):
            self._put_all(log, some)
            self.breathe()
            self._outflow.look_up()
            yield True

    # --- spans -------------------------------------------------------------------------------------------------------

    def _put_all(self, log: Log, found: Iterable[Outgoing]) -> None:
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
