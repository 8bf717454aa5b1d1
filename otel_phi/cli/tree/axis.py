"""A session's time axis: from nanoseconds to a place between 0 and 1, with long idle stretches cut out.

An agent's session can rest for a night between two loops. Drawn to scale, each loop would be a dot.

Rule: only time in which nothing runs is cut, and only a stretch longer than half of all the time in which something does.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable

from otel_phi.cli.tree.rows import Row

_IDLE_SHARE = 0.5
_MARK_SHARE = 0.03  # what is left of an idle stretch, so that it can be seen


class Axis:
    """Places times.

    Args:
        rows: that must find a place; those with a duration count as work.

    Attributes:
        idle: stretches cut out: start and end, nanoseconds.
        length_ns: from the first start to the last end, idle stretches included.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        spells = _merged((row.started_ns, row.ended_ns) for row in rows)
        busy = sum(end - start for start, end in spells) or 1
        gaps = [(left[1], right[0]) for left, right in itertools.pairwise(spells)]
        self.idle = [gap for gap in gaps if gap[1] - gap[0] > busy * _IDLE_SHARE]
        self._from = spells[0][0] if spells else 0
        self._to = spells[-1][1] if spells else 1
        self.length_ns = self._to - self._from
        self._mark = busy * _MARK_SHARE
        self._ends = [end for _, end in self.idle]
        self._length = self._pressed(self._to) or 1.0

    def place(self, time_ns: int) -> float:
        """Returns where a time stands, 0.0 to 1.0."""
        return min(max(self._pressed(time_ns) / self._length, 0.0), 1.0)

    def _pressed(self, time_ns: int) -> float:
        passed = bisect.bisect_right(self._ends, time_ns)
        length = float(time_ns - self._from)
        for start, end in self.idle[:passed]:
            length += self._mark - (end - start)
        if passed < len(self.idle) and time_ns > self.idle[passed][0]:
            length -= time_ns - self.idle[passed][0]
        return length


def _merged(spells: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spells):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
