"""The order of the work: what has just changed comes first; the look at everything goes on in slices between.

    word of changes ─▶ a round of those ─▶ a slice of the look at everything, if one is under way ─▶ word of changes

Rule 1: a slice ends after so many files, or so much time: an agent at work waits no longer, however many old files there are.
Rule 2: the first look finishes looking and indexing before anything is recorded: what an event refers to is in the index. From there on,
        and in every later look, what changes is taken in between two slices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from otel_phi.clock import monotonic
from otel_phi.watch.watcher import Watcher

# A tenth of the second within which a turn is to arrive; beside busy neighbours a slice takes no longer, it does less.
SLICE_S = 0.1
# Some 10 ms of looking where nothing has changed.
SLICE_FILES = 500


class Rounds:
    """Gives the watcher its work in order. For one thread.

    Args:
        watcher: does it.
    """

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._look: Iterator[bool] | None = None
        self._fresh = self._again = False  # whether the look has not begun; whether another one is to follow
        self._open = True  # whether a round of changes may come now
        self._changed: set[Path] = set()

    @property
    def busy(self) -> bool:
        """Whether a look at everything is under way."""
        return self._look is not None

    def begin(self) -> None:
        """Begins a look at everything, after the one under way if that has begun."""
        if self._look is None:
            self._look, self._fresh, self._open = self._watcher.look(), True, self._watcher.begun
        elif not self._fresh:
            self._again = True

    def take(self, changed: Iterable[Path] | None) -> None:
        """Takes in what has changed, then does a slice of the look under way.

        Args:
            changed: paths that have; None to look at all.

        Raises:
            Stopped: it was asked to stop while the destination took nothing.
            DeliveryError: the destination was given up.
        """
        if changed is None:
            self.begin()
        else:
            self._changed.update(changed)
        if self._open and (self._changed or self._watcher.resting):
            found, self._changed = self._changed, set()
            self._watcher.round(found)
        if self._look is not None:
            self._slice(self._look)

    def _slice(self, look: Iterator[bool]) -> None:
        self._fresh = False
        until = monotonic() + SLICE_S
        for files, self._open in enumerate(look, 1):
            if self._open and (files >= SLICE_FILES or monotonic() > until):
                return
        self._look, self._open = None, True
        if self._again:
            self._again = False
            self.begin()
