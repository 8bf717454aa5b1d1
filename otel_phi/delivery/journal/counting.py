"""Counting: what a journal holds, and what of it was lost, each once and with its reason."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from otel_phi.delivery.journal.facts import End, Fact, LookedUp, Purge, Purged, RootClaimed, Snapshot
from otel_phi.delivery.journal.lines import Damage
from otel_phi.delivery.journal.segment import Segment

MEMORY_FULL, CLOSED = "memory full", "journal closed"
_OWN_BLANK = Purged(own=True)
_KINDS = {"cut": "a line without its end", "checksum": "a line that was changed", "end": "its end is missing"}
_MESSAGES = 20  # for a person; the counts go on


class JournalStats(msgspec.Struct, frozen=True, kw_only=True):
    """Says what a journal holds and what was lost of it.

    Attributes:
        lines: events given to `append` that were kept, in a file or in memory. Facts of the sender's own do not count.
        read: of these, how many `read` gave.
        waiting_bytes: bytes of the files behind what `read` gave.
        file_bytes: all bytes of the files.
        refused: lines that wait in memory, and nowhere else, because a file did not take them.
        lost: lines that were not kept, by reason.
        damaged_lines: lines that could not be read any more, each counted once.
        damaged_bytes: their bytes.
        missing_segments: files that are gone from the middle.
        messages: one a kind of damage, for a person.
        in_memory: why there is no file, "" if there is one.
    """

    lines: int = 0
    read: int = 0
    waiting_bytes: int = 0
    file_bytes: int = 0
    refused: int = 0
    lost: tuple[tuple[str, int], ...] = ()
    damaged_lines: int = 0
    damaged_bytes: int = 0
    missing_segments: int = 0
    messages: tuple[str, ...] = ()
    in_memory: str = ""

    @property
    def waiting(self) -> int:
        """Returns how many events were not read yet."""
        return self.lines - self.read


class Losses:
    """Keeps the counts of one journal that outlive its segments.

    Attributes:
        adopted: events found at adoption.
        read: events that were read.
        missing: segments gone from the middle.
    """

    def __init__(self) -> None:
        self.adopted = 0
        self.read = 0
        self.missing = 0
        self._left = 0
        self._lost = 0
        self._lines = 0
        self._bytes = 0
        self._messages: list[str] = []

    def say(self, message: str) -> None:
        """Keeps a message for a person, each once."""
        if message not in self._messages and len(self._messages) < _MESSAGES:
            self._messages.append(message)

    def damage(self, where: str, damage: Damage) -> None:
        """Counts lines that could not be read."""
        self._lines += damage.lines
        self._bytes += damage.bytes
        self.say(_words(where, damage))

    def lose(self, where: str, what: str) -> None:
        """Counts a line of a head region."""
        self._lines += 1
        self.say(f"{where}: {what}")

    def finish(self, segment: Segment, following: Segment) -> None:
        """Counts what can be told only of a segment that is read to its end."""
        missing = following.region.before_bytes - segment.size
        if missing > 0 and following.number == segment.number + 1:  # else it is the size of one that is gone
            self.damage(segment.path.name, Damage(segment.size, missing, 1, "end"))
        for damage in _cuts(segment, following):
            self.damage(segment.path.name, damage)
        segment.cuts.clear()

    def leave(self, segment: Segment) -> None:
        """Takes over the counts of a segment that is deleted."""
        self._left += _kept(segment)
        self._lost += segment.lost.count

    def stats(self, segments: Sequence[Segment], at: int) -> JournalStats:
        """Returns the counts; `at` is the segment being read."""
        read = self.read  # first: what is read was given before
        cuts = [(one, damage) for one in segments for damage in _cuts(one)]
        lost = self._lost + sum(one.lost.count for one in segments)
        refused = sum(len(one.memory) + one.unwritten_carried for one in segments)
        return JournalStats(
            lines=max(self.adopted + self._left + sum(map(_kept, segments)), read),
            read=read,
            waiting_bytes=sum(max(one.size - one.reader.offset, 0) for one in segments[max(at, 0) :]),
            file_bytes=sum(one.size for one in segments),
            refused=refused,
            lost=((MEMORY_FULL, lost),) if lost else (),
            damaged_lines=self._lines + len(cuts),
            damaged_bytes=self._bytes + sum(damage.bytes for _, damage in cuts),
            missing_segments=self.missing,
            messages=(*self._messages, *dict.fromkeys(_words(one.path.name, damage) for one, damage in cuts)),
        )


def _words(where: str, damage: Damage) -> str:
    return f"{where}: {_KINDS.get(damage.kind, 'bytes that are no line')}"


def _cuts(segment: Segment, following: Segment | None = None) -> list[Damage]:
    """Returns the cut lines that are a loss.

    The last line of a file may be unfinished; what a full disk cut short waits in memory, or was carried over.
    """
    if following is not None and following.region.carried:
        return []
    inside = [damage for damage in segment.cuts if damage.start + damage.bytes < segment.reader.offset]
    return inside[segment.cut + segment.fragments.count :]


def _kept(segment: Segment) -> int:
    return max(segment.given.count - segment.facts.count, 0)


def counts_as_event(fact: Fact) -> bool:
    """Tells whether a fact was given by an agent, and not by a sender."""
    return not (isinstance(fact, LookedUp | RootClaimed | End | Purge | Snapshot) or fact == _OWN_BLANK)
