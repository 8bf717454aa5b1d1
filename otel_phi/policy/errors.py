"""What went wrong, in one low-cardinality word each, from the texts that phi-core and its providers write.

The texts themselves are content and go no further; only their first 256 characters are looked at.
"""

from __future__ import annotations

import re

from msgspec import UNSET, Raw, UnsetType

from otel_phi.policy.provider_errors import provider_error
from otel_phi.policy.words import OTHER, OTHER_ERROR
from otel_phi.wire.messages import NULL, first_text

# Enough to tell a kind of error by its first words.
MAX_TEXT = 256
STOP_PREFIX = "[Agent stopped:"
# phi-core's ProviderError in its Display form: what the message begins with, and our word.
PROVIDER_ERRORS = (
    ("API error:", "api_error"),
    ("Network error:", "network_error"),
    ("Auth error:", "auth_error"),
    ("Rate limited", "rate_limited"),
    ("Context overflow:", "context_overflow"),
    ("Cancelled", "cancelled"),
    ("Schema mismatch:", "schema_mismatch"),
)
# What phi-core answers the model for a tool that failed: the text's beginning, its end, and our word.
TOOL_ERRORS = (
    ("Tool ", " not found", "tool_not_found"),
    ("Tool not found:", "", "tool_not_found"),
    ("Invalid arguments:", "", "invalid_arguments"),
    ("Cancelled", "", "cancelled"),
    ("Tool exceeded timeout", "", "timeout"),
    ("Skipped due to queued user message.", "", "skipped"),
)
TOOL_ERROR = "tool_error"
# phi-core 0.15, `agent_loop/run.rs` and `context/execution.rs`: `[Agent stopped: Max turns reached (50/50)]`.
_LIMIT = re.compile(r"\[Agent stopped: Max (turns|tokens|duration|cost) reached")
# Anthropic, OpenAI responses and Azure report an HTTP status as reqwest-eventsource's text.
_HTTP_STATUS = re.compile(r"Invalid status code: (\d{3})")
_BY_HTTP_STATUS = {"401": "auth_error", "403": "auth_error", "429": "rate_limited"}


def call_error(stop_reason: str, error_message: str | None) -> str | UnsetType:
    """Returns the error word of a model call; UNSET where it went well, and where `aborted` says it already."""
    if stop_reason == "aborted" or (stop_reason != "error" and error_message is None):
        return UNSET
    text = (error_message or "")[:MAX_TEXT]
    found = _HTTP_STATUS.match(text)
    if found is not None:
        return _BY_HTTP_STATUS.get(found[1], "api_error")
    if text.startswith('{"type":"error"'):
        return "api_error"  # a provider's error event, passed on as it came
    known = next((word for start, word in PROVIDER_ERRORS if text.startswith(start)), None)
    return known or provider_error(text) or OTHER_ERROR


def tool_error(content: Raw) -> str:
    """Returns the error word of a tool that failed, from its answer to the model."""
    if content is NULL:
        return TOOL_ERROR
    text = first_text(content, MAX_TEXT)
    return next((word for start, end, word in TOOL_ERRORS if text.startswith(start) and text.endswith(end)), TOOL_ERROR)


def stop_limit(content: Raw) -> str | UnsetType:
    """Returns the limit that a user message says stopped the loop, `_other` for one we do not know, UNSET for none."""
    text = "" if content is NULL else first_text(content, MAX_TEXT)
    if not text.startswith(STOP_PREFIX):
        return UNSET
    found = _LIMIT.match(text)
    return found[1] if found else OTHER
