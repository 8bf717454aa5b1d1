"""What phi-core's token counts mean, by the protocol that filled them in.

`Usage.input` has no one meaning: Anthropic and Bedrock leave cached tokens out, the others count them in. Google leaves
thoughts out of `output` but in the total, by its OpenAI-compatible door too; xAI leaves reasoning out. Read in phi-core's
provider code (reference SEMCONV 3). What a total holds above input and output is output: nothing else is counted in there.
"""

from __future__ import annotations

import msgspec

from otel_phi.wire.messages import Usage

# The names serde writes, and those that phi-core's own Display and docs use.
API_ALIASES = {
    "openai_completions": "open_ai_completions",
    "openai_responses": "open_ai_responses",
    "azure_openai_responses": "azure_open_ai_responses",
}
_EXCLUSIVE_APIS = frozenset({"anthropic_messages", "bedrock_converse_stream"})
# In lower case, as `mapping.providers` knows their names too.
_EXCLUSIVE_PROVIDERS = frozenset(
    {"anthropic", "bedrock", "aws.bedrock", "aws-bedrock", "amazon-bedrock", "amazon_bedrock", "aws_bedrock"}
)


class TokenCount(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A token count is a usage in one meaning for all providers.

    Attributes:
        input: prompt tokens, cached ones included.
        output: completion tokens, reasoning included.
        cache_read: part of `input` that was read from a cache.
        cache_write: part of `input` that was written to a cache.
        reasoning: part of `output`.
        exclusive: whether phi-core's own `Usage.input` leaves cached tokens out.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    exclusive: bool = False


def count_tokens(usage: Usage, api: str | None, provider: str | None) -> TokenCount:
    """Brings one call's usage to one meaning.

    Args:
        usage: as phi-core wrote it; negative numbers count as 0.
        api: `config_snapshot.api`, in either spelling, None where unknown. `usage.cached` says more than api and provider.
        provider: provider name, for streams without an `api`.

    Returns:
        Counts in which cached tokens are part of the input and reasoning is part of the output.
    """
    api = API_ALIASES.get(api, api) if api else None
    given, output, reasoning = usage.input, usage.output, usage.reasoning
    read, write, total = usage.cache_read, usage.cache_write, usage.total_tokens
    if min(given, output, reasoning, read, write, total) < 0:
        given, output, reasoning = max(given, 0), max(output, 0), max(reasoning, 0)
        read, write, total = max(read, 0), max(write, 0), max(total, 0)
    if _excluded(usage, api, provider, given, output, read + write, total):
        return TokenCount(given + read + write, output, read, write, reasoning, exclusive=True)
    hidden = max(total - given - output, 0)
    if hidden:
        output, reasoning = output + hidden, max(reasoning, hidden)
    return TokenCount(given, output, read, write, reasoning)


def _excluded(
    usage: Usage, api: str | None, provider: str | None, given: int, output: int, cached: int, total: int
) -> bool:
    if usage.cached in ("in", "out"):
        return usage.cached == "out"
    return _excludes_cached(api, provider, given, output, cached, total)


def _excludes_cached(api: str | None, provider: str | None, given: int, output: int, cached: int, total: int) -> bool:
    if api is not None:
        return api in _EXCLUSIVE_APIS
    if provider and provider.strip().lower() in _EXCLUSIVE_PROVIDERS:
        return True
    # Neither is known: cached tokens that exceed the input, or a total that adds them, cannot be part of it.
    return cached > 0 and (cached > given or total == given + output + cached)


def add_usage(one: Usage, other: Usage) -> Usage:
    """Returns the sum of two usages, as phi-core counts them."""
    return Usage(
        one.input + other.input,
        one.output + other.output,
        one.reasoning + other.reasoning,
        one.cache_read + other.cache_read,
        one.cache_write + other.cache_write,
        one.total_tokens + other.total_tokens,
    )


def add_tokens(one: TokenCount, other: TokenCount) -> TokenCount:
    """Returns the sum of two counts in one meaning."""
    return TokenCount(
        one.input + other.input,
        one.output + other.output,
        one.cache_read + other.cache_read,
        one.cache_write + other.cache_write,
        one.reasoning + other.reasoning,
    )
