"""What is new in an agent's file, as records: the one place that knows how a format is written.

    lines      records are appended, one a line: each is given once, with its offset
    converted  the same lines, but unreadable midway (a JSON array, UTF-16, gzip): all are given again when the file changes
    document   the file is one record, given again when it changes: `Group.document` says so

A format that is written otherwise plugs in here: a `Feed` in `FEEDS`, its name in its adapter's `records`. A database is one file to the watch, its
fold tells the loops of all sessions in it (each event names its own); its `read` gives the rows after a position, and it grows. A change of the
write-ahead log beside it is one of the file (`look_at`). What is given again has to be told again the same; `AgentSession` sees to it that
nothing of it leaves twice.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Mapping
from gzip import GzipFile
from pathlib import Path

import msgspec

from otel_phi.sources.agent_order import document_of, head_of
from otel_phi.sources.agents.adapter import Adapter
from otel_phi.sources.agents.reading import anything
from otel_phi.sources.converted import Converted
from otel_phi.sources.lines import open_lines, read_lines
from otel_phi.sources.tail import Look, added_lines

LINES, CONVERTED, DOCUMENT = "lines", "converted", "document"


class Piece(msgspec.Struct, frozen=True):
    """A piece is a run of records, and where the next one begins.

    Attributes:
        records: each with its position, which grows from record to record.
        offset: of the byte after them, or another position before which all was given.
        number: of the line after them, from 1; the number of the first record is as much less as there are records.
    """

    records: list[tuple[int, bytes]]
    offset: int
    number: int


class Feed(msgspec.Struct, frozen=True):
    """A feed is a way to read a file.

    Attributes:
        read: yields what a file has, given what it looks like, and the `offset` and `number` of the last piece (0 and 1 at its beginning).
        grows: whether what was given stays as it is, so that reading goes on behind it; else all is given again when the file changes.
    """

    read: Callable[[Path, Look, int, int], Iterator[Piece]]
    grows: bool = False


def _lines(path: Path, look: Look, offset: int, number: int) -> Iterator[Piece]:
    for added in added_lines(path, look, offset, number, _is_record):
        yield Piece(list(added.block.records()), added.offset, added.line)


def _converted(path: Path, look: Look, _offset: int, _number: int) -> Iterator[Piece]:
    del look
    with open_lines(path) as stream:
        for block in read_lines(stream):
            end = block.offset + sum(map(len, block.lines)) + len(block.lines)
            yield Piece(list(block.records()), end, block.number + len(block.lines))


def _document(path: Path, look: Look, _offset: int, _number: int) -> Iterator[Piece]:
    del look
    data = document_of(path)
    yield Piece([(0, data)], len(data), 2)


FEEDS: Mapping[str, Feed] = {LINES: Feed(_lines, grows=True), CONVERTED: Feed(_converted), DOCUMENT: Feed(_document)}


def feed_name(adapter: Adapter, path: Path) -> str:
    """Says how a file is read.

    Raises:
        OSError: it cannot be.
    """
    name: str = getattr(adapter, "records", LINES)
    if name != LINES:
        return name
    if adapter.group(str(path), head_of(path)).document:
        return DOCUMENT
    with open_lines(path) as stream:
        return CONVERTED if isinstance(stream, Converted | GzipFile) else LINES


def _is_record(line: bytes) -> bool:
    """Says whether a line without a newline is a whole record, or nothing."""
    return not line.strip() or isinstance(anything(line.removeprefix(codecs.BOM_UTF8)), dict)
