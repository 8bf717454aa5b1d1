"""An open turn: its model call, its tools and what else happened, until it closes.

Rule 1: of a turn there is one request and one answer, the first of each.
Rule 2: tool starts, ends and result messages of one call id are matched first in, first out.
Rule 3: a tool starts when the model's answer or the last tool result seen before it was there, never before the request,
        and ends with its result; where its events have times of their own, these.
Rule 4: a result whose tool was never executed is kept as an answer without execution.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec
from msgspec import UnsetType

from otel_phi.recorder.contents import chat_content, content_json
from otel_phi.recorder.identities import Foreign
from otel_phi.recorder.notices import Answer, Chat, ChatContent, Compaction, Outcome, Request, Timed, Tool
from otel_phi.recorder.references import References
from otel_phi.wire.events import CompactionEnded, CompactionStarted, ToolExecutionEnd, ToolExecutionStart
from otel_phi.wire.messages import NULL, ToolResultMessage, decode_tool_results
from otel_phi.wire.times import Instant

# Far above any real turn; past it tools are counted as dropped, so that a wild stream cannot fill the memory.
MAX_TOOLS = 65_536
# OpenTelemetry's own default number of events on a span.
MAX_HAPPENED = 128


# `TurnEnd.tool_results`: as JSON, or decoded already.
Listed: TypeAlias = bytes | Sequence[ToolResultMessage]
_EMPTY = (b"null", b"[]")


class Happenings(msgspec.Struct):
    """Collects what happens within a turn or a loop, within a bound, pairing compaction starts with their ends."""

    items: list[Timed] = []  # each its own: msgspec makes a new one
    dropped: int = 0
    compaction: tuple[int, CompactionStarted] | None = None

    def add(self, happened: Timed) -> None:
        """Adds one happening, or counts it as dropped past the bound."""
        if len(self.items) < MAX_HAPPENED:
            self.items.append(happened)
        else:
            self.dropped += 1

    def compaction_started(self, time_ns: int, event: CompactionStarted) -> None:
        """Begins a compaction; one begun before and never ended is added as it is."""
        self.settle()
        self.compaction = (time_ns, event)

    def compaction_ended(self, time_ns: int, event: CompactionEnded) -> None:
        """Ends a compaction, paired with its start if that was seen here."""
        started = self.compaction[1] if self.compaction else None
        self.compaction = None
        self.add(Timed(time_ns, Compaction(started, event)))

    def settle(self) -> None:
        """Adds a compaction that never ended."""
        if self.compaction is not None:
            time_ns, started = self.compaction
            self.compaction = None
            self.add(Timed(time_ns, Compaction(started, None)))


class OpenTool(msgspec.Struct, gc=False):
    """An open tool is a tool execution whose turn is still open.

    Attributes:
        timed: whether `started_ns` is its own.
        arguments: what it was called with, JSON, where contents are captured.
        result: what it answered, likewise.
    """

    call_id: str
    name: str
    started_ns: int
    inferred: bool
    timed: bool = False
    ended: bool = False
    ended_ns: int | None = None
    detached: bool = False
    is_error: bool = False
    error_type: str | None = None
    child_loop_id: str | None = None
    child_session_id: str | None = None
    arguments: str | None = None
    result: str | None = None


class OpenTurn(msgspec.Struct):
    """An open turn is a turn that has begun.

    Attributes:
        index: its index in the loop.
        repeat: see `TurnClosed.repeat`.
        started_ns: its start, not before the loop's.
        triggered_by: from TurnStart, None for a turn opened without one.
        source_ns: TurnStart's own time, by which a repeated TurnStart is known.
        request_timed: whether `request_ns` is the request's own time.
        mark_ns: where the next tool starts.
        compacted: whether the context was when the turn began.
        captured: whether its loop's contents are.
        asked: what its request said of contents.
        said: the answer's parts, JSON.
        inputs: the messages it answers, JSON each.
    """

    index: int
    repeat: int
    started_ns: int
    triggered_by: str | None
    source_ns: int | None
    request: Request | None = None
    request_ns: int | None = None
    request_timed: bool = False
    answer: Answer | None = None
    answer_ns: int | None = None
    mark_ns: int | None = None
    compacted: bool = False
    compacted_ns: int | None = None
    compacted_before_call: bool = False
    message_count: int = 0
    dropped_tools: int = 0
    happenings: Happenings = msgspec.field(default_factory=Happenings)
    tools: list[OpenTool] = []
    results: list[ToolResultMessage] = []
    captured: bool = False
    asked: ChatContent | None = None
    said: str | None = None
    inputs: tuple[str, ...] = ()
    _pending: dict[str, list[OpenTool]] = {}  # by call id; few of one id wait at a time

    def answered(self, answer: Answer, time_ns: int | None) -> None:
        """Takes the model's answer; a second one only moves the mark from which the next tool starts."""
        if self.answer is None:
            self.answer, self.answer_ns = answer, time_ns
            self.compacted_before_call = self.compacted or self.compacted_ns is not None
        self._mark(time_ns)

    def result(self, message: ToolResultMessage, time_ns: int) -> None:
        """Takes a tool's result message; `time_ns` is its time, 0 for none."""
        if len(self.results) < MAX_TOOLS:
            if message.__class__ is ToolResultMessage and message.content is not NULL:
                message = msgspec.structs.replace(message, content=NULL)  # a tool's result is told by its end
            self.results.append(message)
        self._mark(time_ns or None)

    def _mark(self, time_ns: int | None) -> None:
        if time_ns is not None and (self.mark_ns is None or time_ns > self.mark_ns):
            self.mark_ns = time_ns

    def tool_started(self, event: ToolExecutionStart) -> None:
        """Begins a tool."""
        tool = self._new_tool(event.tool_call_id, event.tool_name, at_ns=_given(event.timestamp))
        if tool is not None:
            tool.arguments = content_json(event.args) if self.captured else None
            self._pending.setdefault(tool.call_id, []).append(tool)

    def tool_ended(self, event: ToolExecutionEnd) -> None:
        """Ends the oldest execution of that call id still open; one never begun is taken as begun unseen."""
        waiting = self._pending.get(event.tool_call_id)
        tool = waiting.pop(0) if waiting else self._new_tool(event.tool_call_id, event.tool_name, seen=False)
        if tool is None:
            return
        tool.ended = True
        tool.ended_ns = _given(event.timestamp)
        tool.detached = event.outcome == "detached"
        tool.is_error = event.is_error
        tool.error_type = event.error_type or None
        tool.child_loop_id = event.child_loop_id or (event.result.child_loop_id if event.result else None)
        tool.child_session_id = event.child_session_id or None
        tool.result = content_json(event.result.content) if self.captured and event.result is not None else None

    def place_of(self, call_id: str) -> tuple[str, int] | None:
        """Returns call id and repeat of the latest execution of a call; None where it has none here."""
        count = sum(tool.call_id == call_id for tool in self.tools)
        return (call_id, count - 1) if count else None

    def _new_tool(self, call_id: str, name: str, *, seen: bool = True, at_ns: int | None = None) -> OpenTool | None:
        if len(self.tools) >= MAX_TOOLS:
            self.dropped_tools += 1
            return None
        mark_ns, request_ns = self.mark_ns, self.request_ns
        if at_ns is not None:
            tool = OpenTool(call_id, name, at_ns, False, timed=True)
        elif mark_ns is None:
            tool = OpenTool(call_id, name, self.started_ns if request_ns is None else request_ns, True)
        else:
            # Message times are floored to the millisecond: the answer can seem older than the request it answers.
            at_ns = mark_ns if request_ns is None or mark_ns > request_ns else request_ns
            tool = OpenTool(call_id, name, at_ns, not seen)
        self.tools.append(tool)
        return tool

    def take_tools(self, tools: list[OpenTool]) -> None:
        """Takes the tools of a turn that goes on; those that have not ended wait for their end in that order."""
        self.tools = tools
        for tool in tools:
            if not tool.ended:
                self._pending.setdefault(tool.call_id, []).append(tool)

    def chat(self, ended_ns: int, *, aborted: bool) -> Chat | None:
        """Returns the turn's model call, None for a turn without one."""
        if self.answer is None and (self.request is None or not aborted):
            return None
        started = self.request_ns
        if started is None:
            started = self.started_ns if self.compacted_ns is None else self.compacted_ns
        end = self.answer_ns if self.answer_ns is not None else ended_ns
        inferred = not self.request_timed or self.answer_ns is None
        compacted = self.compacted_before_call if self.answer else self.compacted or self.compacted_ns is not None
        content = chat_content(self.asked, self.inputs, self.said)
        return Chat(started, end, self.request, self.answer, compacted, inferred, content)

    def close_tools(
        self, session_id: str, ended_ns: int, listed: Listed | None, references: References
    ) -> tuple[Tool, ...]:
        """Matches results to executions.

        Args:
            session_id: of the loop.
            ended_ns: end of the turn.
            listed: `TurnEnd.tool_results`, None where there was no TurnEnd.
            references: to find the loops that tools ran.
        """
        if not self.tools and not self.results and (not listed or listed in _EMPTY):
            return ()  # the common case
        results = self._results_by_call(listed)
        repeats: dict[str, int] = {}
        closed: list[Tool] = []
        for tool in self.tools:
            call_id = tool.call_id
            waiting = results.get(call_id)
            message = waiting.popleft() if waiting else None
            child = tool.child_loop_id and references.child_of(
                session_id, tool.child_loop_id, ended_ns, tool.child_session_id
            )
            repeat = repeats.get(call_id, 0)
            repeats[call_id] = repeat + 1
            closed.append(_closed(tool, message, ended_ns, repeat, child or None))
        for call_id, waiting in results.items():
            for message in waiting:
                closed.append(_unexecuted(message, ended_ns, repeats.get(call_id, 0)))
                repeats[call_id] = repeats.get(call_id, 0) + 1
        return tuple(closed)

    def _results_by_call(self, listed: Listed | None) -> dict[str, deque[ToolResultMessage]]:
        found: dict[str, deque[ToolResultMessage]] = {}
        for message in self.results:
            found.setdefault(message.tool_call_id, deque()).append(message)
        if listed is None or self._all_answered(found):
            return found
        seen = {call_id: len(messages) for call_id, messages in found.items()}
        for message in decode_tool_results(listed) if isinstance(listed, bytes) else listed:
            if seen.get(message.tool_call_id, 0) > 0:
                seen[message.tool_call_id] -= 1  # its MessageEnd was there
            else:
                found.setdefault(message.tool_call_id, deque()).append(message)
        return found

    def _all_answered(self, found: Mapping[str, Sequence[ToolResultMessage]]) -> bool:
        """Says whether every execution has its result, and there was one at all: then TurnEnd's list need not be decoded."""
        executed: dict[str, int] = {}
        for tool in self.tools:
            executed[tool.call_id] = count = executed.get(tool.call_id, 0) + 1
            if len(found.get(tool.call_id, ())) < count:
                return False
        return bool(found)


def _closed(
    tool: OpenTool, message: ToolResultMessage | None, turn_end_ns: int, repeat: int, child: Foreign | None
) -> Tool:
    outcome: Outcome = ("error" if tool.is_error else "ok") if tool.ended else "aborted"
    ended_ns, word = tool.ended_ns, tool.error_type
    if ended_ns is None and message is not None and message.timestamp > 0:
        ended_ns = message.timestamp_ns
    if word is None and message is not None:
        word = message.error_type or None
    return Tool(
        call_id=tool.call_id,
        name=tool.name,
        repeat=repeat,
        started_ns=tool.started_ns,
        ended_ns=turn_end_ns if ended_ns is None else ended_ns,
        outcome="detached" if tool.detached else outcome,
        error_type=word,
        child_loop_id=tool.child_loop_id,
        child=child,
        inferred=tool.inferred or ended_ns is None or (tool.ended_ns is not None and not tool.timed),
        arguments=tool.arguments,
        result=tool.result,
    )


def _given(time_ns: Instant | UnsetType) -> int | None:
    """Returns an event's own time, None where it has none."""
    return None if isinstance(time_ns, UnsetType) else int(time_ns)


def _unexecuted(message: ToolResultMessage, turn_end_ns: int, repeat: int) -> Tool:
    at = message.timestamp_ns or turn_end_ns
    return Tool(
        message.tool_call_id,
        message.tool_name,
        repeat,
        at,
        at,
        "not_executed",
        message.error_type or None,
        None,
        None,
        message.timestamp == 0,
    )
