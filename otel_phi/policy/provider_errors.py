"""What any provider's error text says went wrong, in the words that phi-core's own errors have.

Rule 1: a status code decides where it leaves no doubt: 401, 403, 408, 413, 429, 504. What it does not decide the words do.
Rule 2: the words are looked for in an order: a rate limit speaks of tokens too, a full context is a bad request too.
Rule 3: a number is a status code only where the text calls it one: `429 messages` is none.
"""

from __future__ import annotations

import re

# Where a number is a status code: `Error code: 429 -`, `HTTP 429`, `status=429`, `429 Too Many`, `(429)`, `"code": 429`.
_CODE = re.compile(
    r"(?:status|code|http(?:/\d(?:\.\d)?)?|error)\W{0,3}(?:code)?\W{0,4}([45]\d\d)\b|^\W{0,2}([45]\d\d)\b(?!\s*(?:ms|tokens|messages))"
    r"|[(\[]([45]\d\d)[)\]]",
    re.IGNORECASE,
)
_BY_CODE = {
    "401": "auth_error",
    "403": "auth_error",
    "408": "timeout",
    "413": "context_overflow",
    "429": "rate_limited",
    "504": "timeout",
}
# What a text says, and the word for it; looked for in this order.
_PHRASES: dict[str, tuple[str, ...]] = {
    "rate_limited": (
        r"rate.?limit", r"too many requests", r"quota", r"resource.?exhausted", r"(?:tokens|requests) per min", r"throttl",
    ),
    "context_overflow": (
        r"context.{0,2}(?:length|window|size|limit)", r"maximum context", r"prompt (?:is )?too long", r"request.?too.?large",
        r"too many (?:input )?tokens", r"input (?:is |length )?(?:too long|exceeds)", r"input token count",
        r"exceeds? (?:the )?(?:model'?s? )?max(?:imum)? (?:number of )?(?:input|context|tokens)", r"reduce the length",
    ),
    "auth_error": (
        r"unauthori[sz]ed", r"forbidden", r"api.?key", r"authenticat", r"permission.?denied", r"access.?denied", r"credential",
        r"invalid.?(?:access.?)?token", r"expired.?token", r"token.{0,12}expired",
    ),
    "timeout": (r"time.?d?.?out", r"deadline.?exceeded"),
    "cancelled": (r"cancell?ed", r"request was aborted", r"^abort"),
    "network_error": (
        r"connect", r"network", r"\bdns\b", r"name.?resolution", r"getaddrinfo", r"name or service not known", r"socket",
        r"unreachable", r"broken pipe", r"\b(?:ssl|tls)\b", r"certificate", r"incomplete.?(?:read|chunked)", r"peer closed",
        r"unexpected.?eof", r"fetch failed",
    ),
    "api_error": (
        r"overloaded", r"server.?error", r"bad gateway", r"unavailable", r"bad.?request", r"invalid.?request", r"not.?found",
        r"model.{0,20}(?:does not exist|not supported)", r"\bapi.?error",
    ),
}  # fmt: skip
_WORDS = tuple((word, re.compile("|".join(phrases), re.IGNORECASE)) for word, phrases in _PHRASES.items())


def provider_error(text: str) -> str | None:
    """Returns the word for a provider's error, None where the text gives no hint of one.

    Args:
        text: the error as any provider, package or gateway says it; its first 256 characters are enough.
    """
    found = _CODE.search(text)
    code = next((group for group in found.groups() if group), None) if found else None
    if code in _BY_CODE:
        return _BY_CODE[code]
    for word, pattern in _WORDS:
        if pattern.search(text):
            return word
    return None if code is None else "api_error"
