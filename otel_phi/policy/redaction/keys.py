"""Values behind keys that tell: in environments, JSON, YAML, source, connection strings, URLs' queries, command lines.

Rule 1: a key tells by how it ends: `max_tokens` and `token_count` do not.
Rule 2: only where a literal of a key stands is anything looked at, and from there on to the end of the value, no further.
Rule 3: quotes may be escaped, as often as the text was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from otel_phi.policy.redaction.hits import MARK, Hit
from otel_phi.policy.redaction.values import PASSWORD, SECRET, WEAK, is_jumbled, is_random, is_secret

# What follows a literal so that it is a whole key: (literal, rest of the key, how much it tells, kind).
_KEYS: tuple[tuple[str, str, int, str], ...] = (
    ("pass", r"(?:w(?:or(?:d|t)|d)s?|phrase|code|(?=[=:]))", PASSWORD, "password"),
    ("pwd", r"", PASSWORD, "password"),
    ("secret", r"(?:[_-]?(?:access)?[_-]?(?:key|token|value|string|id))?", SECRET, "secret"),
    ("token", r"(?:[_-]?(?:value|secret|x))?", SECRET, "token"),
    ("credential", r"s?", SECRET, "secret"),
    ("key", r"", SECRET, "key"),
    ("auth", r"(?:[_-]?(?:key|code|data))?", WEAK, "auth"),
    ("sess", r"(?:ion)?(?:[_-]?(?:id|key))?", WEAK, "session"),
    ("sig", r"(?:nature|(?==))", WEAK, "signature"),
)
# Before `key`: `api_key` tells, `cache_key`, `foreign-key` and `keyboard` do not.
_KEY_OF = re.compile(
    r"(?:^|[^a-z])(?:api|access|secret|private|account|shared[_-]?access|encryption|encrypt|master|signing|sign|license|service|subscription"
    r"|storage|webhook|deploy|ssh|auth|functions?|host|admin|root|client|consumer|app|application|session|jwt|hmac|aes|cipher|decrypt(?:ion)?"
    r"|write|server|bot|integration|ingest(?:ion)?|x-api|openai|anthropic|azure|google|groq|gemini|mistral|cohere|stripe|sendgrid|primary"
    r"|secondary|sas|product|registration|activation|rndc|wep|wpa|psk|preshared|pre[_-]?shared)[_ .-]?$"
)
_ENVIRONMENT = re.compile(r"(?:^|[^A-Za-z0-9_])[A-Z][A-Z0-9_]*$")
_NO_KEY = re.compile(
    r"(?:^|[^a-z])(?:public|pub|publishable|primary|foreign|sort|partition|cache|object|row|group|hash|dict|map|index|num|max|min|total)[_ .-]?$"
)
_TAIL = re.compile(
    r"(?P<more>(?:[_-]?(?:\d{1,2}|prod|dev|test|live|staging|x|b64|base64|enc))?)"
    r"(?P<close>[\"'`\\\])]{0,8})"
    r"(?P<sep>[ \t]{0,8}(?:=>|:=|={1,3}|:(?!:)|,(?=[ \t]{0,2}[\"']))(?:[ \t]*(?:str|string|String|char ?\*)[ \t]*=)?[ \t]{0,8}|%3[dD]|[ \t]+(?:is|was)[ \t]+|[ \t]+(?=[\"'`]))"
    r"(?P<open>(?:\\{0,8}[\"'`]){0,3})"
)
_FLAG_TAIL = re.compile(r"(?P<sep>[ =]+)(?P<open>(?:\\{0,8}[\"'`])?)")
# No secret is longer than 4,096 characters, but a private key, which is told otherwise: a hostile text costs no more for each key in it.
_UNQUOTED = re.compile(r"[^\s\"'`\\,;&<>(){}\[\]|]{1,4096}")
_ENVIRONMENT_VALUE = re.compile(r"[^\s\"'`\\]{1,4096}")
_BLOCK = re.compile(r"[>|][-+]?[ \t]*\\?n?\s+([A-Za-z0-9+/=_-]{16,})")
_PASSWORD_VALUE = re.compile(r"[^\s\"'`\\,;&<>{}|]{1,4096}")
_OPENING = frozenset("([{")
_JUDGED = 256  # characters of a value that tell what it is
_BEFORE = 40  # characters of a key that are looked at before what tells


def values_of_keys(text: str, lowered: str) -> tuple[list[Hit], frozenset[str]]:
    """Returns values behind telling keys, and which literals of such keys the text holds.

    Args:
        text: escapes decoded.
        lowered: the same in lower case, of the same length.
    """
    hits: list[Hit] = []
    present: list[str] = []
    for row in KEY_ROWS:
        literal = row[0]
        at = lowered.find(literal)
        if at < 0:
            continue
        present.append(literal)
        while at >= 0:
            hit = _behind(text, lowered, at, row)
            if hit is not None:
                hits.append(hit)
                at = hit.end - len(literal)  # what is taken out is not looked at again
            at = lowered.find(literal, at + len(literal))
    return hits, frozenset(present)


def values_of(text: str, lowered: str, keys: tuple[str, ...]) -> Iterator[Hit]:
    """Yields what stands behind keys of the user's own, in lower case: whatever it is, it is a secret."""
    for key in keys:
        at = lowered.find(key)
        while at >= 0:
            tail = _TAIL.match(text, at + len(key))
            if tail is not None and (not at or not lowered[at - 1].isalnum()):
                start, end, _ = _value(text, tail, assigned=False, password=True)
                if end > start and not text.startswith(MARK, start):
                    yield Hit(start, end, "key")
            at = lowered.find(key, at + len(key))


def _behind(text: str, lowered: str, at: int, row: _Row) -> Hit | None:
    _, pattern, strength, kind = row
    key = pattern.match(lowered, at)
    if key is None:
        return None
    before = text[max(at - _BEFORE, 0) : at]
    tail = _TAIL.match(text, key.end())
    if tail is None:
        tail = _FLAG_TAIL.match(text, key.end()) if _is_flag(before) else None
        if tail is None:
            return None
    assigned = "=" in tail["sep"] and _ENVIRONMENT.search(text[max(at - _BEFORE, 0) : key.end()]) is not None
    if kind == "key":
        strength = strength_of_key(before, assigned=assigned)
    elif (
        kind in ("auth", "session", "cookie") and before[-1:].isalnum() and before[-1:].islower() and text[at].islower()
    ):
        return None  # a part of another word
    if text.rfind(MARK, max(at - _BEFORE, 0), at) > text.rfind("]", max(at - _BEFORE, 0), at):
        return None  # the word of a mark
    start, end, quoted = _value(text, tail, assigned=assigned, password=strength == PASSWORD)
    value = text[start : min(end, start + _JUDGED)]
    prose = "is" in tail["sep"] or "was" in tail["sep"] or not tail["sep"].strip()
    if prose and (strength != PASSWORD or value.rstrip(".,!?)").isalpha()) and not is_jumbled(value):
        return None
    if "," in tail["sep"] and not is_random(value) and not _is_flag(before):
        return None  # names in a list
    if not quoted and text[end : end + 1] in _OPENING:
        return None  # a call, a type, a look-up
    return Hit(start, end, kind) if strength and is_secret(value, strength, quoted=quoted, assigned=assigned) else None


def strength_of_key(before: str, *, assigned: bool) -> int:
    """Returns how much a key that ends in `key` tells, 0 for nothing.

    Args:
        before: what stands before `key`.
        assigned: whether it is the name of a variable of an environment, or an object's key.
    """
    small = before.lower()
    if _NO_KEY.search(small):
        return 0
    if _KEY_OF.search(small) or _KEY_OF.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", before).lower()):
        return SECRET
    return WEAK if assigned or before[-1:] in ("_", "-") else 0


def _is_flag(before: str) -> bool:
    return re.search(r"(?:^|[\s\"'`,\[(])--?[a-z][a-z-]*$|(?:^|[\s\"'`,\[(])--?$", before) is not None


def _value(text: str, tail: re.Match[str], *, assigned: bool, password: bool) -> tuple[int, int, bool]:
    """Returns where the value begins and ends, and whether it stands in quotes."""
    start = tail.end()
    quotes = tail["open"]
    if quotes:
        quote = quotes[-1]
        escapes = len(quotes) - len(quotes.rstrip(quote))
        closing = quotes.lstrip(" ")[-(len(quotes[:-1]) - len(quotes[:-1].rstrip("\\")) + 1) :] or quote
        end = _closing(text, start, closing)
        return start, end, bool(escapes)
    block = _BLOCK.match(text, start)
    if block is not None:
        return block.start(1), block.end(1), True
    found = (_ENVIRONMENT_VALUE if assigned else _PASSWORD_VALUE if password else _UNQUOTED).match(text, start)
    end = start if found is None else found.end()
    while end > start and text[end - 1] in (".,;:?)]" if password else ".,;:!?") and not assigned:
        end -= 1
    return start, end, False


def _closing(text: str, start: int, closing: str) -> int:
    """Returns where a quoted value ends: at the same quote with as many escapes before it, at the end of the line, or of the text."""
    at = text.find(closing, start)
    while at > start and len(closing) == 1 and text[at - 1] == "\\":
        at = text.find(closing, at + 1)
    line = text.find("\n", start)
    ends = [end for end in (at, line) if end >= 0]
    return min(ends, default=len(text))


_Row = tuple[str, re.Pattern[str], int, str]
KEY_ROWS: tuple[_Row, ...] = tuple(
    (literal, re.compile(literal + rest), strength, kind) for literal, rest, strength, kind in _KEYS
)
