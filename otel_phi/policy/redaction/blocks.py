"""Secrets by their surroundings: private keys in PEM, URLs with passwords, headers, cookies, a client's `-u user:password`."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from otel_phi.policy.redaction.hits import MARK, Hit
from otel_phi.policy.redaction.values import is_jumbled

_PEM = re.compile(r"-{2,5} ?BEGIN (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)? ?-{2,5}")
_PEM_END = re.compile(r"-{2,5} ?END (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)? ?-{0,5}")
_PEM_BODY = re.compile(r"[A-Za-z0-9+/=\s\\:,.()|\"'-]{0,16384}")
# The longest key has 13,000 characters. A text with more beginnings than this is hostile: all behind them is taken out.
_LONGEST_KEY, _MOST_KEYS = 16_384, 64
_PUTTY = re.compile(r"Private-Lines: \d+(?:\\+[rn]|\s)+[A-Za-z0-9+/=\s\\]{16,}")
_URL = re.compile(r"://([^\s/:@\"'`<>\\?#\[]{0,128}):([^\s/\"'`<>\\]{1,512})@(?=[\w\[.{$%*-])")
_USER = re.compile(r"://([A-Za-z0-9_.~%-]{20,512})@")
_ORACLE = re.compile(r"jdbc:oracle:\w+:[\w$#.-]{1,64}/([^\s@\"'`\\]{1,128})@")
_STANDS_IN = re.compile(
    r"(?i)(?:password|passwd|pass|pwd|secret|token|x{3,}|\*+|\.{3}|<[^>]*>|\{.*|\$.*|%[sd]|your.*|redacted|hidden)$"
)
_AUTHORIZATION = re.compile(
    r"authorization[\"'`\\\])]{0,8}[ \t]{0,4}[:=,][ \t]{0,4}[\"'`\\]{0,8}[ \t]{0,2}"
    r"(?:(?:basic|bearer|token|apikey|api-key|key|digest|negotiate|ntlm|sso-key|ssws|discogs|genie\w*|splunk|hawk|aws4-hmac-sha256)[ \t:]+)?"
    r"(?P<value>[^\s\"'`\\<>{}]{6,})",
    re.IGNORECASE,
)
_BEARER = re.compile(
    r"bearer[\"'`\\]{0,4}[ \t]*[,:]?[ \t]*[\"'`\\]{0,4}(?P<value>[A-Za-z0-9_.~+/=-]{12,})", re.IGNORECASE
)
_BASIC = re.compile(r"basic[ \t]+(?P<value>[A-Za-z0-9+/_-]{8,}={0,2})", re.IGNORECASE)
_COOKIE = re.compile(
    r"(?:set-)?cookie[\"'`\\]{0,8}[ \t]{0,4}[:=][ \t]{0,4}[\"'`\\]{0,8}(?P<value>[^\r\n\"'`\\]{4,4096})", re.IGNORECASE
)
_CRUMB = re.compile(r"([^=;,\s]{1,128})=([^;\s]{8,})")
_PLAIN_CRUMBS = frozenset({"path", "domain", "expires", "max-age", "samesite", "secure", "httponly", "priority"})
_USER_FLAG = re.compile(r"-u(?:ser)?(?:[ =]|[\"'`], ?[\"'`])[\"'`\\]{0,4}([^\s:\"'`\\]{1,128}):([^\s\"'`\\]{3,256})")
_PASSWORD_FLAG = re.compile(r" -p[ =]?[\"'`\\]{0,4}([^\s\"'`\\-][^\s\"'`\\]{2,255})")
# Of these clients the flag is a password; of others it is a port, a path, a profile.
_CLIENT = re.compile(r"(?:sshpass|mysql\w*|mariadb\w*|mongo\w*|docker(?: login)?)\b[^\n]*$")
_NETRC = re.compile(r"login[ \t]+\S{1,128}\s+password[ \t]+(\S{1,256})")
_STANDS_FOR = ("$", "%", "[", "*", "process.", "os.")
_BEFORE_A_FLAG = frozenset("- \t\n\"'`[,")
_DIGIT = re.compile(r"\d")


def blocks(text: str, lowered: str, present: frozenset[str]) -> list[Hit]:
    """Returns the secrets that their surroundings tell.

    Args:
        text: escapes decoded.
        lowered: the same in lower case, of the same length.
        present: which literals of telling keys it holds: what holds none of them needs no look for what holds one.
    """
    hits: list[Hit] = []
    if "key" in present:
        hits += _private_keys(text)
    if "@" in text and "://" in text:
        hits += _urls(text)
    if "auth" in present and "authorization" in lowered:
        hits += _values(_AUTHORIZATION, text, "authorization")
    if "bearer" in lowered:
        hits += _values(_BEARER, text, "authorization")
    if "basic " in lowered:
        hits += _basic(text)
    if "cookie" in lowered:
        hits += _cookies(text)
    if "-u" in text:
        hits += _user_flags(text)
    if " -p" in text or ("pass" in present and "login" in lowered):
        hits += _password_flags(text)
    return hits


def _private_keys(text: str) -> Iterator[Hit]:
    if "PRIVATE KEY" in text:
        yield from _pem(text)
    if "Private-Lines" in text:
        for found in _PUTTY.finditer(text):
            yield Hit(found.start(), found.end(), "private_key")


def _pem(text: str) -> Iterator[Hit]:
    """Yields private keys in PEM: to their end, or to the end of what can be one's body where that is missing."""
    at = count = 0
    while (begin := _PEM.search(text, at)) is not None:
        count += 1
        if count > _MOST_KEYS:
            yield Hit(begin.start(), len(text), "private_key")
            return
        ending = _PEM_END.search(text, begin.end(), begin.end() + _LONGEST_KEY)
        body = _PEM_BODY.match(text, begin.end())
        at = ending.end() if ending is not None else begin.end() if body is None else body.end()
        yield Hit(begin.start(), at, "private_key")


def _urls(text: str) -> Iterator[Hit]:
    for found in _URL.finditer(text):
        if not _STANDS_IN.match(found[2]) and not found[2].startswith(MARK):
            yield Hit(*found.span(2), "url_password")
    for found in _USER.finditer(text):
        if _DIGIT.search(found[1]) and not found[1].replace(".", "").replace("-", "").islower():
            yield Hit(*found.span(1), "url_password")
    if "jdbc:oracle" in text:
        for found in _ORACLE.finditer(text):
            yield Hit(*found.span(1), "url_password")


def _values(pattern: re.Pattern[str], text: str, kind: str) -> Iterator[Hit]:
    for found in pattern.finditer(text):
        value = found["value"]
        drawn = _DIGIT.search(value) and not value.startswith(_STANDS_FOR) and "(" not in value
        if drawn or (pattern is _AUTHORIZATION and is_jumbled(value)):
            yield Hit(*found.span("value"), kind)


def _basic(text: str) -> Iterator[Hit]:
    for found in _BASIC.finditer(text):
        try:
            plain = base64.b64decode(found["value"] + "=" * (-len(found["value"]) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        if b":" in plain and plain.isascii():
            yield Hit(*found.span("value"), "authorization")


def _cookies(text: str) -> Iterator[Hit]:
    for found in _COOKIE.finditer(text):
        for crumb in _CRUMB.finditer(text, *found.span("value")):
            if crumb[1].lower() not in _PLAIN_CRUMBS and not crumb[2].startswith((MARK, "$", "{", "<")):
                yield Hit(*crumb.span(2), "cookie")


def _user_flags(text: str) -> Iterator[Hit]:
    for found in _USER_FLAG.finditer(text):
        if text[found.start() - 1 : found.start()] in _BEFORE_A_FLAG and not _STANDS_IN.match(found[2]):
            yield Hit(*found.span(2), "password")


def _password_flags(text: str) -> Iterator[Hit]:
    for found in _PASSWORD_FLAG.finditer(text):
        value, line = found[1], text[max(found.start() - 200, 0) : found.start()]
        if _CLIENT.search(line) and not (_STANDS_IN.match(value) or value.isdigit() or ":" in value):
            yield Hit(*found.span(1), "password")
    for found in _NETRC.finditer(text):
        if not _STANDS_IN.match(found[1]):
            yield Hit(*found.span(1), "password")
