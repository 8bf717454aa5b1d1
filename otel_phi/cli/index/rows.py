"""What is kept: of a file where it belongs, of a part its sessions counted; and what both depended on."""

from __future__ import annotations

from collections import Counter
from typing import TypeVar

import msgspec

from otel_phi.cli.listing.tally import Cell, Tally, ToolCell
from otel_phi.sources.agents.adapter import Group
from otel_phi.sources.kinds import Kind
from otel_phi.sources.reader import BadLine

_encode = msgspec.msgpack.Encoder().encode
_Row = TypeVar("_Row", bound=msgspec.Struct)


class FileRow(msgspec.Struct, frozen=True, array_like=True):
    """A file row says what a file is and where it belongs.

    Attributes:
        kind: what it is.
        sessions: keys of the sessions in it; of another agent's file none.
        loops: ids of the loops that it says something of, as they stand there.
        group: of another agent's file, where it belongs.
        adapter: name of its format; "" where the sessions in it are files of their own, see `agent_stores`.
        mark: what the file was like.
    """

    kind: Kind
    sessions: tuple[str, ...] = ()
    loops: tuple[bytes, ...] = ()
    group: Group | None = None
    adapter: str = ""
    mark: bytes = b""


class TallyRow(msgspec.Struct, frozen=True, array_like=True):
    """A tally row is a session counted, see `Tally`."""

    session_id: str
    trace_ids: tuple[bytes, ...]
    counts: tuple[int, ...]
    errors: dict[str, int]
    cells: list[tuple[tuple[str, str, str], Cell]]
    tool_cells: list[tuple[tuple[str, str], ToolCell]]
    agents: tuple[str, ...]
    models: tuple[str, ...]
    repository: str
    cost_usd: float | None
    cost_partial: bool


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """Asked is a claim that a file made, and whether it was granted."""

    file: int
    key: bytes
    owner: bytes
    granted: bool


class PartRow(msgspec.Struct, frozen=True, array_like=True):
    """A part row is what reading the files of a part gave.

    Attributes:
        sessions: those in it, in order of appearance.
        bad_lines: the first lines that are none.
        bad_count: how many there were.
        asked: claims, in order.
        days: quarters of an hour, seconds since 1970, and the local day that each was of.
        mark: what the files were like.
        notes: models without a price, each in words.
    """

    sessions: list[TallyRow]
    bad_lines: list[BadLine]
    bad_count: int
    asked: list[Asked]
    days: dict[int, str]
    mark: bytes = b""
    notes: list[str] = []


class TimesRow(msgspec.Struct, frozen=True, array_like=True):
    """A times row says when the records begin that each of some files has alone, see `own_times_of`."""

    mark: bytes
    times: list[int]


_COUNTS = (
    "spans",
    "loops",
    "turns",
    "tools",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "model_ns",
    "tool_ns",
    "started_ns",
    "ended_ns",
    "open_loops",
    "roots",
)


def tally_row(tally: Tally) -> TallyRow:
    """Returns a session as it is kept."""
    return TallyRow(
        tally.session_id,
        tuple(trace.to_bytes(16, "big") for trace in tally.trace_ids),
        tuple(getattr(tally, name) for name in _COUNTS),
        dict(tally.errors),
        list(tally.cells.items()),
        list(tally.tool_cells.items()),
        tuple(tally.agents),
        tuple(tally.models),
        tally.repository,
        tally.cost_usd,
        tally.cost_partial,
    )


def tally_of(row: TallyRow) -> Tally:
    """Returns a session as it was counted."""
    tally = Tally(row.session_id)
    tally.trace_ids = {int.from_bytes(trace, "big"): None for trace in row.trace_ids}
    for name, value in zip(_COUNTS, row.counts, strict=True):
        setattr(tally, name, value)
    tally.take_errors(Counter(row.errors))
    tally.cells = dict(row.cells)
    tally.tool_cells = dict(row.tool_cells)
    tally.agents = dict.fromkeys(row.agents)
    tally.models = dict.fromkeys(row.models)
    tally.repository = row.repository
    tally.cost_usd, tally.cost_partial = row.cost_usd, row.cost_partial
    return tally


def encoded(row: msgspec.Struct) -> bytes | None:
    """Returns a row's bytes, None where it holds a number or a text that has none."""
    try:
        return _encode(row)
    except (OverflowError, UnicodeEncodeError):
        return None


def decoded(data: bytes | None, kind: type[_Row]) -> _Row | None:
    """Returns a row, None where there is none of that form."""
    if data is None:
        return None
    try:
        return _DECODERS[kind].decode(data)  # type: ignore[no-any-return]  # a decoder decodes its type
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


_DECODERS: dict[type[msgspec.Struct], msgspec.msgpack.Decoder] = {  # type: ignore[type-arg]  # each is of its key
    kind: msgspec.msgpack.Decoder(kind) for kind in (FileRow, PartRow, TimesRow)
}
