"""What opencode's parts hold, in phi's form: what the user said, what the model said, what the tools were asked and answered."""

from __future__ import annotations

import re

import msgspec

from otel_phi.sources.agents.facts import ToolFacts
from otel_phi.sources.agents.opencode_lines import Part, Parts, State, began_ns, ended_ns, state_of
from otel_phi.sources.agents.reading import MAX_ERROR_TEXT, anything, as_content, members, text, text_block

_IMAGE = re.compile(r"data:(image/[^;,]{1,64});base64,")
_REFUSED = ("The user rejected permission", "The user has specified a rule")
_STOPPED = "Tool execution aborted"
_encode = msgspec.json.encode


def said_blocks(parts: Parts) -> list[bytes]:
    """Returns what the user said, as content blocks in phi's form."""
    found = (_said_block(part) for part in parts if part.synthetic is not True)
    return [block for block in found if block]


def _said_block(part: Part) -> bytes:
    if part.type == "text" and part.ignored is not True:
        return text_block(text(part.text))
    if part.type == "subtask":
        return text_block(text(part.prompt))
    if part.type != "file":
        return b""
    image = _IMAGE.match(text(part.url)[:128])
    if image is None:
        return text_block(f"[{text(part.mime) or 'file'}: {text(part.filename)}]")
    return _encode({"type": "image", "data": text(part.url)[image.end() :], "mimeType": image[1]})


def answer_blocks(part: Part) -> list[bytes]:
    """Returns what the model said, as content blocks in phi's form; none for other parts."""
    words = text(part.text)
    if part.type == "text" and words:
        return [text_block(words)]
    if part.type == "reasoning" and words:
        return [_encode({"type": "thinking", "thinking": words})]
    return []


def tool_of(part: Part, call_id: str) -> ToolFacts:
    """Returns a tool call, its start 0 where it had none, its end 0 where it had none."""
    state = state_of(part)
    tool = ToolFacts(call_id=call_id, name=text(part.tool), started_ns=began_ns(state), args=state.input)
    if state.status in ("completed", "error"):
        tool.ended_ns = max(ended_ns(state), began_ns(state), 1)
        tool.content = as_content(state.error if state.status == "error" else state.output)
        if state.status == "error":
            tool.is_error, tool.error_type = True, _tool_error(state)
    return tool


def _tool_error(state: State) -> str:
    """Returns the kind of a failed tool's error, "" for one like any other."""
    words = text(anything(state.error))[:MAX_ERROR_TEXT]
    if words.startswith(_REFUSED):
        return "permission_denied"
    return "cancelled" if words == _STOPPED or members(state.metadata).get("interrupted") is True else ""


def call_block(tool: ToolFacts) -> bytes:
    """Returns a tool call as a content block in phi's form."""
    return _encode({"type": "toolCall", "id": tool.call_id, "name": tool.name, "arguments": tool.args})
