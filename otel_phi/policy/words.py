"""What is a word: the texts that stay. Everything else that is text and no identifier becomes `_other`.

Rule 1: where phi-core has a closed set, its members are the words; elsewhere a word is short, ASCII and has no blank.
Rule 2: identifiers (of sessions, loops, agents, calls, configurations) are no words: they are kept as they are.
Rule 3: a text is judged in one place, `_judged`; what redaction finds a secret in is refused there.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection
from types import NoneType
from urllib.parse import urlsplit

from msgspec import UNSET, UnsetType

from otel_phi.wire.foreign import pass_on
from otel_phi.wire.times import Instant

OTHER = "_other"
# OpenTelemetry's own word for an error that has none: https://opentelemetry.io/docs/specs/semconv/registry/attributes/error/
OTHER_ERROR = "_OTHER"
_WORD = re.compile(r"[A-Za-z0-9_.:/@+-]{1,64}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_.:/@+-]{1,128}", re.ASCII)
_NO_LETTER = re.compile(r"[^A-Za-z0-9]", re.ASCII)
# An agent's name is its configurer's own word: letters of any language, in at most five parts with a blank between. A sentence is
# longer, or has other signs in it.
_TITLE = re.compile(r"[\w.+&()'-]+(?: [\w.+&()'-]+){0,4}")
_TITLE_LENGTH = 64  # as a word
# What was judged before, so that a hot word costs one look-up. An agent has a few dozen; past it all are judged again.
MAX_KNOWN = 4_096

# "" says that there is nothing to say; None that nobody said it.
known_words: set[object] = {""}
known_names: set[object] = {""}
LEVELS: frozenset[str | None] = frozenset({None, "", OTHER, "off", "minimal", "low", "medium", "high"})
CATEGORIES: frozenset[str | None] = frozenset({"", OTHER, "failure", "tangent", "completion", "step-summary"})
# `FollowUp` is `Continuation` in files before April 2026.
TRIGGERS: frozenset[str | None] = frozenset({None, "", OTHER, "User", "SubAgent", "Continuation", "Branch", "FollowUp"})
# What is not phi-core's is UNSET where nobody gave it; then it is not written.
TOOL_OUTCOMES: frozenset[object] = frozenset({UNSET, "", OTHER, "detached"})
CACHED: frozenset[object] = frozenset({UNSET, "", OTHER, "in", "out"})
OUTCOMES: frozenset[str | None] = frozenset({"", OTHER, "ok", "cancelled", "error"})

TIMES: frozenset[type] = frozenset({Instant, int, NoneType})
NUMBERS: frozenset[type] = frozenset({int, NoneType})
FRACTIONS: frozenset[type] = frozenset({float, int, NoneType})
IDENTIFIERS: frozenset[type] = frozenset({str, NoneType})
FLAGS: frozenset[type] = frozenset({bool, NoneType})
GIVEN_TIMES: frozenset[type] = frozenset({Instant, int, UnsetType})
GIVEN_NUMBERS: frozenset[type] = frozenset({int, UnsetType})
GIVEN_FRACTIONS: frozenset[type] = frozenset({float, int, UnsetType})
GIVEN_IDENTIFIERS: frozenset[type] = frozenset({str, UnsetType})
GIVEN_FLAGS: frozenset[type] = frozenset({bool, UnsetType})


def word(text: str) -> str:
    """Returns a text of at most 64 characters that is a word, `_other` for any other."""
    return text if text in known_words else _judged(text, _WORD, known_words)


def name(text: str) -> str:
    """Returns the name of a model or tool, at most 128 characters, `_other` for what is none."""
    return text if text in known_names else _judged(text, _NAME, known_names)


def agent_name(text: str) -> str:
    """Returns the name of an agent, as the developer configured it: a `name`, or up to five of them with blanks, at most 64 characters.

    `Research Planner` and `Planificateur` are names, `Ask: which town?` is none; `_other` for what is none.
    """
    found = name(text)
    if found == OTHER and len(text) <= _TITLE_LENGTH and _TITLE.fullmatch(text):
        return text
    return found


def error_word(text: str) -> str:
    """Returns a source's own word for an error, `_OTHER` for what is none."""
    found = word(text)
    return OTHER_ERROR if found in ("", OTHER) else found


def one_of(closed: Collection[str | None], text: str | None) -> str | None:
    """Returns a text that is in a closed set, `_other` for any other.

    Raises:
        TypeError: it is no text.
    """
    if text in closed:
        return text
    if text.__class__ is not str:
        raise TypeError(f"a {text.__class__.__name__} where a word is expected")
    return OTHER


def given_of(closed: Collection[object], text: str | UnsetType) -> str | UnsetType:
    """Returns a text that is in a closed set, `_other` for any other, UNSET where nobody gave one.

    Raises:
        TypeError: it is no text.
    """
    if text in closed:
        return text
    if text.__class__ is not str:
        raise TypeError(f"a {text.__class__.__name__} where a word is expected")
    return OTHER


def _judged(text: str, pattern: re.Pattern[str], known: set[object]) -> str:
    if text.__class__ is not str:
        raise TypeError(f"a {text.__class__.__name__} where a word is expected")
    if not text:
        return text  # another thread may just have begun to remember anew
    if pattern.fullmatch(text) is None or _holds_secret(text):
        return OTHER
    if len(known) >= MAX_KNOWN:
        known.clear()
        known.add("")
    known.add(text)
    return text


def _holds_secret(text: str) -> bool:
    return bool(load_judge()(text))


def load_judge() -> Callable[[str], Collection[object]]:
    """Returns what finds secrets; its patterns take 10 ms to load, so none are before the first word is judged.

    Whoever judges on an agent's threads asks for it before: a child that is forked during an import waits for it for ever.
    """
    from otel_phi.policy.redaction.finding import find

    return find


def display_name(text: str, model: str) -> str:
    """Returns a model's display name: a word, or with blanks where its letters say no more than the model's id does.

    Args:
        text: such as `Claude Sonnet 4.5`.
        model: the id, as it may be said: `claude-sonnet-4-5`.
    """
    found = word(text)
    if (
        found == OTHER
        and _letters(text)
        and _letters(text) in _letters(model)
        and text.isascii()
        and text.isprintable()
    ):
        return text
    return found


def _letters(text: str) -> str:
    return _NO_LETTER.sub("", text).lower()


@functools.lru_cache(maxsize=256)  # an agent has a few providers
def address(url: str) -> str | None:
    """Returns scheme, host and port of a URL, None where it has no host; user, path and query are left out."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        pass_on(error)
        return None
    if not host:
        return None
    host = word(host)
    scheme = f"{word(parts.scheme)}:" if parts.scheme else ""
    return f"{scheme}//{f'[{host}]' if ':' in host else host}{'' if port is None else f':{port}'}"


def checked(kinds: Collection[type], *values: object) -> None:
    """Raises where a value that is let through is of a class it should not be: text in a number could be content.

    Raises:
        TypeError: one is; its class is named, never the value.
    """
    for value in values:
        if value.__class__ not in kinds:
            raise TypeError(
                f"a {value.__class__.__name__} where {' or '.join(sorted(k.__name__ for k in kinds))} is expected"
            )
