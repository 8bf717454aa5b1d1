"""Lines that could not be read: the first few are named on stderr, the rest counted. And what the delivery warns of."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

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


class _Said(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        screen.say(f"otel-phi: {record.getMessage()}")


@contextmanager
def warnings_said() -> Iterator[None]:
    """Says what the delivery logs: a person who waits wants to know why."""
    logger, handler = logging.getLogger("otel_phi"), _Said(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
