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
# The convention's well-known values, https://github.com/open-telemetry/semantic-conventions/blob/v1.41.1/docs/registry/attributes/gen-ai.md,
# and the other names that agents and libraries have for them. Whoever knows one of them must say it so (a MUST there).
_ALIASES = {
    "openai": ("open-ai", "openai-codex", "openai-responses"),
    "anthropic": ("claude",),
    # `google` is what phi-core, pi and OpenCode call the Gemini API; Vertex AI has a name of its own in each of them.
    "gcp.gemini": ("google", "gemini", "google-gemini", "google-gla", "google-ai-studio", "google-generative-ai"),
    "gcp.vertex_ai": ("vertex", "vertexai", "vertex-ai", "google-vertex", "google-vertex-ai", "google-vertexai"),
    "gcp.gen_ai": ("gcp-gen-ai", "google-genai"),
    "aws.bedrock": ("bedrock", "amazon-bedrock", "aws-bedrock", "bedrock-converse"),
    "azure.ai.openai": ("azure", "azure-openai", "azure-open-ai"),
    "azure.ai.inference": ("azure-ai", "azure-inference", "azure-ai-inference"),
    "x_ai": ("x-ai", "xai", "x.ai", "grok"),
    "groq": (),
    "mistral_ai": ("mistral", "mistralai", "mistral-ai"),
    "moonshot_ai": ("moonshot", "moonshotai", "moonshot-ai", "kimi"),
    "deepseek": ("deep-seek",),
    "cohere": (),
    "perplexity": ("perplexity-ai", "perplexityai"),
    "ibm.watsonx.ai": ("watsonx", "ibm-watsonx", "watsonx-ai"),
}
_BY_NAME = {alias: name for name, aliases in _ALIASES.items() for alias in (name, name.replace("_", "-"), *aliases)}
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
    if not provider or provider.lower() == "unknown":
        return None
    return _BY_NAME.get(provider.strip().lower().replace("_", "-"), provider)


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
