"""Request headers: checked once, never shown.

A value may be a credential, so no error, log line or repr here or above ever holds one; what a server says is passed
through `scrub`, since some echo what they got.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import unquote

from otel_phi.errors import ConfigError

Headers = Mapping[str, str] | Callable[[], Mapping[str, str]]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")  # RFC 9110 token
_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # CR, LF and NUL end a header early; tab may stand in one
_CREDENTIAL = re.compile(r"key|token|secret", re.IGNORECASE)

_SHOWN_CHARACTERS = 300  # of a server's words: enough for its sentence, not for its page


def checked(headers: Mapping[str, str]) -> dict[str, str]:
    """Returns the headers with lower-case names.

    Raises:
        ConfigError: a name is no token or a value holds a line break, NUL or a character outside latin-1.
    """
    out: dict[str, str] = {}
    for number, (name, value) in enumerate(headers.items(), start=1):
        if not isinstance(name, str) or not _NAME.match(name):
            # Not shown: a token in the wrong place would be.
            raise ConfigError(f"header {number} has no valid name: a name is letters, digits and hyphens")
        if not isinstance(value, str):
            raise ConfigError(f"the value of header {name!r} must be text, not {type(value).__name__}")
        if _BAD_VALUE.search(value) or any(ord(char) > 0xFF for char in value):
            raise ConfigError(
                f"the value of header {name!r} holds a line break, a control character or a character outside "
                "latin-1: remove it (a token read from a file often ends in a line break)"
            )
        out[name.lower()] = value
    return out


def current(headers: Headers) -> dict[str, str]:
    """Returns the headers of this attempt, asking the callable if it is one.

    Raises:
        ConfigError: the callable raised or gave something that is no header; the text holds no value.
    """
    if not callable(headers):
        return checked(headers)
    try:
        given = headers()
    except Exception as error:  # noqa: BLE001  # the user's code: anything may come
        # The exception's text may hold the token it failed to refresh: its type has to do.
        raise ConfigError(f"the headers callable raised {type(error).__name__}") from None
    if not isinstance(given, Mapping):
        raise ConfigError(f"the headers callable gave {type(given).__name__}: return a mapping of names to values")
    return checked(given)


def credential_names(headers: Mapping[str, str]) -> list[str]:
    """Returns the names of headers that look like credentials."""
    return [n for n in headers if n.lower() in ("authorization", "cookie") or _CREDENTIAL.search(n)]


def scrub(text: str, headers: Mapping[str, str]) -> str:
    """Returns a server's words on one line, shortened, without control characters and without our header values."""
    for value in headers.values():
        for secret in (value, *value.split()):
            if len(secret) >= 4:  # shorter ones are words like "1", found in any text
                text = text.replace(secret, "***")
    printable = "".join(char if char.isprintable() else " " for char in text)
    one_line = " ".join(printable.split())
    return one_line if len(one_line) <= _SHOWN_CHARACTERS else one_line[: _SHOWN_CHARACTERS - 1] + "…"


def from_text(text: str) -> tuple[dict[str, str], list[str]]:
    """Parses `name=value,name=value`, percent-encoded as in W3C baggage; spaces in values pass, as the SDK lets them.

    Returns:
        The headers, and a complaint for each entry that is none, without its text: a token is easily put there alone.
    """
    found: dict[str, str] = {}
    complaints = []
    for number, entry in enumerate(text.split(","), start=1):
        name, equals, value = (part.strip() for part in entry.partition("="))
        if not name and not equals:
            continue  # a comma too many
        if not equals:
            complaints.append(f"entry {number} is not of the form name=value")
            continue
        try:
            found.update(checked({unquote(name): unquote(value)}))
        except ConfigError:
            complaints.append(f"entry {number} is no valid header")
    return found, complaints


def joined(base: Mapping[str, str], more: Callable[[], Mapping[str, str]]) -> Callable[[], dict[str, str]]:
    """Returns a callable that gives the base headers with those of another callable on top."""

    def ask() -> dict[str, str]:
        return {**base, **current(more)}

    return ask
