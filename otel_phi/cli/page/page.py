"""The page: its own files and its libraries put into one, and the spans into that as they come.

    <head>  what the browser may run and show of it, by digest; style
    <body>  a word for those without JavaScript
    data    a script of no script's type: deflated, then base64, so that nothing in it is markup
    scripts the libraries, then the page's own

Rule 1: nothing of the data stands in the page in clear but the title, and that escaped.
Rule 2: memory does not grow with the spans: each is compressed as it comes.
Rule 3: the file has its name when it is whole.
"""

from __future__ import annotations

import base64
import hashlib
import html
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import msgspec

from otel_phi.cli.page.records import Records, footer, header
from otel_phi.mapping.span import Span
from otel_phi.tree import clean
from otel_phi.version import __version__

ASSETS = Path(__file__).parent / "assets"
# Library -> its files, in the order in which they need each other; `versions.json` beside them says what they are.
LIBRARIES = {"preact": ("preact.js", "hooks.js"), "htm": ("htm.js",), "uplot": ("uplot.js",)}
# One script of these, in this order: each may use what those before it define.
APP = (
    "text.js",
    "model.js",
    "tree.js",
    "read.js",
    "parts.js",
    "rows.js",
    "plot.js",
    "tools.js",
    "sessions.js",
    "chat.js",
    "details.js",
    "timeline.js",
    "waterfall.js",
    "session.js",
    "main.js",
)
_LEVEL = 6  # zlib's own: 9 takes twice the time for a hundredth of the bytes
_LINE_BYTES = 12 * 1024  # before base64, a multiple of 3: whole groups a line, and no line of megabytes in an editor


class Written(msgspec.Struct, frozen=True):
    """Says what was written: how many sessions, spans and bytes."""

    sessions: int
    spans: int
    size_bytes: int


def write_page(spans: Iterable[Span], target: Path, title: str, notes: Iterable[str] = ()) -> Written:
    """Writes a page of some spans.

    Args:
        spans: of any number of sessions, in any order; taken one at a time.
        target: the file; one that is there is replaced once the page is whole.
        title: of the page.
        notes: sentences about where the spans were read, asked for after the last span.

    Raises:
        OSError: the file cannot be written.
    """
    records = Records()
    with _named_when_whole(target) as write:
        size = sum(write(piece) for piece in _page(records, spans, clean(title), notes))
    return Written(records.sessions, records.spans, size)


@contextmanager
def _named_when_whole(target: Path) -> Iterator[Callable[[str], int]]:
    """Gives a function that writes text and returns how many bytes it took; what is written gets its name at the end.

    What is no regular file (a pipe, a device) is written directly.
    """
    special = target.exists() and not target.is_file()
    part = target if special else target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with _said(target):
            file = part.open("wb")
        with file:

            def write(text: str) -> int:
                with _said(target):
                    return file.write(text.encode("utf-8"))

            yield write
            with _said(target):
                file.close()
        if not special:
            with _said(target):
                part.replace(target)
    finally:
        if not special:
            with suppress(OSError):
                part.unlink(missing_ok=True)


@contextmanager
def _said(target: Path) -> Iterator[None]:
    """Names the file that was asked for in what goes wrong with the one that is written."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from None


def _page(records: Records, spans: Iterable[Span], title: str, notes: Iterable[str]) -> Iterator[str]:
    before, after = _shell()
    yield before.replace("{title}", html.escape(title))
    yield from _packed(_lines(records, spans, title, notes))
    yield after


def _lines(records: Records, spans: Iterable[Span], title: str, notes: Iterable[str]) -> Iterator[str]:
    yield header(title, __version__)
    yield from records.lines(spans)
    yield footer(records, notes)


def _packed(lines: Iterable[str]) -> Iterator[str]:
    """Yields texts deflated (zlib's format) and in base64, a line at a time."""
    packer = zlib.compressobj(_LEVEL)
    waiting = bytearray()
    for line in lines:
        waiting += packer.compress(line.encode("ascii"))
        while len(waiting) >= _LINE_BYTES:
            yield _base64(bytes(waiting[:_LINE_BYTES]))
            del waiting[:_LINE_BYTES]
    yield _base64(bytes(waiting + packer.flush()))


def _base64(some: bytes) -> str:
    return base64.b64encode(some).decode("ascii") + "\n"


@cache
def _shell() -> tuple[str, str]:
    """Returns what stands before the data, with `{title}` in it, and what stands after."""
    style = _read("vendor/uplot.css") + _read("style.css")
    scripts = [*(_library(name) for name in LIBRARIES), _app()]
    rules = {
        "default-src": ["'none'"],
        "script-src": [_digest(script) for script in scripts],
        "style-src": [_digest(style)],
        "img-src": ["data:"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }
    policy = "; ".join(" ".join([name, *values]) for name, values in rules.items())
    before, after = _read("page.html").split("{data}")
    before = before.replace("{policy}", policy).replace("{style}", style)
    return before, after.replace("{scripts}", "\n".join(f"<script>{script}</script>" for script in scripts))


def _library(name: str) -> str:
    about = msgspec.json.decode((ASSETS / "vendor" / "versions.json").read_bytes())[name]
    said = f"/*! {name} {about['version']}, {about['licence']}\n{_licence(name)}*/\n"
    return said + "".join(_read(f"vendor/{file}") for file in LIBRARIES[name])


def _licence(name: str) -> str:
    """Returns a licence as it has to go along: whole, but for the eleven kB of Apache's, whose address is enough."""
    text = _read(f"vendor/LICENSE-{name}")
    return "http://www.apache.org/licenses/LICENSE-2.0\n" if "Apache License" in text else text


def _app() -> str:
    body = "".join(_read(f"app/{file}") for file in APP)
    return f'(() => {{\n"use strict";\n{body}}})();\n'


def _read(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """Returns a source expression of the Content Security Policy: the text between two tags, as the browser digests it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
