"""Lines of Claude Code's transcripts, decoded leniently, and what of them means what."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from otel_phi.sources.agents.events import joined
from otel_phi.sources.agents.facts import TurnFacts
from otel_phi.sources.agents.reading import (
    anything,
    as_content,
    decoded,
    is_text,
    members,
    number,
    pieces,
    text,
    used,
)
from otel_phi.wire.messages import NULL, Usage

# What stands in the place of a prompt and is none, by its beginning.
_NO_PROMPT = ("<local-command-stdout>", "<local-command-stderr>", "<bash-stdout>", "<task-notification>")
INTERRUPTED = "[Request interrupted"
_AGENT_TOOLS = ("Task", "Agent")
_COMMAND = ("<command-name>", "<command-message>")
_STOPS = {"end_turn": "stop", "stop_sequence": "stop", "tool_use": "toolUse", "max_tokens": "length"}
# Claude Code writes a tool that the user did not allow as a failed one.
_REFUSED = (
    "The user doesn't want to proceed with this tool use",
    "The user doesn't want to take this action right now",
)
_API_ERRORS = {401: "auth_error", 403: "auth_error", 408: "timeout", 429: "rate_limited"}
_API_STATUS = re.compile(r"API Error: (\d{3})\b")


class Line(msgspec.Struct):
    """A line is a line; what a format's imitation may have in another type is `Any`."""

    type: Any = None
    subtype: Any = None
    uuid: Any = None
    sessionId: Any = None  # noqa: N815  (their names)
    session_id: Any = None
    promptId: Any = None  # noqa: N815
    agentId: Any = None  # noqa: N815
    timestamp: Any = None
    isSidechain: Any = None  # noqa: N815
    isMeta: Any = None  # noqa: N815
    isCompactSummary: Any = None  # noqa: N815
    isApiErrorMessage: Any = None  # noqa: N815
    errorStatus: Any = None  # noqa: N815
    forkedFrom: Any = None  # noqa: N815
    cwd: Any = None
    gitBranch: Any = None  # noqa: N815
    version: Any = None
    entrypoint: Any = None
    userType: Any = None  # noqa: N815
    attributionAgent: Any = None  # noqa: N815
    effort: Any = None
    hookErrors: Any = None  # noqa: N815
    compactMetadata: Any = None  # noqa: N815
    parentUuid: Any = None  # noqa: N815
    summary: Any = None
    aiTitle: Any = None  # noqa: N815
    customTitle: Any = None  # noqa: N815
    title: Any = None
    message: Raw = NULL
    toolUseResult: Raw = NULL  # noqa: N815


class Message(msgspec.Struct):
    """A message is the `message` of a line."""

    id: Any = None
    model: Any = None
    stop_reason: Any = None
    usage: Any = None
    content: Raw = NULL


class Block(msgspec.Struct):
    """A block is a block of a message's content."""

    type: Any = None
    id: Any = None
    name: Any = None
    tool_use_id: Any = None
    is_error: Any = None
    text: Any = None
    input: Raw = NULL
    content: Raw = NULL
    source: Any = None


_messages = msgspec.json.Decoder(Message)
_blocks = msgspec.json.Decoder(Block)


def message_of(line: Line) -> Message:
    """Returns a line's message, an empty one where there is none."""
    return decoded(_messages, line.message) or Message()


def blocks_of(content: Raw) -> list[tuple[Raw, Block]]:
    """Returns the blocks of a content with their JSON; those that are no objects left out."""
    found = ((raw, decoded(_blocks, raw)) for raw in pieces(content))
    return [(raw, block) for raw, block in found if block is not None]


def in_phis_form(raw: Raw, block: Block) -> bytes | None:
    """Returns a block of an answer or a prompt as phi writes it; None for what phi has no form for."""
    match block.type:
        case "text" | "thinking":
            return bytes(raw)
        case "tool_use":
            call = {"type": "toolCall", "id": text(block.id), "name": text(block.name), "arguments": block.input}
            return msgspec.json.encode(call)
        case "image":
            source = members(block.source)
            image = {"type": "image", "data": text(source.get("data")), "mimeType": text(source.get("media_type"))}
            return msgspec.json.encode(image)
        case _:
            return None


def content_of(raw: Raw) -> Raw:
    """Returns a prompt's or a tool result's content in phi's form."""
    if is_text(raw):
        return as_content(raw)
    found = (in_phis_form(piece, block) for piece, block in blocks_of(raw))
    return joined([block for block in found if block is not None])


def first_words(content: Raw, limit: int) -> str:
    """Returns the beginning of a content's first text."""
    if is_text(content):
        return text(anything(content))[:limit]
    return next((text(block.text)[:limit] for _, block in blocks_of(content) if block.type == "text"), "")


def is_prompt(words: str) -> bool:
    """Says whether a user's line that begins so is a prompt."""
    return not words.startswith((*_NO_PROMPT, INTERRUPTED))


def is_command(words: str) -> bool:
    """Says whether a prompt is a slash command."""
    return words.startswith(_COMMAND)


def usage_of(message: Message, output: int, earlier: int | None, *, partial: bool) -> Usage:
    """Returns the usage of a call by its last line.

    Args:
        message: of that line.
        output: the largest number of output tokens on any of its lines.
        earlier: output tokens that a turn before has told of it, together with its input; None where none has.
        partial: whether the numbers are a lower bound.
    """
    given = members(message.usage)
    if earlier is not None:
        return used(Usage(output=max(output - earlier, 0), cached="out"))
    nested = members(given.get("cache_creation"))
    written = number(given.get("cache_creation_input_tokens")) or sum(number(value) for value in nested.values())
    return used(
        Usage(
            input=number(given.get("input_tokens")),
            output=output,
            cache_read=number(given.get("cache_read_input_tokens")),
            cache_write=written,
            cached="out",
            partial=partial or UNSET,
        )
    )


def stop_of(stop_reason: Any) -> str:
    """Returns a stop reason in phi's words, "" where the line has none."""
    return _STOPS.get(text(stop_reason), text(stop_reason))


def provider_of(model: str) -> str:
    """Returns the provider that a model's spelling tells of; nothing else in a transcript does."""
    if model.startswith(("us.anthropic.", "eu.anthropic.", "apac.anthropic.", "global.anthropic.", "anthropic.")):
        return "aws.bedrock"
    if "@2" in model:
        return "gcp.vertex_ai"
    return "anthropic" if model else ""


def tool_error(words: str) -> str:
    """Returns the kind of a failed tool's error by its beginning, "" for one like any other."""
    return "permission_denied" if words.startswith(_REFUSED) else ""


def api_error(line: Line, words: str) -> str:
    """Returns the kind of a failed attempt."""
    found = _API_STATUS.match(words)
    status = number(line.errorStatus) or (int(found[1]) if found else 0)
    return _API_ERRORS.get(status, "api_error")


def tool_duration_ns(details: dict[str, Any]) -> int:
    """Returns how long a tool says that it took, 0 where it does not."""
    for key, unit in (("durationMs", 1_000_000), ("totalDurationMs", 1_000_000), ("durationSeconds", 1_000_000_000)):
        value = details.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 2**33:
            return int(value * unit)
    return 0


def call_for(turn: TurnFacts, prompt: str) -> str | None:
    """Returns the call of a turn that started the sub-agent with a prompt; the only one that starts any where none has it."""
    calls = [tool for tool in turn.tools.values() if tool.name in _AGENT_TOOLS]
    same = [tool.call_id for tool in calls if prompt and members(anything(tool.args)).get("prompt") == prompt]
    return same[0] if same else calls[0].call_id if len(calls) == 1 else None


def blank(block: Block) -> bool:
    """Says whether a text block holds nothing but white space."""
    return not text(block.text).strip()
