"""Anthropic's answers: a message, the raw events of its stream, and those that the helper of its package makes of them.

Its input leaves cached tokens out, and its counts are sums so far: `message_start` has those of the prompt, `message_delta`
those of the answer up to then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otel_phi.front.responses.fields import get, items, text
from otel_phi.front.responses.pieces import Piece, counted, reason

KIND = "anthropic"


def message(given: Any) -> Piece | None:
    """Reads a whole message."""
    if text(given, "role") != "assistant":
        return None
    stop = text(given, "stop_reason")
    return Piece(
        KIND,
        text(given, "model"),
        reason(stop),
        _counts(get(given, "usage")),
        cached="out",
        content=bool(items(given, "content")),
        ended=stop is not None,
    )


def _counts(usage: Any) -> dict[str, int] | None:
    if usage is None:
        return None
    return counted(
        ("input", usage, "input_tokens"),
        ("output", usage, "output_tokens"),
        ("cache_read", usage, "cache_read_input_tokens"),
        ("cache_write", usage, "cache_creation_input_tokens"),
        ("reasoning", get(usage, "output_tokens_details"), "thinking_tokens"),
    )


def _start(given: Any) -> Piece:
    # The helper's event holds the message that it goes on filling: only its prompt's counts are of this moment.
    begun = get(given, "message")
    return Piece(KIND, text(begun, "model"), None, _counts(get(begun, "usage")), cached="out", streamed=True)


def _delta(given: Any) -> Piece:
    stop = text(get(given, "delta"), "stop_reason")
    return Piece(
        KIND,
        None,
        reason(stop),
        _counts(get(given, "usage")),
        cached="out",
        streamed=True,
        ended=stop is not None,
    )


def _stop(given: Any) -> Piece:
    whole = message(get(given, "message"))
    return (whole or Piece(KIND, cached="out"))._replace(streamed=True, ended=True)


def _content(_: Any) -> Piece:
    return Piece(KIND, cached="out", content=True, streamed=True)


def _nothing(_: Any) -> Piece:
    return Piece(KIND, cached="out", streamed=True)


BY_TYPE: dict[str, Callable[[Any], Piece | None]] = {
    "message": message,
    "message_start": _start,
    "message_delta": _delta,
    "message_stop": _stop,
    "content_block_start": _nothing,
    "content_block_delta": _content,
    "content_block_stop": _nothing,
    "ping": _nothing,
    # the helper's
    "text": _content,
    "thinking": _content,
    "input_json": _content,
    "citation": _content,
    "signature": _nothing,
    "compaction": _nothing,
}
