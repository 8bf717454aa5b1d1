"""What redaction would take out of files, as lines: kind, place, number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.text import Text

from otel_phi.cli import words
from otel_phi.cli.report.complaints import Complaints
from otel_phi.sources.stored import Stored
from otel_phi.tree import clean


def check_lines(paths: tuple[Path, ...]) -> Iterator[Text]:
    """Yields one line for each kind of secret at each place, the most frequent first; then the sum.

    Raises:
        NothingHere: a path holds no sessions.
    """
    from otel_phi.policy.capture.check import secrets_in

    complaints = Complaints()
    stored = Stored(paths, final=True, on_bad_line=complaints)
    found = secrets_in(stored.events())
    complaints.conclude()
    for (kind, place), count in sorted(found.items(), key=lambda item: (-item[1], item[0])):
        yield Text(f"{count:>7,}  {kind:<22} {clean(place)}")
    if found:
        yield Text("")
    total = words.many(sum(found.values()), "secret")
    yield Text(
        f"{total} would be taken out before anything leaves; what no rule knows stays: docs/content.md", style="dim"
    )
