"""`-` is standard input, for commands that read files twice: a copy of it in a private folder, as long as the command runs.

Rule 1: it ended when the command read it: nothing in it is still at work.
Rule 2: the copy goes however the command ends, but for a kill.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import click

from otel_phi.cli import screen
from otel_phi.cli.entry import at_end
from otel_phi.clock import wall_ns

STDIN = Path("-")


def with_input(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Returns paths with a copy of standard input for `-`, which is read to its end.

    Raises:
        OSError: the copy cannot be written.
    """
    found = tuple(dict.fromkeys(paths))
    if STDIN not in found:
        return found
    copy = _copied()
    return tuple(copy if path == STDIN else path for path in found)


def is_copy(path: Path) -> bool:
    """Tells whether a file is such a copy: nobody gives it a second time."""
    return path in _copies


_copies: set[Path] = set()


def _copied() -> Path:
    from otel_phi.sources.agent_files import STILL_WRITTEN_NS

    folder = Path(tempfile.mkdtemp(prefix="otel-phi-"))

    def put_away() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    at_end.append(put_away)
    click.get_current_context().find_root().call_on_close(put_away)
    copy = folder / "stdin"
    with copy.open("xb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    ended_ns = wall_ns() - 2 * STILL_WRITTEN_NS
    os.utime(copy, ns=(ended_ns, ended_ns))
    screen.known_as(copy, "-")
    _copies.add(copy)
    return copy
