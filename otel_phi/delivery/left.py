"""What opened and closed with spans that left memory before the outbox took them, kept by its last state."""

from __future__ import annotations

from otel_phi.delivery.rows import Change, OpenRow

# The recorder holds at most so many loops open, each with a turn.
MAX_OPEN = 20_000


class Left:
    """Is still to be written before what came later. Not for several threads at once.

    Order among different loops, turns and groups means nothing, as long as a parent opens before its children come.
    """

    def __init__(self) -> None:
        self.opened: dict[bytes, OpenRow] = {}
        self._extended: dict[bytes, int] = {}
        self._closed: dict[bytes, None] = {}

    def __bool__(self) -> bool:
        """Tells whether there is something."""
        return bool(self.opened or self._extended or self._closed)

    def absorb(self, change: Change, *, lost: bool) -> None:
        """Takes what a change says but its rows.

        Args:
            change: a later one than those before.
            lost: its rows are lost: what they would have closed stays open, so that it leaves as aborted one day.
        """
        gone = {row.key for row in change.rows} if lost else ()
        for opened in change.opened:
            if len(self.opened) < MAX_OPEN:
                self.opened[opened.key] = opened
                self._closed.pop(opened.key, None)
        for key, ended_ns in change.extended:
            if len(self._extended) < MAX_OPEN:
                self._extended[key] = max(ended_ns, self._extended.get(key, 0))
        for key in change.closed:
            if key not in gone:
                self.opened.pop(key, None)
                self._extended.pop(key, None)
                if len(self._closed) < MAX_OPEN:
                    self._closed[key] = None

    def slice(self, count: int) -> Change:
        """Returns a part: what opened comes first."""
        if self.opened:
            return Change(opened=list(self.opened.values())[:count])
        return Change(extended=list(self._extended.items())[:count], closed=list(self._closed)[:count])

    def forget(self, written: Change) -> None:
        """Forgets what was written, unless something newer took its place."""
        for opened in written.opened:
            if self.opened.get(opened.key) is opened:
                del self.opened[opened.key]
        for key, ended_ns in written.extended:
            if self._extended.get(key) == ended_ns:
                del self._extended[key]
        for key in written.closed:
            self._closed.pop(key, None)
