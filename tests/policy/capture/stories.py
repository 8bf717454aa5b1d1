"""Streams with contents in them, by hand."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from otel_phi.events import (
    AgentEvent,
    AssistantMessage,
    MessageEnd,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolResult,
    ToolResultMessage,
    UserMessage,
)
from tests.streams import EPOCH_MS, LOOP, end, request, start, turn, turn_end

# Put together here, so that no scanner takes this file for a leak.
TOKEN = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7xY9zA2cD4fG6"
PIXELS = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"


def raw(value: Any) -> Raw:
    return Raw(msgspec.json.encode(value))


def words(*texts: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": one} for one in texts]


def asks(content: Any, ms: int, loop: str = LOOP) -> MessageEnd:
    return MessageEnd(loop_id=loop, message=UserMessage(content=raw(content), timestamp=EPOCH_MS + ms))


def says(content: Any, ms: int, loop: str = LOOP, **fields: Any) -> MessageEnd:
    return MessageEnd(
        loop_id=loop, message=AssistantMessage(content=raw(content), timestamp=EPOCH_MS + ms, model="mock", **fields)
    )


def answers(call_id: str, content: Any, ms: int, loop: str = LOOP, *, is_error: bool = False) -> MessageEnd:
    message = ToolResultMessage(
        content=raw(content), tool_call_id=call_id, tool_name="bash", is_error=is_error, timestamp=EPOCH_MS + ms
    )
    return MessageEnd(loop_id=loop, message=message)


def runs(call_id: str, arguments: Any, content: Any, loop: str = LOOP, *, is_error: bool = False) -> list[AgentEvent]:
    return [
        ToolExecutionStart(loop_id=loop, tool_call_id=call_id, tool_name="bash", args=raw(arguments)),
        ToolExecutionEnd(
            loop_id=loop,
            tool_call_id=call_id,
            tool_name="bash",
            result=ToolResult(content=raw(content)),
            is_error=is_error,
        ),
    ]


SYSTEM = "Be brief."
TOOLS = [{"name": "bash", "description": "Runs a command", "parameters": {"type": "object"}}]
LONG = "All of it, please. " * 40
PROMPT = [*words(f"Deploy with {TOKEN}. {LONG}"), {"type": "image", "data": PIXELS, "mimeType": "image/png"}]
CALLS = [
    {"type": "thinking", "thinking": "I look first", "signature": "sig"},
    {"type": "text", "text": "I look."},
    {"type": "toolCall", "id": "c1", "name": "bash", "arguments": {"cmd": "ls", "password": "hunter2x"}},
    {"type": "toolCall", "id": "c2", "name": "bash", "arguments": {"cmd": "false"}},
]


def messages_of_request() -> list[dict[str, Any]]:
    """Returns what the second request sends: the prompt, the answer, two results."""
    return [
        {"role": "user", "content": PROMPT, "timestamp": EPOCH_MS},
        {"role": "assistant", "content": CALLS, "stopReason": "toolUse"},
        {"role": "toolResult", "toolCallId": "c1", "toolName": "bash", "content": words("a.txt")},
        {"role": "toolResult", "toolCallId": "c2", "toolName": "bash", "content": words("exit 1"), "isError": True},
    ]


def content_story(*, requests: bool = True, loop: str = LOOP) -> list[AgentEvent]:
    """Returns two turns with a prompt, an image, thoughts, two calls, one of which fails, and a long answer."""
    asked = {"system_prompt": raw(SYSTEM), "tools": raw(TOOLS)}
    first = request(3, 0, loop, messages=raw(messages_of_request()[:1]), **asked)
    second = request(11, 1, loop, messages=raw(messages_of_request()), **asked)
    return [
        start(0, loop),
        turn(1, 0, loop),
        asks(PROMPT, 2, loop),
        *([first] if requests else []),
        says(CALLS, 5, loop, stop_reason="toolUse"),
        *runs("c1", {"cmd": f"ls {LONG}", "password": "hunter2x"}, words(f"a.txt {TOKEN}"), loop),
        answers("c1", words("a.txt"), 6, loop),
        *runs("c2", {"cmd": "false"}, words("exit 1"), loop, is_error=True),
        answers("c2", words("exit 1"), 7, loop, is_error=True),
        turn_end(8, 0, loop),
        turn(10, 1, loop),
        *([second] if requests else []),
        says(words("There is one file. " * 60), 15, loop),
        turn_end(16, 1, loop),
        end(17, loop),
        *([] if not requests else _without_request()),
    ]


def _without_request() -> list[AgentEvent]:
    return [
        start(30, f"{LOOP}.2"),
        turn(31, 0, f"{LOOP}.2"),
        asks(words(f"and {TOKEN}"), 32, f"{LOOP}.2"),
        says(words("Yes."), 33, f"{LOOP}.2"),
        turn_end(34, 0, f"{LOOP}.2"),
        end(35, f"{LOOP}.2"),
    ]
