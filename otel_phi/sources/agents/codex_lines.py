"""Lines of Codex rollouts, decoded leniently, and what of them means what."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import UNSET, Raw

from otel_phi.sources.agents.reading import anything, as_content, is_text, members, number, said, text, text_block, used
from otel_phi.wire.messages import NULL, Usage
from otel_phi.wire.parts import Source, Vcs

NAME = "codex"
CALLS = ("function_call", "custom_tool_call", "local_shell_call", "tool_search_call")
OUTPUTS = ("function_call_output", "custom_tool_call_output", "local_shell_call_output", "tool_search_output")
SELF_CONTAINED = ("web_search_call", "image_generation_call")
# Tools whose call has no name of its own.
_NAMES = {
    "local_shell_call": "local_shell",
    "tool_search_call": "tool_search",
    "web_search_call": "web_search",
    "image_generation_call": "image_generation",
}
# What Codex says to the model in the user's name.
_CONTEXT = (
    "<environment_context>",
    "<user_instructions>",
    "<INSTRUCTIONS>",
    "# AGENTS.md",
    "<permissions",
    "<turn_aborted>",
    "<user_shell_command>",
    "<skill",
    "<subagent_notification>",
)
_EXIT_CODE = re.compile(r"^(?:Exit code:|Process exited with code) (-?\d+)", re.MULTILINE)
_EXIT_CODE_WITHIN = 512  # it stands in the lines above the output
_UUID = rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_CHILD = re.compile(
    rb'\\?"(?:agent_id|thread_id|agent_thread_id|new_thread_id|receiver_thread_id)\\?"\s*:\s*\\?"(' + _UUID + rb')\\?"'
)
MAX_TEXT = 256  # of what a state keeps: a path, a branch, a name


class Line(msgspec.Struct):
    """A line is a line; the oldest files have items without the envelope."""

    type: Any = None
    timestamp: Any = None
    ordinal: Any = None
    payload: Raw = NULL
    id: Any = None
    instructions: Any = UNSET


class Payload(msgspec.Struct):
    """A payload is the payload of a line of any type."""

    type: Any = None
    role: Any = None
    id: Any = None
    name: Any = None
    call_id: Any = None
    status: Any = None
    summary: Any = None
    message: Any = None
    text: Any = None
    model: Any = None
    effort: Any = None
    turn_id: Any = None
    session_id: Any = None
    cwd: Any = None
    originator: Any = None
    cli_version: Any = None
    source: Any = None
    model_provider: Any = None
    git: Any = None
    forked_from_id: Any = None
    parent_thread_id: Any = None
    timestamp: Any = None
    history_base: Any = None
    subagent_history_start_ordinal: Any = None
    info: Any = None
    usage: Any = None
    response_id: Any = None
    compaction_response_id: Any = None
    item: Any = None
    num_turns: Any = None
    time_to_first_token_ms: Any = None
    content_item_kinds: Any = None
    arguments: Raw = NULL
    input: Raw = NULL
    action: Raw = NULL
    output: Raw = NULL
    content: Raw = NULL


def texts_of(content: Raw) -> list[str]:
    """Returns the texts of a message's content."""
    if is_text(content):
        return [text(anything(content))]
    found = anything(content)
    return [text(members(block).get("text")) for block in found] if isinstance(found, list) else []


def message_blocks(content: Raw) -> list[bytes]:
    """Returns an answer's content in phi's form."""
    return [text_block(words) for words in texts_of(content) if words]


def thinking_blocks(payload: Payload) -> list[bytes]:
    """Returns the summary of a reasoning in phi's form; the reasoning itself is encrypted."""
    parts = payload.summary if isinstance(payload.summary, list) else []
    words = [text(members(part).get("text")) for part in parts]
    return [msgspec.json.encode({"type": "thinking", "thinking": one}) for one in words if one]


def call_block(call_id: str, name: str, args: Raw) -> bytes:
    """Returns a tool call in phi's form."""
    return msgspec.json.encode({"type": "toolCall", "id": call_id, "name": name, "arguments": args})


def is_context(payload: Payload) -> bool:
    """Says whether a user's message is one that Codex wrote."""
    kinds = payload.content_item_kinds
    if isinstance(kinds, list) and kinds and "user" not in kinds:
        return True
    return next((words for words in texts_of(payload.content) if words), "").startswith(_CONTEXT)


def name_of(payload: Payload) -> str:
    """Returns the name of a called tool."""
    return text(payload.name) or _NAMES.get(text(payload.type), text(payload.type))


def args_of(payload: Payload) -> Raw:
    """Returns a tool's arguments as JSON; a text that holds JSON is that JSON."""
    raw = next((raw for raw in (payload.arguments, payload.input, payload.action) if raw != NULL), NULL)
    if is_text(raw):
        inner = text(anything(raw))
        if inner[:1] in ("{", "[") and anything(inner.encode("utf-8", "surrogatepass")) is not None:
            return Raw(inner.encode())
    return raw


class Outcome(msgspec.Struct):
    """An outcome is what is known of a tool's end.

    Attributes:
        failed: whether it failed, None where nothing tells.
        length_ns: how long it took, 0 for unknown.
    """

    failed: bool | None = None
    length_ns: int = 0


def outcome_of_item(item: dict[str, Any]) -> Outcome:
    """Returns what a completed item says of its tool."""
    code = item.get("exit_code")
    failed = item.get("status") in ("failed", "declined") or (isinstance(code, int) and code != 0)
    known = "status" in item or "exit_code" in item
    return Outcome(failed if known else None, number(item.get("duration_ms")) * 1_000_000)


def outcome_of_output(output: Raw) -> Outcome:
    """Returns what a tool's output says of it: an exit code above it, or within its JSON."""
    found = anything(output)
    if isinstance(found, dict):
        success = found.get("success")
        return Outcome(None if not isinstance(success, bool) else not success)
    words = text(found)
    if words.startswith("{"):
        code = members(members(anything(words.encode("utf-8", "surrogatepass"))).get("metadata")).get("exit_code")
        return Outcome(code != 0 if isinstance(code, int) else None)
    code_line = _EXIT_CODE.search(words[:_EXIT_CODE_WITHIN])
    return Outcome(None if code_line is None else int(code_line[1]) != 0)


def content_of_output(output: Raw) -> Raw:
    """Returns a tool's output as content in phi's form."""
    found = anything(output)
    if isinstance(found, dict):
        return said(text(found.get("content")) or text(found.get("output")))
    if isinstance(found, list):
        return said("\n".join(text(members(one).get("text")) for one in found))
    return as_content(output)


def usage_of(given: Any) -> Usage:
    """Returns a call's usage; input counts cached tokens, output counts reasoning."""
    found = members(given)
    spent, made = number(found.get("input_tokens")), number(found.get("output_tokens"))
    return used(
        Usage(
            input=spent,
            output=made,
            reasoning=min(number(found.get("reasoning_output_tokens")), made),
            cache_read=number(found.get("cached_input_tokens")),
            cache_write=number(found.get("cache_write_input_tokens")) or number(found.get("cache_write_tokens")),
            total_tokens=spent + made,
            cached="in",
        )
    )


def difference(one: Any, other: dict[str, int]) -> dict[str, int]:
    """Returns by how much each number of a total has grown."""
    return {key: max(number(value) - other.get(key, 0), 0) for key, value in members(one).items()}


def source_of(meta: Payload, title: str) -> Source:
    """Returns the source of a rollout's loops."""
    git = members(meta.git)
    vcs = Vcs(
        branch=text(git.get("branch"))[:MAX_TEXT] or UNSET,
        revision=text(git.get("commit_hash"))[:MAX_TEXT] or UNSET,
        repository_url=without_credentials(text(git.get("repository_url")))[:MAX_TEXT] or UNSET,
    )
    entrypoint = text(meta.source) or text(meta.originator)
    return Source(
        agent=NAME,
        version=text(meta.cli_version)[:MAX_TEXT] or UNSET,
        entrypoint=entrypoint[:MAX_TEXT] or UNSET,
        cwd=text(meta.cwd)[:MAX_TEXT] or UNSET,
        title=title or UNSET,
        vcs=vcs if vcs != Vcs() else UNSET,
    )


def without_credentials(url: str) -> str:
    """Returns a URL without user and password; "" for one that cannot be read."""
    try:
        parts = urlsplit(url)
        host = f"{parts.hostname or ''}" + (f":{parts.port}" if parts.port else "")
    except ValueError:
        return ""
    return urlunsplit((parts.scheme, host, parts.path, "", "")) if parts.netloc else url


def child_of(line: bytes) -> tuple[str, str] | None:
    """Returns the thread that a tool's output or a sub-agent's activity names, and the call; None for any other line."""
    if b"function_call_output" not in line and b"SubAgentActivity" not in line:
        return None
    found = _CHILD.search(line)
    if found is None:
        return None
    payload = members(members(anything(line)).get("payload"))
    item = members(payload.get("item"))
    call_id = text(payload.get("call_id")) or text(item.get("call_id")) or text(item.get("id"))
    return (found[1].decode(), call_id) if call_id else None


def joined_texts(content: Raw) -> Raw:
    """Returns the texts of a content as one, JSON."""
    return Raw(msgspec.json.encode("\n".join(texts_of(content))))
