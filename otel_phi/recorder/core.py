"""The recorder core: `on_event(event) -> notices`, holding only what is open.

Rule 1: AgentStart for an identity (session, id, start) already seen: ignored. For an id that is open with another start: the
        open loop is aborted at its last known time.
Rule 2: an event of a loop that is not open: no notice, counted.
Rule 3: a session opens with its first AgentStart, never with a parallel event; logs and files do not have those.
Rule 4: nothing that lasts is unbounded: open loops, remembered loops and sessions, open groups each have a limit and a
        stated end. A loop past the limit is aborted, the longest silent first.
Rule 5: each event costs the same whatever came before.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence

from otel_phi.recorder.groups import OpenGroups
from otel_phi.recorder.loops import OpenLoop
from otel_phi.recorder.notices import LoopIdentity, LoopOpened, LoopStart, Notice, SessionOpened, TurnClosed
from otel_phi.recorder.references import Ahead, References, is_uuid
from otel_phi.recorder.starts import loop_start
from otel_phi.wire import events as e

# Ten thousand agents at once in one process: 10 to 20 MB of open state. Precedent: RELIABILITY 5.10.
MAX_OPEN_LOOPS = 10_000
# A forgotten session that comes back opens again; its root then repeats.
MAX_REMEMBERED_SESSIONS = 32_768

_NOTHING: tuple[Notice, ...] = ()


class RecorderCore:
    """Follows a stream of AgentEvents and says what has opened and closed.

    Args:
        ahead: what a source that reads ahead knows of the stream; None for a live one.

    Attributes:
        counts: events that gave no notice, by reason: `duplicate_start`, `loop_not_open`, `turn_closed`, `aborted_restart`,
            `evicted`, `unknown_type`.
    """

    def __init__(self, ahead: Ahead | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._ahead = ahead
        self._references = References(ahead)
        self._open: OrderedDict[str, OpenLoop] = OrderedDict()
        self._sessions: OrderedDict[str, str] = OrderedDict()  # session -> the spelling it was first seen in
        self._groups = OpenGroups()

    @property
    def open_loops(self) -> int:
        """How many loops are open."""
        return len(self._open)

    def on_event(self, event: e.AgentEvent) -> Sequence[Notice]:
        """Takes one event.

        Args:
            event: as decoded by `otel_phi.wire`.

        Returns:
            What has opened or closed with it, in order; mostly nothing.
        """
        match event:
            case e.MessageUpdate() | e.MessageStart() | e.ToolExecutionUpdate() | e.ProgressMessage():
                return _NOTHING  # they say nothing that every source knows
            case e.AgentStart():
                return self._agent_start(event)
            case e.ParallelLoopStart():
                given_up = self._groups.announced(event)
                return _NOTHING if given_up is None else (given_up,)
            case e.ParallelLoopEnd():
                over = self._groups.decided(event)
                return _NOTHING if over is None else (over,)
            case e.GenericEvent() if event.loop_id is None:
                self.counts["unknown_type"] += 1
                return _NOTHING
            case _:
                return self._loop_event(event, event.loop_id or "")

    def _loop_event(self, event: e.AgentEvent, loop_id: str) -> Sequence[Notice]:
        loop = self._open.get(loop_id)
        if loop is None:
            self.counts["loop_not_open"] += 1
            return _NOTHING
        if isinstance(event, e.AgentEnd):
            return self._close(loop, event)
        notices = _in_loop(loop, event)
        if notices is None:
            self.counts["turn_closed"] += 1
            return _NOTHING
        if isinstance(event, e.TurnStart):
            self._open.move_to_end(loop.start.identity.loop_id)
        elif isinstance(event, e.GenericEvent):
            self.counts["unknown_type"] += 1
        return notices

    def _agent_start(self, event: e.AgentStart) -> Sequence[Notice]:
        opened = self._open_session(event)
        identity = LoopIdentity(self._sessions[_session_key(event)], event.loop_id, int(event.timestamp))
        if self._references.knows(identity):
            self.counts["duplicate_start"] += 1
            return opened
        notices: list[Notice] = []
        replaced = self._open.get(event.loop_id)
        if replaced is not None:
            self.counts["aborted_restart"] += 1
            notices += self._close(replaced, None)
        start = loop_start(event, identity, self._references)
        self._references.remember(identity)
        notices += opened
        notices.append(LoopOpened(start))
        self._open[event.loop_id] = OpenLoop(start, self._references)
        self._groups.started(identity)
        if len(self._open) > MAX_OPEN_LOOPS:
            self.counts["evicted"] += 1
            notices += self._close(next(iter(self._open.values())), None)
        return notices

    def _open_session(self, event: e.AgentStart) -> list[Notice]:
        key = _session_key(event)
        if key in self._sessions:
            self._sessions.move_to_end(key)
            return []
        first = event if self._ahead is None else self._ahead.sessions.get(event.session_id, event)
        self._sessions[key] = first.session_id
        if len(self._sessions) > MAX_REMEMBERED_SESSIONS:
            self._sessions.popitem(last=False)
        return [SessionOpened(first.session_id, first.agent_id, int(first.timestamp))]

    def _close(self, loop: OpenLoop, event: e.AgentEnd | None) -> list[Notice]:
        identity = loop.start.identity
        del self._open[identity.loop_id]
        notices: list[Notice] = list(loop.close(event))
        closed = notices[-1]
        over = self._groups.ended(identity, closed.ended_ns) if hasattr(closed, "ended_ns") else None
        return notices if over is None else [*notices, over]

    def flush(self) -> list[Notice]:
        """Closes everything: open loops as aborted, in order of their start, then the groups whose end is known."""
        notices: list[Notice] = []
        for loop in sorted(self._open.values(), key=lambda loop: _order(loop.start)):
            notices += self._close(loop, None)
        return [*notices, *self._groups.flush()]


def _session_key(event: e.AgentStart) -> str:
    """Returns one key for all spellings of a UUID: they are one trace."""
    return event.session_id.lower() if is_uuid(event.session_id) else event.session_id


def _order(start: LoopStart) -> tuple[int, str]:
    return start.identity.started_ns, start.identity.loop_id


def _in_loop(loop: OpenLoop, event: e.AgentEvent) -> Sequence[TurnClosed] | None:
    """Hands an event to its open loop; None if the loop ignored it."""
    match event:
        case e.MessageEnd():
            return loop.message_ended(event.message)
        case e.ToolExecutionStart():
            turn, cut = loop.current_turn()
            turn.tool_started(event)
            return cut
        case e.ToolExecutionEnd():
            turn, cut = loop.current_turn()
            turn.tool_ended(event)
            return cut
        case e.TurnStart():
            return loop.turn_started(event)
        case e.TurnRequest():
            return loop.requested(event)
        case e.TurnEnd():
            return loop.turn_ended(event)
        case _:
            _happened(loop, event)
            return ()


def _happened(loop: OpenLoop, event: e.AgentEvent) -> None:
    match event:
        case e.CompactionStarted():
            loop.scope.compaction_started(loop.seen(event.timestamp), event)
        case e.CompactionEnded():
            time_ns = loop.seen(event.timestamp)
            loop.scope.compaction_ended(time_ns, event)
            if loop.turn is not None:
                loop.turn.compacted_ns = time_ns
        case e.PrunApplied():
            loop.happened(loop.seen(event.timestamp), event)
        case e.RevertApplied():
            at = loop.last_ns if event.timestamp is None else int(event.timestamp)
            loop.happened(at, event)
        case e.InputRejected():
            loop.input_refused = True
            loop.happened(loop.last_ns, event)
        case e.GenericEvent():
            loop.happened(loop.seen(event.timestamp), event)
