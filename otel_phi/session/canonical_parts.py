"""What phi-core accepts inside messages and requests: strict shapes, which decode as serde does and encode as serde prints.

Rule 1: a field without a default is required; unknown fields are dropped; a default is left out when printed (`omit_defaults`)
        exactly where serde skips it.
Rule 2: these shapes are of this room alone; everyone else sees `wire.messages` and `wire.parts`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, field

from otel_phi.wire.messages import NULL, ExtensionMessage
from otel_phi.wire.parts import ResponseFormat

U64 = Annotated[int, Meta(ge=0)]  # an upper bound of 2**64 - 1 is more than msgspec can check
U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
StopReason = Literal[
    "stop",
    "length",
    "toolUse",
    "error",
    "aborted",
    "maxTurns",
    "userStop",
    "handoff",
    "guardRail",
    "contextCompacted",
    "paused",
]


class _Shape(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Text(_Shape, frozen=True, tag_field="type", tag="text"):
    """A text is a block of text."""

    text: str


class Image(_Shape, frozen=True, tag_field="type", tag="image", rename="camel"):
    """An image stands as base64."""

    data: str
    mime_type: str


class Thinking(_Shape, frozen=True, tag_field="type", tag="thinking", omit_defaults=True):
    """A thinking block is what a model thought; the signature is left out where there is none."""

    thinking: str
    signature: str | None = None


class ToolCall(_Shape, frozen=True, tag_field="type", tag="toolCall"):
    """A tool call is a model's call of a tool; `arguments` is any JSON, null included, but must be there."""

    id: str
    name: str
    arguments: Any


Block = Text | Image | Thinking | ToolCall


class StrictUsage(_Shape, frozen=True):
    """Counts tokens: two required, four that older versions did not write."""

    input: U64
    output: U64
    reasoning: U64 = 0
    cache_read: U64 = 0
    cache_write: U64 = 0
    total_tokens: U64 = 0


class _Marked(_Shape, frozen=True, kw_only=True, tag_field="role", rename="camel", omit_defaults=True):
    # The marks are read one by one: a malformed one is dropped, and costs nothing else.
    turn_id: Raw = NULL
    node_id: Raw = NULL
    parent_id: Raw = NULL
    tags: Raw = NULL
    provenance_hint: Raw = NULL


class StrictUser(_Marked, frozen=True, kw_only=True, tag="user"):
    """A user message, every field as the canonical form has it."""

    content: list[Block]
    timestamp: U64


class StrictAssistant(_Marked, frozen=True, kw_only=True, tag="assistant"):
    """A model's message, every field as the canonical form has it."""

    content: list[Block]
    stop_reason: StopReason
    model: str
    provider: str
    usage: StrictUsage
    timestamp: U64
    error_message: str | None = field(default=None, name="error_message")


class StrictToolResult(_Marked, frozen=True, kw_only=True, tag="toolResult"):
    """A tool's message, every field as the canonical form has it."""

    tool_call_id: str
    tool_name: str
    content: list[Block]
    is_error: bool
    timestamp: U64


StrictMessage = StrictUser | StrictAssistant | StrictToolResult


class StrictExtension(_Shape, frozen=True):
    """An extension is whatever is no message for a model; the role can be any."""

    role: str
    kind: str
    data: Any


class StrictTurnId(_Shape, frozen=True, rename="camel"):
    """Names a turn."""

    loop_id: str
    turn_index: U32


class NodeTag(_Shape, frozen=True):
    """A node tag is what a revert left on the node it went back to."""

    kind: Literal["lesson", "finding", "outcome", "checkpoint"]
    text: str
    created_at_turn: U32
    abandoned_node_ids: list[U64]


class _Provenance(_Shape, frozen=True, tag_field="kind"):
    pass


class SystemPrompt(_Provenance, frozen=True, tag="system-prompt"):
    """Says that a message is the system prompt."""


class IdentityBlock(_Provenance, frozen=True, tag="identity-block"):
    """Says which layer of the agent's identity a message is."""

    name: str
    order: U32


class MemoryTier(_Provenance, frozen=True, tag="memory-tier"):
    """Says which record of which memory a message is."""

    tier: str
    record_id: str


class LoopTurn(_Provenance, frozen=True, tag="loop-turn"):
    """Says where in the loop a message came up."""

    turn_index: U64
    role: Literal["user-message", "assistant-response", "tool-call-request", "tool-call-result"]
    message_index: U64


class Steering(_Provenance, frozen=True, tag="steering"):
    """Says that a message was put in while the loop ran."""


class FollowUp(_Provenance, frozen=True, tag="follow-up"):
    """Says that a message waited for the loop's end."""


class Unknown(_Provenance, frozen=True, tag="unknown"):
    """Says that nobody said."""


Provenance = SystemPrompt | IdentityBlock | MemoryTier | LoopTurn | Steering | FollowUp | Unknown


class Tool(_Shape, frozen=True):
    """A tool as a model sees it; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: Any


class Fragment(_Shape, frozen=True):
    """A fragment is a streamed piece of text, thinking or arguments."""

    delta: str


class StrictTextFormat(_Shape, frozen=True, tag_field="kind", tag="text"):
    """Asks for text."""


class StrictObjectFormat(_Shape, frozen=True, tag_field="kind", tag="json-object"):
    """Asks for any JSON."""


class StrictSchemaFormat(_Shape, frozen=True, tag_field="kind", tag="json-schema"):
    """Asks for JSON of one schema."""

    schema: Any
    name: str
    strict: bool


StrictFormat = StrictTextFormat | StrictObjectFormat | StrictSchemaFormat


class SchemaFormat(ResponseFormat, frozen=True, kw_only=True):
    """A schema format is the form of answer `json-schema` with all it says; `wire.parts` reads its kind alone.

    Attributes:
        schema: the JSON schema.
        name: of the schema.
        strict: whether the model must keep to it.
    """

    schema: Raw = NULL
    name: str = ""
    strict: bool = False


class ForeignMessage(ExtensionMessage, frozen=True, kw_only=True):
    """A foreign message is an extension message under a role of the application's own, `app_role`, instead of `extension`."""

    app_role: str = "extension"
