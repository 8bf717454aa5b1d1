"""What adapters find in their records, before it becomes events. Times are nanoseconds since the epoch, 0 for unknown."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from otel_phi.wire.events import SideCall
from otel_phi.wire.messages import NULL, Usage
from otel_phi.wire.parts import ContinuationKind, Source


class LoopFacts(msgspec.Struct, kw_only=True):
    """A loop facts is a loop that is about to begin.

    Attributes:
        loop_id: its id.
        started_ns: when it began.
        kind: how it continues its parent.
        parent_loop_id: the loop it came from, None for none.
        parent_tool_call_id: the tool call that runs it as a sub-agent, None for none.
        parent_session_id: the session of the parent, where it is another.
        agent_name: who runs it, "" where the format does not say.
        model: the model it begins with, "" until its first answer tells.
        provider: of the model.
        thinking_level: how much the model is to think, "" where unknown.
        trigger: what its first turn was triggered by, as phi-core writes it.
        source: the records it is read from.
        weak: whether it is a loop only if an answer follows, as a slash command is.
    """

    loop_id: str
    started_ns: int
    kind: ContinuationKind = "Initial"
    parent_loop_id: str | None = None
    parent_tool_call_id: str | None = None
    parent_session_id: str | None = None
    agent_name: str = ""
    model: str = ""
    provider: str = ""
    thinking_level: str = ""
    trigger: str = "User"
    source: Source | None = None
    weak: bool = False


class ToolFacts(msgspec.Struct, kw_only=True):
    """A tool facts is a tool call, and its result once `ended_ns` is not 0.

    Attributes:
        timed: whether `started_ns` is the format's own word; else the recorder infers it, and the span says so.
        detached: whether the format tells of no end; it is no error.
    """

    call_id: str
    name: str
    started_ns: int
    args: Raw = NULL
    ended_ns: int = 0
    content: Raw = NULL
    is_error: bool = False
    error_type: str = ""
    child_loop_id: str | None = None
    timed: bool = True
    detached: bool = False


class TurnFacts(msgspec.Struct, kw_only=True):
    """A turn facts is a turn under way: one model call with the tools it asked for.

    Attributes:
        at_ns: time of its first record.
        started_ns: the earliest that it can have begun.
        request_ns: when the model was asked, 0 where the format does not say.
        answered_ns: time of the last record of the answer, 0 before there is one.
        blocks: content of the answer, JSON objects in phi's form.
        final: whether the answer asks for nothing: with it the loop may be over.
        tools: the tool calls by id, in their order.
        results: the ids of those that have their result, in the order of the results.
        others: what else happened in it: side calls.
        no_call: whether it is tools alone, which no model asked for in it.
    """

    at_ns: int
    started_ns: int
    request_ns: int = 0
    answered_ns: int = 0
    model: str = ""
    provider: str = ""
    asked_model: str = ""
    thinking_level: str = ""
    stop_reason: str = ""
    usage: Usage = Usage()
    error_message: str | None = None
    error_type: str = ""
    cost_usd: float | None = None
    first_token_ms: int | None = None
    blocks: list[bytes] = msgspec.field(default_factory=list)
    final: bool = False
    tools: dict[str, ToolFacts] = msgspec.field(default_factory=dict)
    results: list[str] = msgspec.field(default_factory=list)
    others: list[SideCall] = msgspec.field(default_factory=list)
    no_call: bool = False

    @property
    def unanswered(self) -> bool:
        """Whether a tool has no result yet."""
        return len(self.results) < len(self.tools)

    @property
    def ended_ns(self) -> int:
        """The latest time in it."""
        times = [tool.ended_ns for tool in self.tools.values()]
        times += [max(tool.started_ns for tool in self.tools.values())] if self.tools else []
        times += [int(side.end or 0) for side in self.others]
        return max([self.answered_ns, self.started_ns, *times])


class Progress(msgspec.Struct, kw_only=True):
    """A progress is what of a session has been told so far: the part of a fold's state that every format has.

    Attributes:
        session_id: the session, "" before it is known.
        loop_id: the loop that is open, or was last.
        base_id: the same without the `+2` of what came after a pause.
        part: which part of it, 1 for the first.
        is_open: whether the loop is open.
        started_ns: when it began.
        turns: how many of its turns were told: the index of the next one.
        last_ns: the latest time told of it.
        mark_ns: the earliest at which the next model call can have begun: a prompt, an answer, a tool's result.
        answer_ns: the end of an answer that asked for nothing, where that is the last thing told; else 0.
        failed: what went wrong with the last attempt, in one word, where nothing followed it; else "".
        bad_answer: whether the last answer told was an error.
        trigger: what triggers its first turn.
        untimed: whether the file has no times: those given only keep the order, and every span says that it is inferred.
    """

    session_id: str = ""
    loop_id: str = ""
    base_id: str = ""
    part: int = 1
    is_open: bool = False
    started_ns: int = 0
    turns: int = 0
    last_ns: int = 0
    mark_ns: int = 0
    answer_ns: int = 0
    failed: str = ""
    bad_answer: bool = False
    trigger: str = "User"
    untimed: bool = False
