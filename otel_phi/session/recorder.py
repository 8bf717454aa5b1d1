"""The SessionRecorder: events in, Sessions out, as phi-core's own recorder (0.10) folds them, its quirks included.

Rule 1: equal to phi-core on every event that phi-core accepts. Where it does what nobody would expect, a comment says "phi-core".
Rule 2: `on_event` never raises. What is no event, what belongs to no open loop and what a callback did wrong is in `counts`.
Rule 3: no step takes longer the more sessions and loops there are, but for what it returns or closes.
Rule 4: order is that of events where Rust's is random: `flush` aborts loops by their start and completes sessions by theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from otel_phi.session.canonical import canonical_event
from otel_phi.session.canonical_messages import read_messages
from otel_phi.session.index import SessionIndex
from otel_phi.session.loops import child_of, config_from, explain_spawn, opened_loop, opened_session, spawn_of
from otel_phi.session.model import LoopRecord, Session
from otel_phi.session.parts import LoopEvent, LoopStatus
from otel_phi.session.turns import AnnouncedGroups, PartialTurns
from otel_phi.wire import events as wire
from otel_phi.wire.decode import Undecodable, encode_event

Event = wire.AgentEvent | Mapping[str, Any] | str | bytes

# The reasons in `counts`.
UNDECODABLE = "undecodable"
UNKNOWN_TYPE = "unknown_type"
NO_OPEN_LOOP = "no_open_loop"
FORGOTTEN = "forgotten"
CALLBACK_FAILED = "callback_failed"


class SessionRecorderConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Says what a recorder keeps and whom it tells.

    Attributes:
        include_streaming_events: store `MessageUpdate`s too. They are hundreds of times as many as messages; for debugging.
        capture_turn_requests: keep what was sent to the model on each turn (`Turn.request_payload`): large. The event itself is
            stored either way.
        before_task: called when a session opens, with the session, empty and without `parent_spawn_ref`. phi-core 0.10: its
            answer changes nothing.
        after_task: called with each session that `flush` completes. phi-core 0.10: `checkpoint` does not call it.
    """

    include_streaming_events: bool = False
    capture_turn_requests: bool = False
    before_task: Callable[[Session], bool] | None = None
    after_task: Callable[[Session], object] | None = None


class SessionRecorder:
    """Folds the events of one or many agents into Sessions.

    Feed every event to `on_event`. `checkpoint` completes sessions in which nothing runs, `flush` all of them;
    `drain_completed` hands them over. What is never drained stays in memory. Not safe for threads, like its original.

    Args:
        config: what to keep and whom to tell; None for the defaults.

    Attributes:
        counts: what could not be recorded, by reason: `undecodable` is no event, `unknown_type` is an event this version does
            not know, `no_open_loop` came for a loop that is not open, `forgotten` is an unfinished turn or a parallel
            evaluation that was one too many, `callback_failed` is an exception of a callback.
        callback_error: the newest exception of a callback, which was caught; None where there was none.
    """

    def __init__(self, config: SessionRecorderConfig | None = None) -> None:
        self.config = config or SessionRecorderConfig()
        self.counts: Counter[str] = Counter()
        self.callback_error: Exception | None = None
        self._unread = frozenset() if self.config.include_streaming_events else frozenset({"MessageUpdate"})
        self._index = SessionIndex()
        self._open_loops: dict[str, LoopRecord] = {}
        self._running: Counter[str] = Counter()
        self._turns = PartialTurns()
        self._groups = AnnouncedGroups()

    def on_event(self, event: Event) -> None:
        """Takes one event: an `AgentEvent`, or its JSON as mapping, text or bytes. Never raises."""
        line = _line_of(event)
        found = Undecodable("not JSON") if line is None else canonical_event(line, self._unread)
        match found:
            case Undecodable():
                self.counts[UNDECODABLE] += 1
            case wire.GenericEvent():
                self.counts[UNKNOWN_TYPE] += 1
            case _:
                self._record(found)

    def flush(self) -> None:
        """Ends everything: running loops become `Aborted` without an end, all sessions are completed, `after_task` is called.

        Unfinished turns are dropped. phi-core 0.10: announced parallel evaluations stay, and an aborted loop becomes no child
        of its parent.
        """
        self._turns.clear()
        for record in self._open_loops.values():
            record.status = LoopStatus.ABORTED
            self._index.file(record)
        self._open_loops.clear()
        self._running.clear()
        for session_id in list(self._index.open):
            session = self._index.complete(session_id)
            self._call(self.config.after_task, session)
            self._index.keep_completed(session)

    def checkpoint(self) -> int:
        """Completes the sessions in which no loop runs, leaves the others, and returns how many it completed."""
        idle = [session_id for session_id in self._index.open if session_id not in self._running]
        for session_id in idle:
            self._index.keep_completed(self._index.complete(session_id))
        return len(idle)

    def drain_completed(self) -> list[Session]:
        """Hands over the completed sessions and forgets them, in the order in which they were completed.

        A session id that comes again later is a new session, with the same id.
        """
        return self._index.drain()

    def sessions(self) -> Iterator[Session]:
        """Yields all sessions that are not drained: completed, then open. Running loops are in none yet."""
        yield from list(self._index.completed)
        yield from list(self._index.open.values())

    def get_session(self, session_id: str) -> Session | None:
        """Returns a session; None where there is none. phi-core 0.10: of several of one id, the oldest completed."""
        return self._index.completed_first(session_id) or self._index.open.get(session_id)

    def current_loop(self, loop_id: str) -> LoopRecord | None:
        """Returns a running loop; None where none of this id runs."""
        return self._open_loops.get(loop_id)

    def table_sizes(self) -> dict[str, int]:
        """Returns how many entries each internal table holds, by name: what this recorder costs in memory."""
        own = {"open_loops": len(self._open_loops), "running": len(self._running)}
        return self._index.table_sizes() | own | {"turns": len(self._turns), "groups": len(self._groups)}

    def _record(self, event: wire.KnownEvent) -> None:
        match event:
            case wire.AgentStart():
                self._start(event)
            case wire.AgentEnd():
                self._end(event)
            case wire.ParallelLoopStart():
                self._forgot(self._groups.announce(event))
            case wire.ParallelLoopEnd():
                self._end_group(event)
            case wire.MessageUpdate() if not self.config.include_streaming_events:
                pass
            case wire.RevertApplied():
                pass  # phi-core 0.10 never stores it
            case wire.SideCall():
                pass  # phi-core knows none
            case wire.ProgressMessage() | wire.InputRejected() if not event.loop_id:
                self.counts[NO_OPEN_LOOP] += 1  # phi-core 0.10: never stored, even where a loop is called ""
            case _:
                self._append(event.loop_id, event)
                self._within(event)

    def _within(self, event: wire.KnownEvent) -> None:
        """Takes what concerns the open turn or the tools of a loop; all else is only stored."""
        match event:
            case wire.TurnStart():
                self._forgot(self._turns.begin(event))
            case wire.TurnRequest() if self.config.capture_turn_requests:
                self._turns.request(event)
            case wire.MessageEnd():
                self._turns.message(event)
            case wire.TurnEnd():
                self._end_turn(event)
            case wire.ToolExecutionEnd():
                self._refer(event)
            case _:
                pass

    def _start(self, event: wire.AgentStart) -> None:
        self._running[event.session_id] += 1
        session = self._index.open.get(event.session_id)
        if session is None:
            session = self._index.open[event.session_id] = opened_session(event)
            self._call(self.config.before_task, session)
        session.last_active_at = event.timestamp
        session.parent_spawn_ref = session.parent_spawn_ref or spawn_of(event)
        replaced = self._open_loops.pop(event.loop_id, None)
        if replaced is not None:  # phi-core 0.10: the running loop of this id is lost, with all its events
            self._stopped(replaced)
        self._open_loops[event.loop_id] = opened_loop(event)
        self._append(event.loop_id, event)

    def _end(self, event: wire.AgentEnd) -> None:
        self._append(event.loop_id, event)
        self._turns.discard(event.loop_id)
        record = self._open_loops.pop(event.loop_id, None)
        if record is None:
            return
        record.ended_at = event.timestamp
        record.status = LoopStatus.COMPLETED if event.rejection is None else LoopStatus.REJECTED
        record.rejection = event.rejection
        record.messages = read_messages(event.messages)
        record.usage = event.usage
        record.config = record.config or config_from(record.messages, record.loop_id)
        self._link(record)
        self._index.file(record)
        self._stopped(record)

    def _link(self, record: LoopRecord) -> None:
        """Notes the loop with its parent: an ended one of the session before a running one."""
        session = self._index.open.get(record.session_id)
        if record.parent_loop_id is None or session is None:
            return
        parent = session.get_loop(record.parent_loop_id) or self._open_loops.get(record.parent_loop_id)
        if parent is not None and parent.session_id == record.session_id:
            parent.add_child(record.loop_id)

    def _end_turn(self, event: wire.TurnEnd) -> None:
        turn = self._turns.end(event)
        record = self._open_loops.get(event.loop_id)
        if record is None:
            return
        if turn is not None:
            record.turns.append(turn)
        if event.message is not None:
            record.config = record.config or config_from((event.message,), record.loop_id)

    def _refer(self, event: wire.ToolExecutionEnd) -> None:
        child, record = child_of(event), self._open_loops.get(event.loop_id)
        if child is None or record is None:
            return
        record.child_loop_refs.append(child)
        session_id = child.child_session_id
        spawned = self._index.open.get(session_id) or self._index.completed_first(session_id)
        if spawned is not None:
            explain_spawn(spawned, record, child)

    def _end_group(self, event: wire.ParallelLoopEnd) -> None:
        group = self._groups.end(event)
        for loop_id in group.all_loop_ids:
            mine = msgspec.structs.replace(group, is_selected=loop_id == group.selected_loop_id)
            running = self._open_loops.get(loop_id)
            if running is not None:
                running.parallel_group = mine
            # phi-core 0.10: also on loops of this id that ended long ago, in whatever session
            for record in self._index.loops_of_id(loop_id):
                record.parallel_group = mine

    def _append(self, loop_id: str, event: wire.KnownEvent) -> None:
        record = self._open_loops.get(loop_id)
        if record is None:
            self.counts[NO_OPEN_LOOP] += 1
        else:
            record.events.append(LoopEvent(sequence=len(record.events), event=event))

    def _stopped(self, record: LoopRecord) -> None:
        self._running[record.session_id] -= 1
        if self._running[record.session_id] <= 0:
            del self._running[record.session_id]

    def _forgot(self, one: bool) -> None:
        if one:
            self.counts[FORGOTTEN] += 1

    def _call(self, callback: Callable[[Session], object] | None, session: Session) -> None:
        """Calls back. An exception is caught, counted and kept: it must cost the recording nothing."""
        if callback is None:
            return
        try:
            callback(session)
        except Exception as error:  # noqa: BLE001 -- whatever a caller's code raises
            self.counts[CALLBACK_FAILED] += 1
            self.callback_error = error


def _line_of(event: Event) -> bytes | None:
    """Returns an event as its JSON, None where it has none."""
    try:
        match event:
            case bytes():
                return event
            case str():
                return event.encode()
            case msgspec.Struct():
                return encode_event(event)
            case _:
                return msgspec.json.encode(event)
    except (TypeError, ValueError, RecursionError, OverflowError, msgspec.MsgspecError):
        return None
