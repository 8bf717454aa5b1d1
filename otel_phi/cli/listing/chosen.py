"""The sessions that filters choose, for commands that read whole sessions: which they are, and in which files.

Rule 1: what a filter says of a session is known when all of it was read, so it is counted first, as `ls` counts it: of most files the
        index knows the sessions.
Rule 2: a session is then read with all files that say something of it: those it shares sessions or loops with, and of another agent's
        those that had first what it copied. So its spans are those of reading everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from otel_phi.cli import screen
from otel_phi.cli.listing.choice import Choice
from otel_phi.cli.report import reading
from otel_phi.cli.report.complaints import Complaints
from otel_phi.tree import session_of

if TYPE_CHECKING:
    from otel_phi.mapping.span import Span


class Chosen(msgspec.Struct, frozen=True):
    """Chosen says which sessions are meant.

    Attributes:
        paths: what to read for them.
        holds: tells of a session id whether it is one of them.
        narrowed: whether files were left out; what cannot be read was said then.
    """

    paths: tuple[Path, ...]
    holds: Callable[[str], bool] | None = None
    narrowed: bool = False


def choice_of(flags: dict[str, Any]) -> tuple[Choice, bool]:
    """Takes the filters out of flags; returns them, and whether the index may be used."""
    return Choice(**{name: flags.pop(name) for name in Choice.__struct_fields__}), not flags.pop("no_cache")


def chosen(
    paths: tuple[Path, ...],
    choice: Choice,
    complaints: Complaints,
    *,
    cached: bool,
) -> Chosen:
    """Finds the sessions that are meant.

    Args:
        paths: files and folders.
        choice: the filters.
        complaints: takes files that cannot be read.
        cached: whether the index may be used.

    Raises:
        NothingHere: nothing can be read.
    """
    if choice == Choice(session=choice.session):
        prefix = choice.session or ""
        return Chosen(paths, (lambda session: session.startswith(prefix)) if prefix else None)
    from otel_phi.cli.index.reading import Sessions
    from otel_phi.cli.report.progress import Looking, PartsProgress
    from otel_phi.config import cache_dir
    from otel_phi.mapping.options import options_for

    quiet = Complaints(lines=False, of=complaints)
    options, folder = options_for(source_info=True), cache_dir() if cached else None
    with Looking() as looking:
        sessions = Sessions(paths, options, quiet, folder=folder, on_look=looking.note)
    with PartsProgress(sessions.size_bytes) as progress:
        ids = {tally.session_id for tally in sessions.tallies(progress.part) if choice.holds(tally)}
    for line in reading.left_out(sessions.found):
        screen.say(f"otel-phi: {line}")
    return Chosen(tuple(sessions.files_of(ids)), ids.__contains__, narrowed=True)


def chosen_spans(spans: Sequence[Span], choice: Choice) -> Sequence[Span]:
    """Returns the spans of the sessions that are meant, where all of them are there: a journal's."""
    if choice == Choice():
        return spans
    from otel_phi.cli.listing.tally import Tallies

    tallies = Tallies()
    tallies.add_all(spans)
    ids = {tally.session_id for tally in tallies.all() if choice.holds(tally)}
    return [span for span in spans if session_of(span) in ids]
