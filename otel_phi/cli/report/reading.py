"""What is said of the files that were read: what was held back, left out, left to another file."""

from __future__ import annotations

from collections.abc import Iterator

from otel_phi.cli import words
from otel_phi.sources.stored import Stored


def before(stored: Stored, *, final: bool) -> Iterator[str]:
    """Yields what is known before anything is sent."""
    if stored.held_loops:
        yield _held(stored.held_loops)
    if stored.superseded:
        left_out = words.many(len(stored.superseded), "saved session")
        yield f"{left_out} left out: all of it is in an event log or another file"
    if stored.aborted_loops and not final:
        yield _aborted(stored.aborted_loops)
    if stored.repeated_loops:
        yield f"{words.many(stored.repeated_loops, 'loop')} in more than one file: each read from one"
    if stored.ignored:
        yield f"{words.many(len(stored.ignored), 'file')} of the folder left out: no agent events in them"


def after(stored: Stored, *, final: bool) -> Iterator[str]:
    """Yields what is known of other agents' sessions once they have been read."""
    agents, counts = stored.agents, stored.agents.counts
    if agents.held_loops:
        yield _held(agents.held_loops)
    if agents.open_loops and not final:
        yield _aborted(agents.open_loops)
    left = sum(agents.left.values())
    for path in [holder for holder, _ in agents.left.most_common(1)]:
        copies = words.many(left, "copied record")
        others = "" if len(agents.left) == 1 else f" and {words.many(len(agents.left) - 1, 'more file')}"
        yield f"{copies} left to {path}{others}, which had them first; --all counts them here"
    if not left and counts["copied_calls"]:
        yield f"{words.many(counts['copied_calls'], 'copied call')} counted once, in the session that made them"
    if counts["bad_parts"]:
        yield f"{words.many(counts['bad_parts'], 'part')} of messages could not be read; the messages were"
    if counts["no_time"]:
        yield f"{words.many(counts['no_time'], 'record')} without a time: they have the one before, or their file's"
    if agents.converted:
        yield f"{words.many(agents.converted, 'session')} left out: the records that they were converted from are read"
    if counts["untimed"]:
        sessions = words.many(counts["untimed"], "trajectory", "trajectories")
        yield f"{sessions} without any time: the spans' times keep the order alone, and are marked inferred"
    if counts["other_totals"]:
        yield f"{words.many(counts['other_totals'], 'trajectory', 'trajectories')} whose own totals are not the sum of the steps"
    if agents.missing_files > 0:
        yield f"{words.many(agents.missing_files, 'file')} of sub-agents or continuations not among those given"


def _held(loops: int) -> str:
    return f"{words.many(loops, 'loop')} still open and held back; --final sends what is there, as aborted"


def _aborted(loops: int) -> str:
    return f"{words.many(loops, 'loop')} without an end, in files silent for 10 minutes: sent as aborted, for good"
