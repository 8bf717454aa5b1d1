"""Providers, models and reasons in the convention's words."""

from __future__ import annotations

import functools
from urllib.parse import urlsplit

# `gen_ai.provider.name` by phi-core's wire protocol, where the protocol decides.
_BY_API = {
    "anthropic_messages": "anthropic",
    "open_ai_responses": "openai",
    "openai_responses": "openai",
    "azure_open_ai_responses": "azure.ai.openai",
    "azure_openai_responses": "azure.ai.openai",
    "google_generative_ai": "gcp.gemini",
    "google_vertex": "gcp.vertex_ai",
    "bedrock_converse_stream": "aws.bedrock",
}
# The well-known values whose spelling differs from phi-core's; all others pass as they are.
_BY_NAME = {"xai": "x_ai", "mistral": "mistral_ai", "moonshot": "moonshot_ai"}
_FINISH = {
    "toolUse": "tool_call",
    "aborted": "error",
    "guardRail": "content_filter",
    "contextCompacted": "compaction",
    "maxTurns": "max_turns",
    "userStop": "user_stop",
}


def provider_name(api: str | None, provider: str | None) -> str | None:
    """Returns `gen_ai.provider.name`, None where the source names no provider."""
    if api in _BY_API:
        return _BY_API[api]
    if not provider or provider == "unknown":
        return None
    return _BY_NAME.get(provider.lower(), provider)


def finish_reason(stop_reason: str) -> str:
    """Returns a stop reason in the convention's words."""
    return _FINISH.get(stop_reason, stop_reason)


@functools.lru_cache(maxsize=256)
def server(base_url: str | None) -> tuple[str | None, int | None]:
    """Returns host and port of a provider's endpoint; user, path and query stay behind."""
    try:
        parts = urlsplit(base_url or "")
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return None, None
    return (parts.hostname, port) if parts.hostname else (None, None)
