"""Google's answers: `GenerateContentResponse` of its package, or its JSON; a stream is one after the other, each with all counts.

Thoughts are no part of `candidates_token_count`, and what its own tools put into the prompt none of `prompt_token_count`.
"""

from __future__ import annotations

from typing import Any

from otel_phi.front.responses.fields import get, items, text
from otel_phi.front.responses.pieces import Piece, counted, reason

KIND = "google"


def answer(given: Any) -> Piece | None:
    """Reads an answer: whole, or one of a stream. The last one of a stream looks like a whole one."""
    candidates = items(given, "candidates")
    usage = get(given, "usage_metadata") or get(given, "usageMetadata")
    if candidates is None and not _is_usage(usage):
        return None
    first = candidates[0] if candidates else None
    parts = items(get(first, "content"), "parts") or ()
    stop = reason(text(first, "finish_reason") or text(first, "finishReason"))
    if stop == "stop" and any(get(part, "function_call") or get(part, "functionCall") for part in parts):
        stop = "toolUse"
    ended = stop is not None or _is_blocked(given)
    return Piece(
        KIND,
        text(given, "model_version") or text(given, "modelVersion"),
        stop,
        _counts(usage),
        content=bool(parts),
        streamed=not ended,
        ended=ended,
    )


def _is_usage(usage: Any) -> bool:
    return bool(counted(("total", usage, "total_token_count"), ("total", usage, "totalTokenCount")))


def _is_blocked(given: Any) -> bool:
    feedback = get(given, "prompt_feedback") or get(given, "promptFeedback")
    return (text(feedback, "block_reason") or text(feedback, "blockReason")) is not None


def _counts(usage: Any) -> dict[str, int] | None:
    if usage is None:
        return None
    found = counted(
        ("input", usage, "prompt_token_count"),
        ("input", usage, "promptTokenCount"),
        ("more_input", usage, "tool_use_prompt_token_count"),
        ("more_input", usage, "toolUsePromptTokenCount"),
        ("output", usage, "candidates_token_count"),
        ("output", usage, "candidatesTokenCount"),
        ("more_output", usage, "thoughts_token_count"),
        ("more_output", usage, "thoughtsTokenCount"),
        ("cache_read", usage, "cached_content_token_count"),
        ("cache_read", usage, "cachedContentTokenCount"),
        ("total", usage, "total_token_count"),
        ("total", usage, "totalTokenCount"),
    )
    if "more_output" in found:
        found["reasoning"] = found["more_output"]
    return found
