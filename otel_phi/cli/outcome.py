"""How a delivery ended: the words for stderr and the exit code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from otel_phi.cli import words

if TYPE_CHECKING:
    from otel_phi.delivery.stats import DeadLetter, Stats

# 1: the machine failed, such as a full disk; 2: usage, as click has it.
DELIVERED, BROKEN, USAGE, REJECTED, GAVE_UP = 0, 1, 2, 3, 4
_LETTERS_SHOWN = 5
_REASONS = {
    "buffer_full": "dropped, because more waited for the collector than may wait",
    "sampled_out": "left out by sampling",
    "sent_before": "sent by an earlier run",
}


def exit_code(stats: Stats) -> int:
    """Returns the exit code of a delivery that came to its end."""
    lost = dict(stats.dropped).get("buffer_full", 0)
    return REJECTED if stats.rejected or stats.dead or lost else DELIVERED


def sentences(stats: Stats, target: str, rejection: str, letters: Iterable[DeadLetter]) -> Iterator[str]:
    """Yields what is to be said of a delivery, one line each."""
    yield f"{words.many(stats.acknowledged, 'span')} accepted by {target}"
    for reason, number in stats.dropped:
        yield f"{words.many(number, 'span')} {_REASONS.get(reason, reason)}"
    if stats.rejected:
        yield f"{words.many(stats.rejected, 'span')} rejected: {rejection}"
    if stats.dead:
        yield f"{words.many(stats.dead, 'span')} refused for good:"
        for letter in list(letters)[:_LETTERS_SHOWN]:
            yield f"  {letter.name} (trace {letter.trace_id:032x}, span {letter.span_id:016x}): {letter.reason}"
    if stats.queued:
        yield f"{words.many(stats.queued, 'span')} not sent"
