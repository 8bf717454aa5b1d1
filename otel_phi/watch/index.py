"""The index: every loop and session that the watched files hold, as a source that read ahead knows them.

Rule 1: a file's AgentStarts enter the index before any of its events is recorded, and those of every other file that were on
        disk by then: what a reference means does not depend on the order in which files are seen.
Rule 2: a loop is read from the file that showed it first; from another only if that one vanished before the loop left.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from otel_phi.recorder.identities import LoopIdentity
from otel_phi.recorder.references import Ahead, contexts_of, session_key
from otel_phi.watch.cursor_rows import Compacted, LoopRow
from otel_phi.watch.cursors import Cursors
from otel_phi.wire.callers import traceparent_of
from otel_phi.wire.events import AgentStart, CompactionEnded
from otel_phi.wire.times import Instant

# Of the loops seen last, so that a compaction finds its own; a loop lasts hours, and few are at work at once.
_MAX_CONTEXTS = 4_096
Row = tuple[str, str, LoopRow]  # key of the session, agent, loop


class Index:
    """Finds loops and sessions by their ids.

    Args:
        cursors: where they are kept.

    Attributes:
        ahead: the same as the recorder core asks for it.
    """

    def __init__(self, cursors: Cursors) -> None:
        self._cursors = cursors
        self._contexts: OrderedDict[str, tuple[LoopIdentity, LoopIdentity]] = OrderedDict()
        self.ahead = Ahead(_Starts(cursors), _Sessions(cursors))

    def row_of(self, start: AgentStart, file: int) -> Row:
        """Returns what the index keeps of an AgentStart: the session's key, its agent, and the loop."""
        caller = traceparent_of(start)
        identity = LoopIdentity(start.session_id, start.loop_id, int(start.timestamp))
        self._contexts[start.loop_id] = contexts_of(identity, start.agent_id)
        self._contexts.move_to_end(start.loop_id)
        if len(self._contexts) > _MAX_CONTEXTS:
            self._contexts.popitem(last=False)
        row = LoopRow(start.session_id, start.loop_id, int(start.timestamp), caller, file, done=False, gone=False)
        return session_key(start.session_id), start.agent_id, row

    def see_all(self, rows: Iterable[Row], compacted: Iterable[Compacted] = ()) -> None:
        """Takes AgentStarts found in files, and contexts that were compacted, in one transaction."""
        with self._cursors.transaction():
            for key, agent_id, loop in rows:
                self._cursors.see_session(key, loop.session_id, agent_id, loop.started_ns)
                self._cursors.see_loop(key, loop)
            self._cursors.see_compacted(compacted)

    def compactions(self, event: CompactionEnded, file: int, offset: int) -> list[Compacted]:
        """Returns what was compacted by an event at an offset of a file: the context of its loop, and its agent's; nothing of one never seen."""
        contexts = self._contexts.get(event.loop_id)
        if contexts is None:
            return []
        at_ns = contexts[0].started_ns if event.timestamp is None else int(event.timestamp)
        return [Compacted(context, file, offset, at_ns) for context in contexts]

    def compacted_before(self, start: AgentStart, file: int, offset: int) -> Iterator[LoopIdentity]:
        """Yields the contexts of a loop's session that were compacted when it began: before it in its file, or by then in others."""
        for each in self._cursors.compacted(session_key(start.session_id)):
            if each.offset < offset if each.file == file else each.at_ns <= start.timestamp:
                yield each.context

    def find(self, start: AgentStart) -> LoopRow | None:
        """Returns the loop that an AgentStart begins."""
        return self._cursors.loop(session_key(start.session_id), start.loop_id, int(start.timestamp))

    def take_over(self, start: AgentStart, file: int) -> None:
        """Notes that a loop is read from another file from now on."""
        self._cursors.take_over(session_key(start.session_id), start.loop_id, int(start.timestamp), file)


class _Starts(Mapping[str, Sequence[LoopIdentity]]):
    """The mapping is `Ahead.starts`; it stays on disk, so that a year of logs costs no memory."""

    def __init__(self, cursors: Cursors) -> None:
        self._cursors = cursors

    def __getitem__(self, loop_id: str) -> Sequence[LoopIdentity]:
        found = []
        for row in self._cursors.loops(loop_id):
            session = self._cursors.session(session_key(row.session_id))
            session_id = row.session_id if session is None else session[0]
            found.append(LoopIdentity(session_id, row.loop_id, row.started_ns, row.caller))
        if not found:
            raise KeyError(loop_id)
        return found

    def __iter__(self) -> Iterator[str]:
        raise NotImplementedError("the index is asked, not walked")

    def __len__(self) -> int:
        raise NotImplementedError("the index is asked, not walked")


class _Sessions(Mapping[str, AgentStart]):
    """The mapping is `Ahead.sessions`."""

    def __init__(self, cursors: Cursors) -> None:
        self._cursors = cursors

    def __getitem__(self, key: str) -> AgentStart:
        row = self._cursors.session(key)
        if row is None:
            raise KeyError(key)
        return AgentStart(session_id=row[0], loop_id="", timestamp=Instant(row[2]), agent_id=row[1])

    def __iter__(self) -> Iterator[str]:
        raise NotImplementedError("the index is asked, not walked")

    def __len__(self) -> int:
        raise NotImplementedError("the index is asked, not walked")
