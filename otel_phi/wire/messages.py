"""Messages inside events: the camelCase dialect (`stopReason`, `toolCallId`), tagged by `role`.

Contents stay undecoded bytes (`msgspec.Raw`) until someone asks: they are most of the bytes and, with content capture
off, nobody does. `error_message` and everything inside `usage` are snake_case on the wire, unlike the rest; so are the words that
phi-core does not write, `error_type` and `stop_limit`: who leaves them out writes phi-core's own bytes.

A key that has no field here is refused: `spellings` reads it in its other spelling, or leaves it out and can tell.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, UnsetType, field

from otel_phi.wire.foreign import pass_on

NULL = Raw(b"null")
MILLISECOND_NS = 1_000_000


class Usage(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """Counts the tokens of one model call as the provider's adapter in phi-core filled them in.

    Attributes:
        input: prompt tokens; whether cached ones are in it depends on the provider (see `wire.usage`).
        output: completion tokens.
        reasoning: reasoning tokens; part of `output` for most providers.
        cache_read: prompt tokens read from a cache.
        cache_write: prompt tokens written to a cache.
        total_tokens: the provider's own total, 0 where it gives none (Anthropic).
        cached: whether cached tokens are part of `input` (`in`) or stand beside it (`out`). Not phi-core's: a source that
            knows says it.
        partial: true where the answer was left early and the counts are not the last. Not phi-core's.
    """

    input: int = 0
    output: int = 0
    reasoning: int = 0
    cache_read: int = 0
    cache_write: int = 0
    total_tokens: int = 0
    cached: str | UnsetType = UNSET
    partial: bool | UnsetType = UNSET


NO_USAGE = Usage()


class TurnId(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """Names a turn: the loop's id and the turn's index in it, from 0."""

    loop_id: str = ""
    turn_index: int = 0


class _Message(
    msgspec.Struct,
    frozen=True,
    tag_field="role",
    rename="camel",
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
):
    content: Raw = NULL
    timestamp: int = 0  # milliseconds since the epoch, floored by phi-core
    turn_id: TurnId | None = None
    node_id: int | None = None
    parent_id: int | None = None
    tags: Raw = NULL
    provenance_hint: Raw = NULL

    @property
    def timestamp_ns(self) -> int:
        """Nanoseconds since the epoch; 0 where the message has no time."""
        return self.timestamp * MILLISECOND_NS


class UserMessage(_Message, frozen=True, tag="user"):
    """A user message is what the user, or phi-core in the user's name, said.

    Attributes:
        stop_limit: the limit that stopped the loop, where the message says that one did: `turns`, `tokens`, `duration`,
            `cost`, or `_other` for one we do not know. Not phi-core's: policy derives it.
    """

    stop_limit: str | UnsetType = field(default=UNSET, name="stop_limit")


class AssistantMessage(_Message, frozen=True, tag="assistant"):
    """An assistant message is a model's answer; `timestamp` is when the provider's stream was done.

    Attributes:
        stop_reason: `stop`, `length`, `toolUse`, `error`, ... as phi-core writes it.
        model: the model that answered.
        provider: the provider; `""` or `"unknown"` where the call failed.
        usage: tokens of this call.
        error_message: the provider's error, None where the call went well.
        error_type: what went wrong, in one word. Not phi-core's: a source says it, or policy derives it.
        first_token_ms: milliseconds from the request to the first token. Not phi-core's: its stream cannot tell.
        streamed: whether the answer came in pieces; UNSET where nobody says it. Not phi-core's.
        cost_usd: what the call cost, as the source says it. Not phi-core's.
    """

    stop_reason: str = "stop"
    model: str = ""
    provider: str = ""
    usage: Usage = Usage()
    error_message: str | None = field(default=None, name="error_message")
    error_type: str | UnsetType = field(default=UNSET, name="error_type")
    first_token_ms: int | UnsetType = field(default=UNSET, name="first_token_ms")
    streamed: bool | UnsetType = field(default=UNSET, name="streamed")
    cost_usd: float | UnsetType = field(default=UNSET, name="cost_usd")


class ToolResultMessage(_Message, frozen=True, tag="toolResult"):
    """A tool result message is a tool's answer as the model gets it; `timestamp` is when the tool was done.

    Attributes:
        tool_call_id: the call it answers.
        tool_name: the tool.
        is_error: whether the tool failed.
        error_type: how it failed, in one word. Not phi-core's: a source says it, or policy derives it.
    """

    tool_call_id: str = ""
    tool_name: str = ""
    is_error: bool = False
    error_type: str | UnsetType = field(default=UNSET, name="error_type")


class ExtensionMessage(
    msgspec.Struct,
    frozen=True,
    tag_field="role",
    tag="extension",
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
):
    """An extension message is an application's own; it has no time and never reaches a model."""

    kind: str = ""
    data: Raw = NULL


Message = UserMessage | AssistantMessage | ToolResultMessage | ExtensionMessage

_tool_results = msgspec.json.Decoder(list[ToolResultMessage])
_texts = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_text = msgspec.json.Decoder(str)


def decode_tool_results(raw: Raw | bytes) -> list[ToolResultMessage]:
    """Decodes `TurnEnd.tool_results`; gives an empty list where they are not a list of tool results."""
    if raw == NULL:  # as an agent writes it that has none
        return []
    try:
        return _tool_results.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        pass_on(error)
        return _otherwise_spelled(raw, error)


def _otherwise_spelled(raw: Raw | bytes, error: Exception) -> list[ToolResultMessage]:
    from otel_phi.wire.spellings import decode_respelled  # what phi-core writes never needs it

    try:
        found: list[ToolResultMessage] = decode_respelled(_tool_results, raw, list[ToolResultMessage], error)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as again:
        pass_on(again)
        return []
    return found


def first_text(content: Raw, limit: int) -> str:
    """Returns the first text block of a message's content, cut to `limit` characters; "" where there is none.

    A content that is a bare string, as pi writes it, is one text block.
    """
    try:
        if bytes(memoryview(content)[:1]) == b'"':
            return _text.decode(content)[:limit]
        for block in _texts.decode(content):
            if "text" in block:
                return _text.decode(block["text"])[:limit]
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        pass_on(error)
        return ""
    return ""
