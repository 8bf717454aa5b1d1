"""The 19 variants of phi-core's `AgentEvent`, and `SideCall`, tagged by `type`, as frozen values.

Every field that can be missing has a default; what nobody asked for stays undecoded (`msgspec.Raw`). Timed events carry
`timestamp`, an `Instant` (nanoseconds since the epoch), None where the writer left it out. Events about messages and
tools have no time of their own in phi-core. Source of every field: phi-core's `types/event.rs`, 0.10 to 0.15, but for those
that are UNSET where nobody gave them: sources and policy add them, phi-core never does.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, UnsetType

from otel_phi.wire.messages import NULL, Message, Usage
from otel_phi.wire.parts import ConfigSnapshot, ContinuationKind, RequestPayload, Source, ToolResult
from otel_phi.wire.times import Instant


class _Event(
    msgspec.Struct,
    frozen=True,
    tag_field="type",
    tag=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,  # `decode` leaves out what is refused for it, and can tell
):
    pass


class AgentStart(_Event, frozen=True, tag=True):
    """Opens a loop: one run of the agent, from a prompt or a continuation to its end.

    Attributes:
        agent_id: the agent instance.
        session_id: the session the loop belongs to.
        loop_id: the loop; phi-core can use one id more than once in a session.
        parent_loop_id: the loop this one continues, or that spawned it.
        continuation_kind: how it continues its parent; `SubAgent` for one that a tool of the same session ran.
        timestamp: start of the loop.
        metadata: any JSON; phi-core itself writes null.
        config_snapshot: the model configuration; missing for a compaction pass.
        parent_session_id: the session of `parent_loop_id`, where that id does not tell. Not phi-core's.
        parent_tool_call_id: the tool call of the parent loop that ran this one. Not phi-core's.
        agent_name: low-cardinality name of the agent that runs the loop. Not phi-core's.
        attributes: what else its span says: texts, numbers and booleans. Not phi-core's.
        source: the agent whose records the loop was read from. Not phi-core's.
        session_attributes: what else every span of its session says, likewise. Not phi-core's.
        captured: whether contents are told from here on: a session's root waits for its first prompt then. Policy alone says it.
    """

    session_id: str
    loop_id: str
    timestamp: Instant
    agent_id: str = ""
    parent_loop_id: str | None = None
    continuation_kind: ContinuationKind = "Initial"
    metadata: Raw = NULL
    config_snapshot: ConfigSnapshot | None = None
    parent_session_id: str | UnsetType = UNSET
    parent_tool_call_id: str | UnsetType = UNSET
    agent_name: str | UnsetType = UNSET
    attributes: dict[str, str | bool | int | float] | UnsetType = UNSET
    source: Source | UnsetType = UNSET
    session_attributes: dict[str, str | bool | int | float] | UnsetType = UNSET
    captured: bool | UnsetType = UNSET


class AgentEnd(_Event, frozen=True, tag=True):
    """Closes a loop.

    Attributes:
        loop_id: the loop.
        messages: JSON list of what the loop added to the context.
        usage: tokens of the loop.
        timestamp: end of the loop.
        rejection: why an input filter refused the prompt, None where none did; "" is a rejection too.
        outcome: how it went: `ok`, `cancelled` or `error`. Not phi-core's: a source that knows says it.
        error_type: what went wrong, in one word. Not phi-core's either.
    """

    loop_id: str
    messages: Raw = NULL
    usage: Usage = Usage()
    timestamp: Instant | None = None
    rejection: str | None = None
    outcome: str | UnsetType = UNSET
    error_type: str | UnsetType = UNSET


class TurnStart(_Event, frozen=True, tag=True):
    """Opens a turn: one model call with the tools it asks for. `triggered_by`: `User`, `SubAgent`, `Continuation`, `Branch`."""

    loop_id: str
    turn_index: int = 0
    timestamp: Instant | None = None
    triggered_by: str | None = None


class TurnRequest(_Event, frozen=True, tag=True):
    """Says what is sent to the model, once a turn, retries included (phi-core 0.9 and newer)."""

    loop_id: str
    turn_index: int = 0
    payload: RequestPayload | None = None
    timestamp: Instant | None = None


class TurnEnd(_Event, frozen=True, tag=True):
    """Closes a turn, after all its tools. `tool_results` is a JSON list of tool results in call order."""

    loop_id: str
    message: Message | None = None
    usage: Usage = Usage()
    timestamp: Instant | None = None
    tool_results: Raw = NULL


class MessageStart(_Event, frozen=True, tag=True):
    """Begins a message; for an assistant's only a placeholder."""

    loop_id: str
    message: Message | None = None


class MessageUpdate(_Event, frozen=True, tag=True):
    """A message update is a streaming delta; its `message` is an empty placeholder (JSON), its `delta` JSON too."""

    loop_id: str
    message: Raw = NULL
    delta: Raw = NULL


class MessageEnd(_Event, frozen=True, tag=True):
    """Ends a message; the message is whole."""

    loop_id: str
    message: Message | None = None


class ToolExecutionStart(_Event, frozen=True, tag=True):
    """Begins a tool's execution.

    Attributes:
        loop_id: the loop.
        tool_call_id: the model's call.
        tool_name: the tool.
        args: JSON, null for a tool skipped by steering.
        timestamp: when it began. Not phi-core's: a source that knows says it.
    """

    loop_id: str
    tool_call_id: str = ""
    tool_name: str = ""
    args: Raw = NULL
    timestamp: Instant | UnsetType = UNSET


class ToolExecutionUpdate(_Event, frozen=True, tag=True):
    """A tool execution update is a partial result of a tool, JSON."""

    loop_id: str
    tool_call_id: str = ""
    tool_name: str = ""
    partial_result: Raw = NULL


class ToolExecutionEnd(_Event, frozen=True, tag=True):
    """Ends a tool's execution.

    Attributes:
        loop_id: the loop.
        tool_call_id: the model's call.
        tool_name: the tool.
        result: what it returned.
        is_error: whether it failed.
        child_loop_id: the loop it ran as a sub-agent, None for none.
        error_type: how it failed, in one word. Not phi-core's: a source says it, or policy derives it.
        child_session_id: the session of `child_loop_id`, where that id does not tell. Not phi-core's.
        outcome: `detached` for a tool that went on when its turn was over. Not phi-core's.
        timestamp: when it ended. Not phi-core's: a source that knows says it.
    """

    loop_id: str
    tool_call_id: str = ""
    tool_name: str = ""
    result: ToolResult | None = None
    is_error: bool = False
    child_loop_id: str | None = None
    error_type: str | UnsetType = UNSET
    child_session_id: str | UnsetType = UNSET
    outcome: str | UnsetType = UNSET
    timestamp: Instant | UnsetType = UNSET


class ProgressMessage(_Event, frozen=True, tag=True):
    """A progress message is a tool's word on its progress; `loop_id` can be empty."""

    loop_id: str = ""
    tool_call_id: str = ""
    tool_name: str = ""
    text: str = ""


class InputRejected(_Event, frozen=True, tag=True):
    """Says that an input filter refused a message."""

    loop_id: str
    reason: str = ""


class ParallelLoopStart(_Event, frozen=True, tag=True):
    """Announces the loops of a parallel evaluation, before any of them starts."""

    session_id: str
    loop_ids: tuple[str, ...] = ()
    timestamp: Instant | None = None


class ParallelLoopEnd(_Event, frozen=True, tag=True):
    """Says which branch won, after all have ended; `evaluation_usage` is the judge's."""

    session_id: str
    selected_loop_id: str = ""
    selected_config_index: int = 0
    evaluation_usage: Usage = Usage()
    timestamp: Instant | None = None


class CompactionStarted(_Event, frozen=True, tag=True):
    """Begins a compaction of the context; counts are of messages and estimated tokens."""

    loop_id: str
    estimated_tokens: int = 0
    message_count: int = 0
    timestamp: Instant | None = None


class CompactionEnded(_Event, frozen=True, tag=True):
    """Ends a compaction, with what it saved."""

    loop_id: str
    messages_before: int = 0
    messages_after: int = 0
    estimated_tokens_before: int = 0
    estimated_tokens_after: int = 0
    loops_compacted: int = 0
    timestamp: Instant | None = None


class PrunApplied(_Event, frozen=True, tag=True):
    """Says that the model dropped messages from its own context; `memo` is what it kept of them."""

    loop_id: str
    tokens_removed: int = 0
    messages_removed: int = 0
    memo: str | None = None
    pruned_timestamps: tuple[int, ...] = ()
    timestamp: Instant | None = None


class RevertApplied(_Event, frozen=True, tag=True):
    """Says that the model went back to an earlier node, or tried to (`applied`)."""

    loop_id: str
    category: str = ""
    target: int | None = None
    abandoned_node_ids: tuple[int, ...] = ()
    summary: str | None = None
    applied: bool = False
    reason: str | None = None
    timestamp: Instant | None = None


class SideCall(_Event, frozen=True, tag=True):
    """A side call is a model call outside turns, told when it is over: a title, a compaction, one beside the turn's own. Not phi-core's.

    Attributes:
        id: tells the calls of a session apart.
        session_id: the session it belongs to.
        loop_id: the loop it belongs to, None for none.
        model: the model that answered.
        provider: the provider.
        usage: tokens of this call.
        start: when it began.
        end: when the answer was there.
        kind: what for, in one word, such as `title`; "" for one that nobody named.
        stop_reason: as on an assistant message.
        error_type: what went wrong, in one word.
        first_token_ms: as on an assistant message.
        streamed: as on an assistant message.
    """

    id: str
    session_id: str
    start: Instant
    loop_id: str | None = None
    model: str = ""
    provider: str = ""
    usage: Usage = Usage()
    end: Instant | None = None
    kind: str = ""
    stop_reason: str = "stop"
    error_type: str | UnsetType = UNSET
    first_token_ms: int | UnsetType = UNSET
    streamed: bool | UnsetType = UNSET


class GenericEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Keeps an event that this version does not know, whole.

    Attributes:
        type: its `type`.
        loop_id: its `loop_id`, None where it has none.
        timestamp: its time, None where it has none that can be read.
        raw: the JSON object.
    """

    type: str
    loop_id: str | None = None
    timestamp: Instant | None = None
    raw: Raw = NULL


KnownEvent = (
    AgentStart
    | AgentEnd
    | TurnStart
    | TurnRequest
    | TurnEnd
    | MessageStart
    | MessageUpdate
    | MessageEnd
    | ToolExecutionStart
    | ToolExecutionUpdate
    | ToolExecutionEnd
    | ProgressMessage
    | InputRejected
    | ParallelLoopStart
    | ParallelLoopEnd
    | CompactionStarted
    | CompactionEnded
    | PrunApplied
    | RevertApplied
    | SideCall
)
AgentEvent = KnownEvent | GenericEvent
