"""`show --html`: the flag, and what is said once the page is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from otel_phi.cli import screen, words
from otel_phi.mapping.span import Span

_Command = TypeVar("_Command", bound=Callable[..., Any])
_LARGE_BYTES = 25_000_000  # some 400,000 spans: a browser takes seconds to read it, and no mail takes it


def page_flag(command: _Command) -> _Command:
    """Adds `--html FILE`; it arrives as `page`."""
    return click.option(
        "--html",
        "page",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Write one page for a browser, with all it needs in it.",
    )(command)


def save_page(spans: Iterable[Span], page: Path, paths: tuple[Path, ...], notes: Iterable[str]) -> None:
    """Writes the page of some spans and says what is in it.

    Args:
        spans: taken one at a time.
        page: the file.
        paths: what was read; their names are the page's title.
        notes: sentences about what was read, asked for last.

    Raises:
        OSError: the file cannot be written.
    """
    from otel_phi.cli.page.page import write_page

    written = write_page(spans, page, " ".join(path.name for path in paths), notes)
    what = f"{words.many(written.sessions, 'session')}, {words.many(written.spans, 'span')}"
    hint = "; --session and --since make it smaller" if written.size_bytes > _LARGE_BYTES else ""
    screen.say(f"otel-phi: {page}: {what}, {_size(written.size_bytes)}{hint}")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"
