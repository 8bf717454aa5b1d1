"""OpenAI's answers, and those of the many that speak like it: chat completions and responses.

Whole, streamed, or by the helpers of its package, whose events are told by their `type`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otel_phi.front.responses.fields import get, items, text
from otel_phi.front.responses.pieces import Piece, counted, reason

CHAT, RESPONSES = "openai.chat", "openai.responses"
# Every event of a responses stream is called so; those of the chat helper are in `BY_TYPE`.
EVENTS = "response."
_CONTENT = ("content", "tool_calls", "refusal", "function_call", "reasoning_content", "reasoning", "audio")
_HELPERS = (
    "content.delta", "content.done", "refusal.delta", "refusal.done", "tool_calls.function.arguments.delta",
    "tool_calls.function.arguments.done", "logprobs.content.delta", "logprobs.content.done", "logprobs.refusal.delta",
    "logprobs.refusal.done",
)  # fmt: skip


def chat(given: Any) -> Piece | None:
    """Reads a chat completion, or a chunk of one."""
    choices = items(given, "choices")
    if choices is None:
        return None
    choice = choices[0] if choices else None
    delta = get(choice, "delta")
    streamed = delta is not None or text(given, "object") == "chat.completion.chunk"
    finish = text(choice, "finish_reason")
    usage = get(given, "usage")
    return Piece(
        CHAT,
        text(given, "model"),
        reason(finish),
        None if usage is None else _chat_counts(usage),
        content=not streamed or any(get(delta, name) for name in _CONTENT),
        streamed=streamed,
        ended=finish is not None or not streamed,
    )


def _chat_counts(usage: Any) -> dict[str, int]:
    asked, answered = get(usage, "prompt_tokens_details"), get(usage, "completion_tokens_details")
    return counted(
        ("input", usage, "prompt_tokens"),
        ("output", usage, "completion_tokens"),
        ("total", usage, "total_tokens"),
        ("cache_read", usage, "prompt_cache_hit_tokens"),  # DeepSeek's name for it
        ("cache_read", asked, "cached_tokens"),
        ("cache_write", asked, "cache_write_tokens"),
        ("reasoning", answered, "reasoning_tokens"),
    )


def response(given: Any) -> Piece:
    """Reads a response of the responses API."""
    status = text(given, "status")
    usage = get(given, "usage")
    return Piece(
        RESPONSES,
        text(given, "model"),
        _response_reason(given, status),
        None if usage is None else _response_counts(usage),
        content=bool(items(given, "output")),
        ended=status not in ("in_progress", "queued"),
        error_type=(text(get(given, "error"), "code") or "_OTHER") if status == "failed" else None,
    )


def _response_reason(given: Any, status: str | None) -> str | None:
    if status == "incomplete":
        return reason(text(get(given, "incomplete_details"), "reason"))
    if status == "completed":
        called = any(str(text(item, "type")).endswith("_call") for item in items(given, "output") or ())
        return "toolUse" if called and _asks_for_tools(given) else "stop"
    return {"failed": "error", "cancelled": "aborted"}.get(status or "")


def _asks_for_tools(given: Any) -> bool:
    """Says whether the answer asks for tools of the agent's own: a search of the provider's is over already."""
    mine = {"function_call", "custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call"}
    return any(text(item, "type") in mine for item in items(given, "output") or ())


def _response_counts(usage: Any) -> dict[str, int]:
    asked, answered = get(usage, "input_tokens_details"), get(usage, "output_tokens_details")
    return counted(
        ("input", usage, "input_tokens"),
        ("output", usage, "output_tokens"),
        ("total", usage, "total_tokens"),
        ("cache_read", asked, "cached_tokens"),
        ("cache_write", asked, "cache_write_tokens"),
        ("reasoning", answered, "reasoning_tokens"),
    )


def event(given: Any, kind: str) -> Piece:
    """Reads an event of a responses stream; the last one holds the whole response."""
    if kind in ("response.completed", "response.incomplete", "response.failed"):
        return response(get(given, "response"))._replace(streamed=True, ended=True)
    return Piece(RESPONSES, content=kind.endswith(".delta"), streamed=True)


def _chunk(given: Any) -> Piece | None:
    return chat(get(given, "chunk"))


def _helper(given: Any) -> Piece:
    return Piece(CHAT, content=str(text(given, "type")).endswith(".delta"), streamed=True)


BY_TYPE: dict[str, Callable[[Any], Piece | None]] = {"chunk": _chunk, **dict.fromkeys(_HELPERS, _helper)}
