"""Tokens in one meaning for all providers: SEMCONV section 3, its eight protocols, xAI, Gemini's thoughts, and the unknown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_phi.events import Usage
from otel_phi.wire.usage import TokenCount, count_tokens


@pytest.mark.parametrize(
    ("api", "provider", "usage", "expected"),
    [
        # cached tokens are counted beside the input; the total is never given
        (
            "anthropic_messages",
            "anthropic",
            Usage(6, 164, 0, 4310, 4120, 0),
            TokenCount(8436, 164, 4310, 4120, 0, True),
        ),
        ("bedrock_converse_stream", "bedrock", Usage(100, 20, 0, 0, 0, 120), TokenCount(100, 20, 0, 0, 0, True)),
        ("bedrock_converse_stream", "bedrock", Usage(100, 20, 0, 30, 0, 120), TokenCount(130, 20, 30, 0, 0, True)),
        # cached tokens are part of the input
        ("open_ai_completions", "openai", Usage(100, 20, 8, 30, 0, 120), TokenCount(100, 20, 30, 0, 8)),
        ("openai_completions", "groq", Usage(100, 20, 0, 30, 0, 120), TokenCount(100, 20, 30, 0, 0)),
        ("open_ai_responses", "openai", Usage(100, 20, 0, 0, 0, 120), TokenCount(100, 20)),
        ("openai_responses", "openai", Usage(100, 20, 0, 0, 0, 120), TokenCount(100, 20)),
        ("azure_open_ai_responses", "azure", Usage(100, 20, 0, 0, 0, 120), TokenCount(100, 20)),
        ("azure_openai_responses", "azure", Usage(100, 20, 0, 0, 0, 120), TokenCount(100, 20)),
        # Gemini leaves its thoughts out of the output, but not out of the total
        ("google_generative_ai", "google", Usage(100, 20, 0, 30, 0, 150), TokenCount(100, 50, 30, 0, 30)),
        ("google_vertex", "google", Usage(100, 20, 0, 0, 0, 120), TokenCount(100, 20)),
        ("google_vertex", "google", Usage(100, 20, 7, 0, 0, 150), TokenCount(100, 50, 0, 0, 30)),
        # xAI leaves reasoning out of the output
        ("open_ai_completions", "xai", Usage(100, 20, 30, 0, 0, 150), TokenCount(100, 50, 0, 0, 30)),
        # what a total holds above input and output is output, whatever part of it was called reasoning
        ("open_ai_completions", "other", Usage(100, 20, 7, 0, 0, 150), TokenCount(100, 50, 0, 0, 30)),
        # Gemini through its OpenAI-compatible door, and where a source does not say by which
        ("open_ai_completions", "google", Usage(100, 20, 0, 30, 0, 150), TokenCount(100, 50, 30, 0, 30)),
        ("openai_completions", "gemini", Usage(100, 20, 0, 0, 0, 150), TokenCount(100, 50, 0, 0, 30)),
        (None, "google", Usage(100, 20, 0, 0, 0, 150), TokenCount(100, 50, 0, 0, 30)),
        (None, "Gemini", Usage(100, 20, 0, 40, 0, 150), TokenCount(100, 50, 40, 0, 30)),
        (None, None, Usage(100, 20, 0, 0, 0, 150), TokenCount(100, 50, 0, 0, 30)),
        # a total that is missing, or too low, proves nothing
        (None, "google", Usage(100, 20, 0, 0, 0, 0), TokenCount(100, 20)),
        ("open_ai_completions", "google", Usage(100, 20, 0, 0, 0, 110), TokenCount(100, 20)),
        # without an api the provider's name decides, then the numbers
        (None, "Anthropic", Usage(6, 1, 0, 4, 0, 0), TokenCount(10, 1, 4, 0, 0, True)),
        (None, "Amazon-Bedrock", Usage(6, 1, 0, 4, 0, 7), TokenCount(10, 1, 4, 0, 0, True)),
        (None, "aws.bedrock", Usage(6, 1, 0, 0, 0, 7), TokenCount(6, 1, 0, 0, 0, True)),
        (None, "mock", Usage(6, 1, 0, 40, 0, 0), TokenCount(46, 1, 40, 0, 0, True)),
        (None, None, Usage(60, 10, 0, 30, 10, 110), TokenCount(100, 10, 30, 10, 0, True)),
        (None, "mock", Usage(60, 10, 0, 30, 10, 70), TokenCount(60, 10, 30, 10, 0)),
        (None, "", Usage(60, 10), TokenCount(60, 10)),
        # an api this version does not know says nothing of its own, but is taken at its word
        ("brand_new", "anthropic", Usage(6, 1, 0, 4, 0, 0), TokenCount(6, 1, 4)),
        # nonsense does not become more
        ("anthropic_messages", None, Usage(-6, -1, -1, -4, -1, -9), TokenCount(0, 0, 0, 0, 0, True)),
    ],
)
def test_tokens_of_every_protocol_mean_the_same(
    api: str | None, provider: str | None, usage: Usage, expected: TokenCount
) -> None:
    assert count_tokens(usage, api, provider) == expected


_numbers = st.integers(0, 10_000)
_apis = st.sampled_from(
    [None, "anthropic_messages", "openai_completions", "google_vertex", "bedrock_converse_stream", "new"]
)


@given(st.builds(Usage, _numbers, _numbers, _numbers, _numbers, _numbers, _numbers), _apis)
def test_no_count_is_ever_less_than_phi_cores_own(usage: Usage, api: str | None) -> None:
    found = count_tokens(usage, api, None)
    assert found.input >= usage.input
    assert found.output >= usage.output
    assert found.reasoning >= usage.reasoning
    assert (found.cache_read, found.cache_write) == (usage.cache_read, usage.cache_write)
