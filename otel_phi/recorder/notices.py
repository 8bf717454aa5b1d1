"""Notices: what the recorder core says has happened, as values, each with all that was known when it closed.

    SessionOpened   the session's first loop started
    LoopOpened      a loop started
    TurnOpened      a turn started
    TurnClosed      a turn ended, with its model call, its tools and its events
    LoopClosed      a loop ended
    SideCallMade    a model was called outside turns
    GroupOpened     a branch of a parallel evaluation started or ended, and the evaluation goes on
    GroupClosed     a parallel evaluation ended, all its branches too
    GroupGivenUp    nothing is to be told of a parallel evaluation that was opened

Times are nanoseconds since the epoch. A turn's and a loop's are in order (`ended_ns >= started_ns + 1`); those of a chat
and a tool are as the source gave them: mapping clamps them into their turn.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from otel_phi.recorder.identities import Foreign, LoopIdentity, ToolPlace
from otel_phi.wire import events as e
from otel_phi.wire.costs import Cost
from otel_phi.wire.messages import Usage
from otel_phi.wire.parts import ConfigSnapshot, Source
from otel_phi.wire.usage import TokenCount

Given = tuple[tuple[str, str | bool | int | float], ...]  # pairs that whoever runs an agent chose


class LoopStart(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Holds what an `AgentStart` said, its references resolved.

    Attributes:
        identity: session, loop id and start.
        agent_id: from `AgentStart.agent_id`.
        parent_loop_id: as written, None for none.
        parent: the parent loop, if it is of this session and was seen.
        spawner: the parent loop, if it is of another session.
        kind: `initial`, `default`, `rerun`, `branch`, `compaction`, or a newer kind in lower case.
        tag: of a rerun or branch, None for none.
        config: the model configuration, None where the event has none.
        agent_name: the agent's own name, None where the event gives none.
        attributes: what else the loop's span says.
        session_attributes: what else it and all spans below it say.
        tool_call_id: the tool call of the parent loop that ran it, None for none.
        tool: that tool execution's place, None where it is not known; it can be found as late as when the loop closes.
        source: the agent whose records it was read from, None for an agent that told it itself.
    """

    identity: LoopIdentity
    agent_id: str
    parent_loop_id: str | None
    parent: LoopIdentity | None
    spawner: Foreign | None
    kind: str
    tag: str | None
    config: ConfigSnapshot | None
    agent_name: str | None = None
    attributes: Given = ()
    session_attributes: Given = ()
    tool_call_id: str | None = None
    tool: ToolPlace | None = None
    source: Source | None = None


class SessionOpened(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Says that a session has begun, with its earliest loop known: its start, source and what it was given; `prompt` is its first message."""

    session_id: str
    agent_id: str
    opened_ns: int
    source: Source | None = None
    attributes: Given = ()
    prompt: str | None = None


class LoopOpened(msgspec.Struct, frozen=True, gc=False):
    """Says that a loop has begun."""

    loop: LoopStart


class TurnOpened(msgspec.Struct, frozen=True, gc=False):
    """Says that a turn has begun; the fields are those of `TurnClosed`."""

    loop: LoopStart
    index: int
    repeat: int
    started_ns: int
    triggered_by: str | None


class Request(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Holds the settings of a model request, from `TurnRequest.payload`; None where not given. `tool_names`: those it offers, where that is asked."""

    model: str
    thinking_level: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    response_format: str | None = None
    tool_names: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Holds what the assistant's message says of the call.

    Attributes:
        model: `message.model`.
        provider: `message.provider`.
        stop_reason: `message.stopReason`, as phi-core writes it.
        usage: as phi-core wrote it.
        tokens: the same in one meaning for all providers.
        error_type: what went wrong, in one word, as policy or the source says it; None where neither does.
        first_token_ms: milliseconds from the request to the first token, None where the source does not tell.
        streamed: whether the source says that the answer came in pieces.
        cost: what the call cost, None where that is not known.
    """

    model: str
    provider: str
    stop_reason: str
    usage: Usage
    tokens: TokenCount
    error_type: str | None
    first_token_ms: int | None = None
    streamed: bool = False
    cost: Cost | None = None


class ChatContent(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Holds what was said in a model call, as JSON in the convention's forms; None and () where contents are not told, or there are none.

    Attributes:
        system: list of parts, from `TurnRequest`; where it is not the loop's first, only if it has changed.
        tools: list of definitions, likewise.
        messages: list of messages, from `TurnRequest`.
        mode: which of the request's messages they are.
        message_count: how many the whole request had.
        first_message: the number of the first of `messages` in it.
        inputs: messages that ended before the answer, one by one, where there was no `TurnRequest` with messages.
        answer: list of parts, from the assistant's message.
    """

    system: str | None = None
    tools: str | None = None
    messages: str | None = None
    mode: str | None = None
    message_count: int | None = None
    first_message: int | None = None
    inputs: tuple[str, ...] = ()
    answer: str | None = None


class Chat(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A chat is the model call of a turn.

    Attributes:
        started_ns: `TurnRequest.timestamp`, else the turn's start or the end of a compaction in it.
        ended_ns: the assistant message's time (milliseconds, floored); the turn's end where there is none.
        request: what was asked, None without a TurnRequest.
        answer: what came back, None for a call that never did.
        compacted: whether the loop's context was compacted before the call, in this turn or an earlier one.
        inferred: whether a time is not the source's own.
        content: what was said, None where contents are not told.
    """

    started_ns: int
    ended_ns: int
    request: Request | None
    answer: Answer | None
    compacted: bool
    inferred: bool
    content: ChatContent | None = None


Outcome = Literal["ok", "error", "aborted", "not_executed", "detached"]


class Tool(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A tool is one tool execution, or a tool call that was answered without being executed.

    Attributes:
        call_id: `tool_call_id`; providers repeat it from turn to turn.
        name: `tool_name`.
        repeat: 0 for the first of this call id in the turn, then 1, 2, ...
        started_ns: its own start where the source tells, else the latest of the request, the assistant's message and the
            tool results seen before the start.
        ended_ns: its own end where the source tells, else the time of its toolResult message, else the turn's end.
        outcome: how it went.
        error_type: how a failed tool failed, in one word, as policy or the source says it; None where neither does.
        child_loop_id: loop it ran as a sub-agent, None for none.
        child: that loop, if it is of another session.
        inferred: whether a time is not the source's own.
        arguments: what it was called with, JSON; None where contents are not told.
        result: what it answered, JSON: a text or a list of parts; None likewise.
    """

    call_id: str
    name: str
    repeat: int
    started_ns: int
    ended_ns: int
    outcome: Outcome
    error_type: str | None
    child_loop_id: str | None
    child: Foreign | None
    inferred: bool
    arguments: str | None = None
    result: str | None = None


class Compaction(msgspec.Struct, frozen=True, gc=False):
    """Pairs a compaction's start and end; either can be missing."""

    started: e.CompactionStarted | None
    ended: e.CompactionEnded | None


Occurrence = Compaction | e.PrunApplied | e.RevertApplied | e.InputRejected | e.GenericEvent


class Timed(msgspec.Struct, frozen=True, gc=False):
    """A timed is something that happened within a turn or loop, at `time_ns`."""

    time_ns: int
    what: Occurrence


class TurnClosed(msgspec.Struct, frozen=True, gc=False):
    """Says that a turn has ended.

    Attributes:
        loop: the loop it belongs to.
        index: `TurnStart.turn_index`.
        repeat: 0, or the how-manieth turn of this loop whose index had been closed before.
        started_ns: `TurnStart.timestamp`, not before the loop's start.
        ended_ns: `TurnEnd.timestamp`, at least 1 ns after the start.
        triggered_by: as phi-core writes it, None where the turn was opened without a TurnStart.
        aborted: whether it was closed without a TurnEnd.
        inferred: whether a time is not the source's own.
        chat: the model call, None where there was none.
        tools: executions in the order they began, then answers that were never executed.
        happened: what else happened, in order.
        dropped: how many of `happened` a bound left out.
        message_count: MessageEnd events in the turn.
        lost: whether it is aborted because its process was lost.
    """

    loop: LoopStart
    index: int
    repeat: int
    started_ns: int
    ended_ns: int
    triggered_by: str | None
    aborted: bool
    inferred: bool
    chat: Chat | None
    tools: tuple[Tool, ...]
    happened: tuple[Timed, ...]
    dropped: int
    message_count: int
    lost: bool = False


class LoopClosed(msgspec.Struct, frozen=True, gc=False):
    """Says that a loop has ended.

    Attributes:
        loop: what its AgentStart said.
        ended_ns: the latest of `AgentEnd.timestamp` and its turns' ends; the last known time of an aborted loop.
        aborted: whether it was closed without an AgentEnd.
        inferred: whether `ended_ns` is not the source's own.
        rejected: whether an input filter refused the prompt (`AgentEnd.rejection`).
        input_refused: whether one refused a message while the loop ran (`InputRejected`).
        stop_limit: which limit stopped the loop, as a user message outside its turns says it, None for none.
        outcome: `AgentEnd.outcome`, None where the source does not say.
        error_type: `AgentEnd.error_type`, None where the source does not say.
        usage: `AgentEnd.usage`; the turns' sum for an aborted loop.
        tokens: the chats' sum, in one meaning for all providers.
        cost: the chats' sum, None where none of them has a known cost.
        turn_count: turns closed.
        tool_count: tools executed.
        last_turn: the last turn that says how the loop went, None for a loop without turns.
        happened: what happened in the loop outside its turns.
        dropped: how many of `happened` a bound left out.
        lost: whether it is aborted because its process was lost.
        prompt: the user's messages before the first answer, JSON each; () where contents are not told.
    """

    loop: LoopStart
    ended_ns: int
    aborted: bool
    inferred: bool
    rejected: bool
    input_refused: bool
    stop_limit: str | None
    outcome: str | None
    error_type: str | None
    usage: Usage
    tokens: TokenCount
    cost: Cost | None
    turn_count: int
    tool_count: int
    last_turn: TurnClosed | None
    happened: tuple[Timed, ...]
    dropped: int
    lost: bool = False
    prompt: tuple[str, ...] = ()


class SideCallMade(msgspec.Struct, frozen=True, gc=False):
    """Says that a model was called outside turns.

    Attributes:
        session_id: from `SideCall.session_id`, as its session was first spelled.
        loop: the loop it belongs to, None unless that is open.
        in_session: whether the session has begun here: only then is there a root.
        id: from `SideCall.id`.
        purpose: from `SideCall.kind`, None for none.
        started_ns: when it began.
        ended_ns: when the answer was there, at least 1 ns later.
        answer: what came back.
        inferred: whether a time is not the source's own.
    """

    session_id: str
    loop: LoopStart | None
    in_session: bool
    id: str
    purpose: str | None
    started_ns: int
    ended_ns: int
    answer: Answer
    inferred: bool


class GroupOpened(msgspec.Struct, frozen=True, gc=False):
    """Says what is known of a parallel evaluation that goes on: told anew with each branch that starts or ends.

    Attributes:
        session_id: from `ParallelLoopStart.session_id`, as its branches spell it.
        loop_ids: all branches announced.
        branches: the branches that started, in that order, as many as a bound lets through.
        started_ns: start of the first branch, the earliest known.
        ended_ns: the latest end of a branch so far, at least 1 ns after the start.
        before_ns: `started_ns` as it was told before, None for the first time.
        attributes: what its first branch was given for the session.
    """

    session_id: str
    loop_ids: tuple[str, ...]
    branches: tuple[LoopIdentity, ...]
    started_ns: int
    ended_ns: int
    before_ns: int | None
    attributes: Given = ()


class GroupClosed(msgspec.Struct, frozen=True, gc=False):
    """Says that a parallel evaluation has ended.

    Attributes:
        session_id: from `ParallelLoopStart.session_id`.
        loop_ids: all branches announced.
        branches: the branches that started, in that order.
        started_ns: start of the first branch.
        ended_ns: end of the last branch.
        selected: the branch that won; None where the process was lost before that was known.
        selected_index: `ParallelLoopEnd.selected_config_index`, None as `selected`.
        evaluation_usage: the judge's usage; its loop has a span of its own.
        lost: whether its process was lost before it ended.
        attributes: what its first branch was given for the session.
    """

    session_id: str
    loop_ids: tuple[str, ...]
    branches: tuple[LoopIdentity, ...]
    started_ns: int
    ended_ns: int
    selected: LoopIdentity | None
    selected_index: int | None
    evaluation_usage: Usage
    lost: bool = False
    attributes: Given = ()


class GroupGivenUp(msgspec.Struct, frozen=True, gc=False):
    """Says that a parallel evaluation is over without a winner; the fields are those of `GroupOpened`."""

    session_id: str
    loop_ids: tuple[str, ...]
    started_ns: int


GroupNotice = GroupOpened | GroupClosed | GroupGivenUp
Notice = SessionOpened | LoopOpened | TurnOpened | TurnClosed | LoopClosed | SideCallMade | GroupNotice
