"""The redactor: texts and JSON values without what is a secret, and how many there were.

Order: escapes decoded, own rules, patterns and keys of the user's own, last their callable, which sees what is left.

Rule 1: a text that has nothing to take out comes back as the very same object.
Rule 2: what is split over the items of a list is looked for in the items joined, with nothing between and with a blank.
Rule 3: what was redacted is found clean: applied twice it changes nothing.
Rule 4: a callable of the user's that raises, or returns no text, costs the text it was asked about: dropped and counted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from otel_phi.policy.options import Patterns
from otel_phi.policy.redaction.ends import MARGIN, Tally, ends
from otel_phi.policy.redaction.escapes import decoded
from otel_phi.policy.redaction.finding import SHORTEST, find, of_patterns
from otel_phi.policy.redaction.hits import MARK, Hit, mark, merged, replaced
from otel_phi.policy.redaction.structure import holds_secret

Callback = Callable[[str, str], str]

# The same text is asked about up to four times: a tool's result, its message, the turn's end, the next request. Texts between these
# lengths are remembered: shorter ones cost little, longer ones would fill the memory.
REMEMBERED_FROM, REMEMBERED_TO, MAX_REMEMBERED = 64, 16_384, 256
# Deeper than this JSON is no longer looked into: it is dropped.
MAX_DEPTH = 64
# What is split over a list's items is looked for in as much of them.
MAX_JOINED = 262_144
DROPPED = mark("dropped")
_NAMES = ("name", "key", "Name", "Key")
_VALUES = frozenset({"value", "Value"})


class Redactor:
    """A redactor takes secrets out of what may be said.

    Args:
        callback: asked about each text, with the place it stands at; returns it as it may be said. None for none.
        keys: names of keys whose values are secrets, in any case.
        patterns: regular expressions of secrets, by kind.
        defaults: whether the own rules apply.
    """

    def __init__(
        self,
        callback: Callback | None = None,
        keys: Iterable[str] = (),
        patterns: Patterns = (),
        *,
        defaults: bool = True,
    ) -> None:
        self._callback = callback
        self._keys = tuple(sorted({key.lower() for key in keys if key}))
        self._patterns = patterns
        self._defaults = defaults
        self._known = functools.lru_cache(maxsize=MAX_REMEMBERED)(self._found)

    def text(self, text: str, where: str, tally: Tally, room: int | None = None) -> str:
        """Returns a text without its secrets.

        Args:
            text: any text.
            where: the place it stands at, for the callback: `input`, `output`, `tool.arguments`, ...
            tally: counts them.
            room: characters that will be left of it at most, its middle cut: of one that is far longer only both ends are looked at.
        """
        if room is not None and len(text) > room + 2 * MARGIN:
            text = ends(text, room, self.hits, tally)
            return text if self._callback is None else _asked(self._callback, text, where, tally)
        if len(text) >= SHORTEST:
            ours = self._known if REMEMBERED_FROM <= len(text) <= REMEMBERED_TO else self._found
            text, count = ours(text)
            tally.redacted += count
        return text if self._callback is None else _asked(self._callback, text, where, tally)

    def texts(self, texts: Sequence[str], where: str, tally: Tally) -> list[str]:
        """Returns texts that follow one another without their secrets, those split over several among them."""
        return [self.text(one, where, tally) for one in self.across(texts, tally)]

    def across(self, texts: Sequence[str], tally: Tally) -> list[str]:
        """Returns texts that follow one another without the secrets that are split over several of them."""
        kept = list(texts)
        if len(kept) > 1 and sum(map(len, kept)) <= MAX_JOINED:
            for glue in ("", " "):
                kept = self._across(kept, glue, tally)
        return kept

    def value(self, value: Any, where: str, tally: Tally, depth: int = 0) -> Any:
        """Returns a JSON value without its secrets: in texts, in keys, and behind keys that tell."""
        if value.__class__ is str:
            return self.text(value, where, tally)
        if isinstance(value, list):
            return self._list(value, where, tally, depth)
        if isinstance(value, dict):
            return self._object(value, where, tally, depth)
        return value

    # --- texts -----------------------------------------------------------------------------------------------------------

    def hits(self, text: str) -> list[Hit]:
        """Returns the secrets in a text whose escapes are decoded, in order and apart."""
        found = find(text, self._keys) if self._defaults else find(text, self._keys, defaults=False)
        if self._patterns:
            found = merged([*found, *of_patterns(text, self._patterns)])
        return found

    def _found(self, text: str) -> tuple[str, int]:
        plain = decoded(text)
        hits = self.hits(plain)
        if not hits and plain is not text:
            plain, hits = text, self.hits(text)  # one that is whole only as it was written
        return (replaced(plain, hits), len(hits)) if hits else (text, 0)

    def _across(self, texts: list[str], glue: str, tally: Tally) -> list[str]:
        """Takes out what stands in more than one of the texts: the mark in the first, nothing in the others.

        With a blank between them also what is told by the text before it: a password behind its flag.
        """
        found = [(hit, _parts(texts, glue, hit)) for hit in self.hits(glue.join(texts))]
        for hit, parts in reversed(found):
            if len(parts) > 1 or (glue and parts):
                tally.redacted += 1
                for number, (index, start, end) in enumerate(parts):
                    texts[index] = texts[index][:start] + ("" if number else mark(hit.kind)) + texts[index][end:]
        return texts

    # --- JSON ------------------------------------------------------------------------------------------------------------

    def _list(self, items: list[Any], where: str, tally: Tally, depth: int) -> Any:
        if depth >= MAX_DEPTH:
            tally.redacted += 1
            return DROPPED
        if len(items) > 1 and all(item.__class__ is str for item in items):
            return self.texts(items, where, tally)
        return [self.value(item, where, tally, depth + 1) for item in items]

    def _object(self, given: dict[str, Any], where: str, tally: Tally, depth: int) -> Any:
        if depth >= MAX_DEPTH:
            tally.redacted += 1
            return DROPPED
        made: dict[str, Any] = {}
        named = _named(given)
        for key, value in given.items():
            name = self.text(key, where, tally) if len(key) >= SHORTEST else key
            while name in made:
                name += "_"  # two keys that are the same once their secrets are out
            made[name] = self._member(named if named and key in _VALUES else key, value, where, tally, depth)
        return made

    def _member(self, key: str, value: Any, where: str, tally: Tally, depth: int) -> Any:
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            kept = [self._scalar(key, item, tally) for item in value]
            return self.texts(kept, where, tally)
        if isinstance(value, dict | list):
            return self.value(value, where, tally, depth + 1)
        kept = self._scalar(key, value, tally)
        return self.text(kept, where, tally) if kept.__class__ is str else kept

    def _scalar(self, key: str, value: Any, tally: Tally) -> Any:
        kind = holds_secret(key, value) if self._defaults else None
        if kind is None and self._keys and _is_one_of(key, self._keys) and value not in (None, "", True, False):
            kind = "key"
        if kind is None or (isinstance(value, str) and value.startswith(MARK)):
            return value
        tally.redacted += 1
        return mark(kind)


def _asked(callback: Callback, text: str, where: str, tally: Tally) -> str:
    try:
        answer = callback(text, where)
    except Exception:  # noqa: BLE001  # the user's own code: what it fails on is not told
        answer = None
    if isinstance(answer, str):
        tally.redacted += answer != text
        return str.__str__(answer)
    tally.redacted += 1
    return DROPPED


def _named(given: dict[str, Any]) -> str | None:
    """Returns the name in an object that has a name and a value, as environments of containers are written; None for any other."""
    if len(given) > 4 or _VALUES.isdisjoint(given):
        return None
    return next((given[key] for key in _NAMES if isinstance(given.get(key), str)), None)


def _is_one_of(key: str, keys: tuple[str, ...]) -> bool:
    small = key.lower()
    return any(small == one or (small.endswith(one) and not small[-len(one) - 1].isalnum()) for one in keys)


def _parts(texts: list[str], glue: str, hit: Hit) -> list[tuple[int, int, int]]:
    """Returns which part of which text a hit in the joined texts covers: (index, start, end) of each."""
    found = []
    at = 0
    for index, text in enumerate(texts):
        start, end = max(hit.start - at, 0), min(hit.end - at, len(text))
        if start < end:
            found.append((index, start, end))
        at += len(text) + len(glue)
    return found
