"""A piece of an answer in words that all providers share."""

from __future__ import annotations

from typing import Any, NamedTuple

from otel_phi.front.responses.fields import number

# Providers' finish reasons in phi-core's words; in small letters. One that is not here stays as it is.
_REASONS = {
    "tool_calls": "toolUse",
    "function_call": "toolUse",
    "tool_use": "toolUse",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "paused",
    "compaction": "contextCompacted",
    "malformed_function_call": "error",
    "malformed_response": "error",
    **dict.fromkeys(
        ("content_filter", "refusal", "safety", "recitation", "blocklist", "prohibited_content", "spii", "model_armor",
         "image_safety", "image_prohibited_content", "image_recitation"),
        "guardRail",
    ),
}  # fmt: skip


class Piece(NamedTuple):
    """A piece is what an answer, or a part of one, says.

    Attributes:
        kind: which protocol it is of.
        model: the model that answered, None where it does not say.
        stop_reason: in phi-core's words, None where it does not say.
        counts: tokens by name; only those it says.
        cached: whether cached tokens are part of `input`: `in` or `out`.
        content: whether it holds content of the answer.
        streamed: whether it is a piece of a stream by its own word.
        ended: whether the answer is over with it.
        error_type: what the provider says went wrong, None where nothing did.
    """

    kind: str
    model: str | None = None
    stop_reason: str | None = None
    counts: dict[str, int] | None = None
    cached: str = "in"
    content: bool = False
    streamed: bool = False
    ended: bool = False
    error_type: str | None = None


def reason(given: str | None) -> str | None:
    """Returns a finish reason in phi-core's words."""
    if given is None or given.endswith("UNSPECIFIED"):
        return None
    small = given.lower()
    return _REASONS.get(small, small)


def counted(*found: tuple[str, Any, str]) -> dict[str, int]:
    """Returns the counts that are there: of (our name, holder, its field)."""
    numbers = ((ours, number(holder, field)) for ours, holder, field in found if holder is not None)
    return {ours: count for ours, count in numbers if count is not None}
