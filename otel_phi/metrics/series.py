"""The series of a metric, bounded: what may stand on one, and how many there may be.

Rule 1: a value that looks like an id, a path or an address of an account is `_OTHER`: words alone tell series apart.
Rule 2: past `MAX_SERIES` attribute sets of one metric all further ones are a single series, marked as OpenTelemetry's
        specification asks: https://opentelemetry.io/docs/specs/otel/metrics/sdk/#overflow-attribute
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

Value = str | int | bool
Pairs = Iterable[tuple[str, Value | None]]
OTHER = "_OTHER"  # the convention's word for what has none
# Of one metric. A process has a few agents, models and tools; the specification's default limit is 2,000 for all readers.
MAX_SERIES = 500
_OVERFLOW: dict[str, Value] = {"otel.metric.overflow": True}
_WORD = re.compile(r"[A-Za-z0-9_.:/@+-]{1,128}", re.ASCII)
# A path, a drive, a file's URL, an ARN; a UUID, 16 hexadecimal digits with a decimal among them, 10 decimal ones (a date has 8).
_NO_WORD = re.compile(
    r"^[/~.\\]|^[A-Za-z]:[/\\]|^file:|^arn:|(/[^/]*){5}"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-|(?=[a-f]*\d)[0-9a-f]{16}|\d{10}",
    re.IGNORECASE,
)


@functools.lru_cache(maxsize=1_024)  # of an agent's few words each comes again and again
def word(text: str) -> str:
    """Returns a value of an attribute: the text where it is a word, `_OTHER` for what it is not."""
    return text if _WORD.fullmatch(text) and not _NO_WORD.search(text) else OTHER


class Series:
    """Series are the attribute sets of one metric that were used so far. For one thread."""

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[str, Value], ...], dict[str, Value]] = {}

    def of(self, pairs: Pairs) -> dict[str, Value]:
        """Returns the attributes to record with: those that have a value, texts as words."""
        key = tuple(
            [(name, word(value) if isinstance(value, str) else value) for name, value in pairs if value is not None]
        )
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MAX_SERIES:
                return _OVERFLOW
            found = self._known[key] = dict(key)
        return found
