"""Lines that could not be read: the first few are named on stderr, the rest counted. And what the delivery warns of."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from otel_phi.cli import screen, words
from otel_phi.cli.exit_codes import BROKEN, DELIVERED

if TYPE_CHECKING:
    from otel_phi.sources.reader import BadLine

_NAMED = 5
_FILES_NAMED = 20  # each is to be mended by somebody; of thousands, a disk that is away say, a few tell it


class Complaints:
    """Collects bad lines, and files that cannot be read; give it to a reader as `on_bad_line`.

    Args:
        lines: whether bad lines are said; False where the same files are read again.
        of: takes the files instead, None for this itself.

    Attributes:
        count: how many lines there were.
        files: how many files.
    """

    def __init__(self, *, lines: bool = True, of: Complaints | None = None) -> None:
        self.count = self.files = 0
        self._lines, self._of = lines, of

    def __call__(self, line: BadLine) -> None:
        """Takes a line, or a file: one without a number."""
        if line.line and not self._lines:
            return
        if not line.line and self._of is not None:
            self._of(line)
        elif line.line:
            self.count += 1
            self._say(line, named=self.count <= _NAMED)
        else:
            self.files += 1
            self._say(line, named=self.files <= _FILES_NAMED)

    @staticmethod
    def _say(line: BadLine, *, named: bool) -> None:
        if named:
            screen.say(f"otel-phi: {line}")

    def more(self, lines: int) -> None:
        """Counts lines that nobody can name any more."""
        self.count += lines

    def conclude(self) -> None:
        """Says how many were not named."""
        if self.count > _NAMED:
            screen.say(f"otel-phi: {words.many(self.count - _NAMED, 'more line')} could not be read")
        if self.files > _FILES_NAMED:
            screen.say(f"otel-phi: {words.many(self.files - _FILES_NAMED, 'more file')} could not be read")

    def exit_code(self) -> int:
        """Returns 1 where a file could not be read; what was wrong with a line was said."""
        return BROKEN if self.files else DELIVERED

    def leave(self) -> None:
        """Ends the process with that code, where it is not 0."""
        if self.files:
            sys.exit(self.exit_code())


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
