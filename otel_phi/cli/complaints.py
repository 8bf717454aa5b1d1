"""Lines that could not be read: the first few are named on stderr, the rest counted."""

from __future__ import annotations

from otel_phi.cli import screen, words
from otel_phi.sources.reader import BadLine

_NAMED = 5


class Complaints:
    """Collects bad lines; give it to a reader as `on_bad_line`.

    Attributes:
        count: how many there were.
    """

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, line: BadLine) -> None:
        """Takes a line."""
        self.count += 1
        if self.count <= _NAMED:
            screen.say(f"otel-phi: {line}")

    def conclude(self) -> None:
        """Says how many were not named."""
        if self.count > _NAMED:
            screen.say(f"otel-phi: {words.many(self.count - _NAMED, 'more line')} could not be read")
