"""Ids: pure functions of phi-core's own, never zero.

Rule 1: a session id that is a UUID in the 36-character form is its trace's id; pasted without hyphens it finds the trace.
Rule 2: every span id hashes its trace id in: some backends treat span ids as globally unique.
Rule 3: the parts of a hash are length-prefixed, so that no two lists of parts meet.
"""

from __future__ import annotations

import functools
import hashlib
import re
from typing import NamedTuple

from otel_phi.recorder.identities import LoopIdentity
from otel_phi.wire.uuids import is_uuid

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?", re.ASCII)
TRACE_BYTES, SPAN_BYTES = 16, 8


class SpanRef(NamedTuple):
    """Names a span anywhere: 128-bit trace id and 64-bit span id."""

    trace_id: int
    span_id: int


def _hash(size: int, *parts: str | int) -> int:
    text = "".join([f"{len(part)}:{part}" if isinstance(part, str) else f"{part};" for part in parts])
    return _digest(size, text.encode("utf-8", "surrogatepass"))


def _digest(size: int, content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=size).digest(), "big") or 1


def _below(trace_id: int, span_id: int, text: str) -> int:
    """Hashes what names a span within its parent: 24 bytes of the parent's, then a text with at most one free part, its last."""
    parent = trace_id.to_bytes(TRACE_BYTES, "big") + span_id.to_bytes(SPAN_BYTES, "big")
    return _digest(SPAN_BYTES, parent + text.encode("utf-8", "surrogatepass"))


def session_trace(session_id: str, namespace: str = "") -> int:
    """Returns the trace id of a session."""
    if is_uuid(session_id):
        own = int(session_id.replace("-", ""), 16)
        if own:
            return own
    return _hash(TRACE_BYTES, namespace, session_id)


def session_root(trace_id: int) -> int:
    """Returns the span id of a session's root."""
    return _hash(SPAN_BYTES, trace_id, "session")


def loop_trace(loop: LoopIdentity) -> int:
    """Returns the trace id of a loop that is a trace of its own."""
    return _hash(TRACE_BYTES, loop.session_id, loop.loop_id, loop.started_ns)


def loop_span(trace_id: int, loop: LoopIdentity) -> int:
    """Returns the span id of a loop."""
    return _hash(SPAN_BYTES, trace_id, "loop", loop.loop_id, loop.started_ns)


def group_trace(session_id: str, loop_ids: tuple[str, ...], started_ns: int) -> int:
    """Returns the trace id of a parallel group where each loop is a trace of its own."""
    return _hash(TRACE_BYTES, session_id, "parallel", *loop_ids, started_ns)


def group_span(trace_id: int, loop_ids: tuple[str, ...], started_ns: int) -> int:
    """Returns the span id of a parallel group, of the ids it was announced with and its first branch's start."""
    return _hash(SPAN_BYTES, trace_id, "parallel", *loop_ids, started_ns)


@functools.lru_cache(maxsize=1_024, typed=True)  # asked when a turn opens, and when it closes
def turn_span(trace_id: int, loop_span_id: int, index: int, repeat: int) -> int:
    """Returns the span id of a turn."""
    return _below(trace_id, loop_span_id, f"turn;{index};{repeat}")


def chat_span(trace_id: int, turn_span_id: int) -> int:
    """Returns the span id of a turn's model call."""
    return _below(trace_id, turn_span_id, "chat")


def tool_span(trace_id: int, turn_span_id: int, call_id: str, repeat: int) -> int:
    """Returns the span id of a tool execution."""
    return _below(trace_id, turn_span_id, f"tool;{repeat};{call_id}")


def side_trace(session_id: str, call_id: str, started_ns: int) -> int:
    """Returns the trace id of a model call outside turns that belongs to no loop and no root."""
    return _hash(TRACE_BYTES, session_id, "side", call_id, started_ns)


def side_span(trace_id: int, parent_span_id: int, call_id: str) -> int:
    """Returns the span id of a model call outside turns; its parent is a loop, a root or, with 0, none."""
    return _below(trace_id, parent_span_id, f"side;{call_id}")


def parse_traceparent(text: str | None) -> SpanRef | None:
    """Reads a W3C `traceparent`; None where it is none, or names no span."""
    found = _TRACEPARENT.fullmatch(text.strip()) if text else None
    if found is None or text is None or text.strip().startswith("ff"):
        return None
    ref = SpanRef(int(found[1], 16), int(found[2], 16))
    return ref if ref.trace_id and ref.span_id else None


def sampled(text: str | None) -> bool:
    """Says whether a W3C `traceparent` has the sampled flag."""
    found = _TRACEPARENT.fullmatch(text.strip()) if text else None
    return found is not None and bool(int(found[3], 16) & 1)


def sample_point(session_id: str) -> float:
    """Returns where in [0, 1) a session falls; a ratio above it keeps the session, whole.

    The trace id itself cannot serve: a UUID's version bits make `TraceIdRatioBased` keep nothing at 0.5.
    """
    known = session_id.lower() if is_uuid(session_id) else session_id  # all its spellings are one session
    return _hash(SPAN_BYTES, "sample", known) / 2**64
