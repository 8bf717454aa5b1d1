"""Where the command line prints: results on stdout, talk on stderr, both fit for a terminal, a pipe or a dumb one."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.style import Style
from rich.text import Text

from otel_phi.cli.entry import end_by_closed_pipe
from otel_phi.tree import clean

_SVG_ID = "otel-phi"  # rich would hash the content: a picture in git should change only where the trace does
_SVG_WIDTH = 104
_BLANKS = re.compile(r"^ +| {2,}")
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML 1.0 has no way to hold
_NOTHING = Style(meta={"blank": True})
# One sign for one sign, so that columns stay columns.
_ASCII = str.maketrans("├└│━╺╸✗◆…→←·µ", "|`|=--x*~><-u")


class _Console(Console):
    """A console that ends the process as a closed pipe should end it; rich's own exits with 1."""

    def on_broken_pipe(self) -> None:
        end_by_closed_pipe()


_colors = ["auto"]


def set_colors(when: str) -> None:
    """Settles whether consoles have colors: `always`, `never`, or `auto`: on a terminal without NO_COLOR."""
    _colors[0] = when


def out() -> Console:
    """Returns the console for results."""
    return _console(sys.stdout)


def err() -> Console:
    """Returns the console for talk."""
    return _console(sys.stderr)


def _console(stream: Any) -> Console:
    if isinstance(stream, io.TextIOWrapper) and not _unicode(stream.encoding):
        stream.reconfigure(errors="replace")
    plain: dict[str, Any] = {"file": stream, "markup": False, "highlight": False, "emoji": False}
    if _colors[0] == "always":
        return _Console(**plain, force_terminal=True, no_color=False)
    return _Console(**plain, color_system=None) if _colors[0] == "never" else _Console(**plain)


def room(console: Console) -> int | None:
    """Returns how many columns there are; None where nobody looks at columns: a file, a pipe."""
    return console.width if console.is_terminal else None


def _unicode(encoding: str | None) -> bool:
    return (encoding or "").lower().replace("-", "").startswith("utf")


_aliases: dict[str, str] = {}


def known_as(path: object, name: str) -> None:
    """Settles by what name a path is said: one that nobody gave, of a copy of standard input."""
    _aliases[str(path)] = name


def said(text: str) -> str:
    """Returns a text with paths by the names that people know, clean."""
    for path, name in _aliases.items():
        text = text.replace(path, name)
    return clean(text)


def say(text: str) -> None:
    """Says one line on stderr; it may hold what came from outside."""
    err().print(said(text), soft_wrap=True)


def print_lines(console: Console, lines: Iterable[Text]) -> None:
    """Prints lines as they are, neither wrapped nor cut; where the encoding holds no more, drawn in ASCII."""
    plain = not _unicode(console.encoding)
    for line in lines:
        if plain:
            line.plain = line.plain.translate(_ASCII)
        console.print(line, soft_wrap=True)


def print_table(console: Console, lines: Iterable[Text]) -> None:
    """Prints lines that may be very many: plain ones, where there are no colors, without asking rich for each."""
    if console.color_system is not None:
        print_lines(console, lines)
        return
    plain = not _unicode(console.encoding)
    for line in lines:
        console.file.write(f"{line.plain.translate(_ASCII) if plain else line.plain}\n")
    console.file.flush()


def wrapped(text: str, width: int, *, indent: int = 0, style: str = "") -> Iterator[Text]:
    """Yields a text in lines of at most `width` columns, all indented; it may come from outside."""
    room = max(width - indent, 20)
    for line in Text(clean(text), style=style).wrap(Console(width=room), room):
        line.rstrip()
        yield Text.assemble(" " * indent, line)


def print_json(items: Iterable[object]) -> None:
    """Prints a JSON array, one item a line; all that a terminal could act on is escaped."""
    write = sys.stdout.write
    separator = "["
    for item in items:
        write(separator + "\n" + json_text(item))
        separator = ","
    write("[]\n" if separator == "[" else "\n]\n")
    sys.stdout.flush()


def json_text(item: object) -> str:
    """Returns a value as JSON in ASCII on one line, DEL escaped too."""
    return json.dumps(item, ensure_ascii=True).replace("\x7f", "\\u007f")


def svg(lines: Iterable[Text], title: str) -> str:
    """Returns lines as an SVG picture of a terminal.

    Stretches of blanks get a style of their own, one that shows nothing: rich then leaves them out and places the text
    after them by its column, which also those viewers show that squeeze blanks.
    """
    console = Console(
        file=io.StringIO(), record=True, width=_SVG_WIDTH, force_terminal=True, color_system="truecolor", emoji=False
    )
    for line in lines:
        for blank in _BLANKS.finditer(line.plain):
            line.stylize(_NOTHING, *blank.span())
        console.print(line, soft_wrap=True)
    return _NO_XML.sub("\ufffd", console.export_svg(title=clean(title), unique_id=_SVG_ID))


def svg_width() -> int:
    """Returns how many columns a picture has."""
    return _SVG_WIDTH
