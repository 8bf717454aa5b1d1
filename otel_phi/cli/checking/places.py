"""Files to events with their places: what phi-core wrote as lines, and its saved sessions, loop by loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from otel_phi.cli.checking.findings import Place
from otel_phi.sources.files import FileChunks
from otel_phi.sources.lines import Block, read_lines
from otel_phi.sources.pieces import Unreadable, Window
from otel_phi.sources.reader import BadLine, EventReader, payload_of
from otel_phi.sources.saved import SessionFile, read_session, streams_of
from otel_phi.sources.saved_places import FoundLoop
from otel_phi.sources.session_content import BROKE_OFF, Changed
from otel_phi.wire.decode import LogLine, Undecodable, decode_event, decode_strictly, from_wire
from otel_phi.wire.events import AgentEvent, KnownEvent
from otel_phi.wire.messages import Message
from otel_phi.wire.saved import ELEMENTS, SavedEvent, SavedTurn
from otel_phi.wire.spellings import UnknownKey, respelled

Add = Callable[..., None]  # `Findings.add`
_log_lines = msgspec.json.Decoder(LogLine, dec_hook=from_wire)


class Placed(NamedTuple):
    """A placed event is an event with where it stands and its keys that nobody knows."""

    event: AgentEvent
    place: Place
    unknown: list[UnknownKey]


def lines_of(path: Path, add: Add) -> Iterator[Placed]:
    """Yields the events of a file of lines, without those that no span shows.

    Args:
        path: the file.
        add: told of lines that are no events, and of numbers that a log leaves out or begins again.
    """
    reader = EventReader(str(path), for_spans=True, on_bad_line=lambda bad: add_bad(add, bad))
    chunks, counts, before = FileChunks(path), Counter[str](), b""
    for block in read_lines(chunks):
        for one in _single(block):
            place, line = Place(str(path), one.number), one.lines[0]
            for event in reader.read([one]):
                if line == before:
                    add("double-line", type(event).__name__, place)
                yield Placed(event, place, unknown_keys(line))
            _add_ordinals(add, reader.counts, counts, place)
            before = line
    if chunks.broke_off:
        add("unreadable-file", BROKE_OFF, Place(str(path)))


def _single(block: Block) -> Iterator[Block]:
    """Yields the lines of a block as blocks of their own."""
    offset, last = block.offset, len(block.lines) - 1
    for index, line in enumerate(block.lines):
        yield Block(block.number + index, offset, [line], block.ended or index < last, block.too_long)
        offset += len(line) + 1


def _add_ordinals(add: Add, counts: Counter[str], before: Counter[str], place: Place) -> None:
    for rule, name, what in (
        ("ordinals-missing", "missing", "lines of the log"),
        ("ordinals-restart", "restarts", "the log's process"),
    ):
        if counts[name] > before[name]:
            add(rule, what, place, count=counts[name] - before[name])
            before[name] = counts[name]


def add_bad(add: Add, bad: BadLine, place: Place | None = None) -> None:
    """Adds a line that is no event, or a file that cannot be read: such a report has no bytes."""
    whole = not bad.length and not bad.offset and "line" not in bad.reason  # one that is too long has no bytes either
    file = Place(bad.source) if whole else Place(bad.source, bad.line)
    add("unreadable-file" if whole and place is None else "unreadable-line", _reason(bad.reason), place or file)


def _reason(reason: str) -> str:
    """Returns a reason without the byte, so that the same one reads the same everywhere; the place says where."""
    return reason.partition(" (byte ")[0]


def unknown_keys(line: bytes) -> list[UnknownKey]:
    """Returns the keys of a line that nobody knows; asked of what is not as phi-core writes it alone."""
    payload = payload_of(line)
    logged = payload.startswith(b'{"ordinal"')
    try:
        (_log_lines.decode if logged else decode_strictly)(payload)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return respelled(payload, LogLine if logged else KnownEvent)[1]
    return []


# --- saved sessions ------------------------------------------------------------------------------------------------------


def loops_of(path: Path, add: Add) -> Iterator[Placed]:
    """Yields the events of a saved session, loop after loop: those it holds, or those made anew of its turns.

    Args:
        path: the file.
        add: told of what cannot be read.
    """
    file = read_session(path)
    if isinstance(file, Undecodable):
        return  # whoever looked for files has said so
    try:
        with closing(file.content):
            yield from _loops(file, str(path), add)
    except (Unreadable, Changed) as error:
        add("unreadable-file", str(error) or "it was written anew meanwhile", Place(str(path)))


def _loops(file: SessionFile, path: str, add: Add) -> Iterator[Placed]:
    # Told by the events' own reading below: each place would be there twice.
    streams = streams_of(file, Counter(), lambda bad: add_bad(add, bad, _in_loop(path, loop, bad.line)), whole=True)
    for loop, stream in zip(file.loops, streams, strict=False):  # behind them stand the groups'
        if loop.events is not None:
            yield from _stored(file, loop, path, add)
            continue
        unknown = [found for turn in _elements(file, loop.turns, ELEMENTS["turns"]) for found in _unknown_in(turn)]
        for number, event in enumerate(stream.read(), 1):
            yield Placed(event, _in_loop(path, loop, number), unknown)
            unknown = []


def _stored(file: SessionFile, loop: FoundLoop, path: str, add: Add) -> Iterator[Placed]:
    for number, stored in enumerate(_elements(file, loop.events, ELEMENTS["events"]), 1):
        place, unknown = _in_loop(path, loop, number), list[UnknownKey]()
        event = decode_event(bytes(stored.event) if isinstance(stored, SavedEvent) else b"", unknown)
        if isinstance(event, Undecodable):
            add("unreadable-line", _reason(event.reason), place)
        else:
            yield Placed(event, place, unknown)


def _unknown_in(turn: SavedTurn) -> Iterator[UnknownKey]:
    """Yields the keys of a turn's messages that nobody knows."""
    for raw in (*(turn.input_messages or ()), turn.output_message, *(turn.tool_results or ())):
        yield from respelled(raw, Message)[1]


def _elements(file: SessionFile, offset: int | None, decoder: msgspec.json.Decoder[Any]) -> Iterator[Any]:
    if offset is None:
        return
    with closing(file.content.reader(offset)) as reader:
        window = Window(reader.read, offset)
        for _ in window.elements():
            yield window.value(decoder, "")


def _in_loop(path: str, loop: FoundLoop, number: int) -> Place:
    return Place(path, 0, f"loop {loop.number + 1}, event {number}")
