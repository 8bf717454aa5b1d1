"""One stream of events, each with its place: what is open, told twice, out of its time, or counts what cannot be. Pure.

Rule 1: it judges what stands there; what becomes of it in a trace is the recorder's, and each rule's meaning says it.
Rule 2: a step of a clock is told once: what comes after is held against the new time.
Rule 3: memory is a record for each open loop, and an identity for each that was closed.
"""

from __future__ import annotations

from otel_phi.cli import words
from otel_phi.cli.checking import tokens
from otel_phi.cli.checking.findings import NOWHERE, Findings, Place
from otel_phi.hook.findings import LOOP_NOT_OPEN, UNKNOWN_ROLE, Finding, loop_not_open
from otel_phi.hook.findings import findings as not_understood
from otel_phi.tree import clean
from otel_phi.wire import events as e
from otel_phi.wire.messages import MILLISECOND_NS, AssistantMessage, ToolResultMessage, Usage
from otel_phi.wire.spellings import UnknownKey

YEAR_2000_NS = 946_684_800 * 10**9  # no agent is older; a time before it is in the wrong unit
AHEAD_NS = 86_400 * 10**9  # a day: more than any time zone taken for UTC
# Other agents write what happens side by side as it comes, in real files some milliseconds out of order. A clock that is set steps by more.
STEP_NS = 100 * MILLISECOND_NS
_RULES = {"unknown_type": "unknown-type", "unknown_role": "unknown-role", "unknown_key": "unknown-key"}
_LOOSE = (e.AgentStart, e.ParallelLoopStart, e.ParallelLoopEnd, e.SideCall)  # of no loop that must be open
_OF_NO_SPAN = (e.MessageUpdate, e.MessageStart, e.ToolExecutionUpdate, e.ProgressMessage)


class _Turn:
    def __init__(self, index: int, started_ns: int, place: Place) -> None:
        self.index, self.started_ns, self.place = index, started_ns, place
        self.answers: list[Usage] = []
        self.tools: dict[str, list[tuple[str, Place]]] = {}


class _Loop:
    def __init__(self, start: e.AgentStart, place: Place) -> None:
        self.start, self.place = start, place
        self.last_ns = int(start.timestamp)
        self.turn: _Turn | None = None
        self.closed: set[tuple[int, int]] = set()
        self.turns: list[Usage] = []

    @property
    def identity(self) -> tuple[str, str, int]:
        return self.start.session_id.lower(), self.start.loop_id, int(self.start.timestamp)


class StreamCheck:
    """A check of one stream: a file's events in their order, or an agent's sessions one after another.

    Args:
        findings: where what is found is counted.
        now_ns: the time now, nanoseconds since the epoch.
    """

    def __init__(self, findings: Findings, now_ns: int) -> None:
        self._findings = findings
        self._latest_ns = now_ns + AHEAD_NS
        self._open: dict[str, _Loop] = {}
        self._closed: set[tuple[str, str, int]] = set()
        self._doubled: set[str] = set()  # loops told once more, that is not over

    def take(self, event: e.AgentEvent, place: Place, unknown: list[UnknownKey] | None = None) -> None:
        """Judges an event.

        Args:
            event: the event.
            place: where it stands.
            unknown: its keys that nobody knows.
        """
        for found in not_understood(event, unknown or ()):
            self._add(_RULES[found.kind], _words(found), place)
        if isinstance(event, e.AgentStart):
            self._agent_start(event, place)
            return
        loop_id = getattr(event, "loop_id", None) or ""
        loop = self._open.get(loop_id)
        if loop is not None:
            self._in_loop(loop, event, place)
        elif loop_id in self._doubled:  # its start said it
            if isinstance(event, e.AgentEnd):
                self._doubled.discard(loop_id)
        elif not isinstance(event, (*_LOOSE, *_OF_NO_SPAN)) and loop_id:
            self._add("loop-not-open", _words(loop_not_open(event, self._open)), place)

    def finish(self) -> None:
        """Judges what is open at the end."""
        for loop in self._open.values():
            self._abort(loop, "no AgentEnd")
        self._open.clear()

    # --- loops -------------------------------------------------------------------------------------------------------

    def _agent_start(self, event: e.AgentStart, place: Place) -> None:
        loop = _Loop(event, place)
        self._in_range(loop.last_ns, place, "AgentStart")
        same = self._open.get(event.loop_id)
        if (same is not None and same.identity == loop.identity) or loop.identity in self._closed:
            self._add("double-loop", f"loop {event.loop_id}", place)
            if same is None:
                self._doubled.add(event.loop_id)
            return
        self._doubled.discard(event.loop_id)
        if same is not None:
            self._abort(same, "the same loop id starts again")
        self._open[event.loop_id] = loop

    def _abort(self, loop: _Loop, why: str) -> None:
        self._close_turn(loop, open_turn=False)  # its loop says it
        self._add("loop-open", f"loop {loop.start.loop_id}: {why}", loop.place)
        self._closed.add(loop.identity)

    def _agent_end(self, loop: _Loop, event: e.AgentEnd, place: Place) -> None:
        self._close_turn(loop)
        for rule, what in tokens.loop_findings(event.usage, loop.turns):
            self._add(rule, what, place)
        self._closed.add(loop.identity)
        del self._open[loop.start.loop_id]

    # --- what is in them ---------------------------------------------------------------------------------------------

    def _in_loop(self, loop: _Loop, event: e.AgentEvent, place: Place) -> None:
        self._time(loop, event, place)
        match event:
            case e.TurnStart():
                self._turn_start(loop, event, place)
            case e.TurnEnd():
                self._turn_end(loop, event, place)
            case e.MessageEnd(message=AssistantMessage() as message):
                self._answer(loop, message, place)
            case e.MessageEnd(message=ToolResultMessage() as message):
                self._within_turn(loop, message.timestamp_ns, "tool result", place)
            case e.ToolExecutionStart():
                turn = self._turn(loop, place)
                turn.tools.setdefault(event.tool_call_id, []).append((event.tool_name, place))
            case e.ToolExecutionEnd():
                self._tool_end(loop, event, place)
            case e.AgentEnd():
                self._agent_end(loop, event, place)

    def _turn(self, loop: _Loop, place: Place) -> _Turn:
        """Returns the open turn; what stands outside one opens one, as in the recorder."""
        if loop.turn is None:
            loop.turn = _Turn(-1, loop.last_ns, place)
        return loop.turn

    def _turn_start(self, loop: _Loop, event: e.TurnStart, place: Place) -> None:
        identity = event.turn_index, int(event.timestamp or 0)
        if identity in loop.closed and event.timestamp is not None:
            self._add("double-turn", f"turn {event.turn_index} of loop {loop.start.loop_id}", place)
            if loop.turn is not None and loop.turn.index == event.turn_index:
                return
        loop.closed.add(identity)
        self._close_turn(loop)
        loop.turn = _Turn(event.turn_index, int(event.timestamp or loop.last_ns), place)

    def _turn_end(self, loop: _Loop, event: e.TurnEnd, place: Place) -> None:
        turn = self._turn(loop, place)
        if not turn.answers and isinstance(event.message, AssistantMessage):
            self._answer(loop, event.message, place)
        for rule, what in tokens.turn_findings(event.usage, turn.answers):
            self._add(rule, what, place)
        loop.turns.append(event.usage)
        self._close_turn(loop, open_turn=False)

    def _close_turn(self, loop: _Loop, *, open_turn: bool = True) -> None:
        turn, loop.turn = loop.turn, None
        if turn is None:
            return
        if open_turn and turn.index >= 0:
            self._add("turn-open", f"turn {turn.index} of loop {loop.start.loop_id}", turn.place)
        for starts in turn.tools.values():
            for tool, place in starts:
                self._add("tool-open", f"tool {tool}", place)

    def _answer(self, loop: _Loop, message: AssistantMessage, place: Place) -> None:
        self._turn(loop, place).answers.append(message.usage)
        self._within_turn(loop, message.timestamp_ns, "answer", place)
        for rule, what in tokens.answer_findings(message):
            self._add(rule, what, place)

    def _tool_end(self, loop: _Loop, event: e.ToolExecutionEnd, place: Place) -> None:
        begun = self._turn(loop, place).tools.get(event.tool_call_id)
        if begun:
            begun.pop(0)
        elif event.outcome != "detached":
            self._add("tool-not-begun", f"tool {event.tool_name}", place)

    # --- times -------------------------------------------------------------------------------------------------------

    def _time(self, loop: _Loop, event: e.AgentEvent, place: Place) -> None:
        time = getattr(event, "timestamp", None)
        if not isinstance(time, int):  # none, or UNSET
            return
        kind, time_ns = type(event).__name__, int(time)
        self._in_range(time_ns, place, kind)
        if isinstance(
            event, e.ToolExecutionStart | e.ToolExecutionEnd
        ):  # tools run side by side, and are told in any order
            self._within_turn(loop, time_ns, kind, place)
            return
        if time_ns + STEP_NS < loop.last_ns:
            self._step(kind, loop.last_ns - time_ns, place)
            loop.last_ns = time_ns
        loop.last_ns = max(loop.last_ns, time_ns)

    def _within_turn(self, loop: _Loop, time_ns: int, kind: str, place: Place) -> None:
        """Holds a time of what has no order of its own against its turn's start; 0 is none."""
        turn = loop.turn
        if time_ns and turn is not None and time_ns + STEP_NS < turn.started_ns:
            self._step(kind, turn.started_ns - time_ns, place)

    def _step(self, kind: str, back_ns: int, place: Place) -> None:
        self._add("clock-step", f"time of {kind}", _more(place, f"{words.duration(back_ns)} back"))

    def _in_range(self, time_ns: int, place: Place, kind: str) -> None:
        if not YEAR_2000_NS <= time_ns <= self._latest_ns:
            self._add("clock-range", f"time of {kind}", _more(place, words.moment(time_ns)))

    def _add(self, rule: str, what: str, place: Place = NOWHERE) -> None:
        self._findings.add(rule, clean(what), place)


def _more(place: Place, detail: str) -> Place:
    """Returns a place with more said of it."""
    return Place(place.file, place.line, f"{place.detail} {detail}".strip())


def _words(found: Finding) -> str:
    """Returns what is not understood, in few words that are the same wherever it stands."""
    near = f"; did you mean {found.nearest}?" if found.nearest else ""
    if found.kind == LOOP_NOT_OPEN:
        return f"{found.event} of loop {found.loop_id}{near}"
    role = f" of a message in {found.event}" if found.kind == UNKNOWN_ROLE else ""
    return f"{found.name}{role}{near}"
