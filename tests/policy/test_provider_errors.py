"""Error texts as providers, their packages and gateways write them, and the word for each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_phi.mapping.status import WORDS
from otel_phi.policy.provider_errors import provider_error

CASES = [
    # OpenAI's package, and those that speak like it
    ("Error code: 429 - {'error': {'message': 'Rate limit reached for gpt-4o in organization org-x', 'code': 'rate_limit_exceeded'}}", "rate_limited"),
    ("Error code: 429 - {'error': {'message': 'You exceeded your current quota', 'type': 'insufficient_quota'}}", "rate_limited"),
    ("Error code: 401 - {'error': {'message': 'Incorrect API key provided: sk-x'}}", "auth_error"),
    ("Error code: 400 - {'error': {'message': \"This model's maximum context length is 128000 tokens. However, your messages resulted in 130000 tokens\"}}", "context_overflow"),
    ("Error code: 400 - {'error': {'code': 'context_length_exceeded'}}", "context_overflow"),
    ("Error code: 400 - {'error': {'message': \"Invalid value: 'x'\", 'type': 'invalid_request_error'}}", "api_error"),
    ("Error code: 404 - {'error': {'message': 'The model `gpt-9` does not exist'}}", "api_error"),
    ("Error code: 500 - {'error': {'message': 'The server had an error while processing your request'}}", "api_error"),
    ("Error code: 503 - {'error': {'message': 'The engine is currently overloaded'}}", "api_error"),
    ("Request timed out.", "timeout"),
    ("Connection error.", "network_error"),
    ("Request was aborted.", "cancelled"),
    ("Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 41221", "rate_limited"),
    ("Input tokens exceed the configured limit of 272000 tokens. Please reduce the length of the messages", "context_overflow"),
    # Anthropic
    ("{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}", "api_error"),
    ("{'type': 'error', 'error': {'type': 'authentication_error', 'message': 'invalid x-api-key'}}", "auth_error"),
    ("{\"type\":\"error\",\"error\":{\"type\":\"permission_error\",\"message\":\"Permission denied\"}}", "auth_error"),
    ("prompt is too long: 208310 tokens > 200000 maximum", "context_overflow"),
    ("529 {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}", "api_error"),
    ("413 {\"error\":{\"type\":\"request_too_large\",\"message\":\"Request exceeds the maximum size\"}}", "context_overflow"),
    ("This request would exceed your organization's rate limit of 40,000 input tokens per minute", "rate_limited"),
    # Google
    ("429 RESOURCE_EXHAUSTED. {'error': {'code': 429, 'message': 'Resource has been exhausted'}}", "rate_limited"),
    ("403 PERMISSION_DENIED. {'error': {'message': 'The caller does not have permission'}}", "auth_error"),
    ("400 INVALID_ARGUMENT. {'error': {'message': 'API key not valid. Please pass a valid API key.'}}", "auth_error"),
    ("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", "context_overflow"),
    ("504 DEADLINE_EXCEEDED", "timeout"),
    ("503 UNAVAILABLE. {'error': {'message': 'The model is overloaded. Please try again later.'}}", "api_error"),
    # Bedrock, Azure, gateways, sockets
    ("An error occurred (ThrottlingException) when calling the InvokeModel operation: Too many requests", "rate_limited"),
    ("An error occurred (AccessDeniedException) when calling the Converse operation", "auth_error"),
    ("An error occurred (ExpiredTokenException): The security token included in the request is expired", "auth_error"),
    ("litellm.RateLimitError: RateLimitError: OpenAIException - x", "rate_limited"),
    ("HTTP/1.1 502 Bad Gateway", "api_error"),
    ("http error: 408", "timeout"),
    ("[Errno 111] Connection refused", "network_error"),
    ("[Errno -2] Name or service not known", "network_error"),
    ("peer closed connection without sending complete message body (incomplete chunked read)", "network_error"),
    ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate", "network_error"),
    ("read ECONNRESET: socket hang up", "network_error"),
    ("fetch failed", "network_error"),
    ("The operation was canceled.", "cancelled"),
    ("HTTPSConnectionPool(host='x', port=443): Read timed out. (read timeout=60)", "timeout"),
    ("418 I'm a teapot", "api_error"),
    # what says nothing
    ("", None),
    ("Something went wrong", None),
    ("429 messages were dropped", None),
    ("the 401k plan", None),
    ("it took 504 ms", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "word"), CASES)
def test_a_providers_error_in_one_word(text: str, word: str | None) -> None:
    assert provider_error(text) == word
    assert provider_error(text.upper()) == word


@given(st.text(max_size=256))
def test_any_text_gives_a_word_we_have_or_none(text: str) -> None:
    assert provider_error(text) in {None, *WORDS}
