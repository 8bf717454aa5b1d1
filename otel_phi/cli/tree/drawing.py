"""Rows to lines of a given width: guides, label, tokens, duration, bar.

Rule 1: no line is wider than the terminal; what does not fit is cut with an ellipsis, never wrapped.
Rule 2: what colour says, a word or a sign says too.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import msgspec
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from otel_phi.cli import words
from otel_phi.cli.tree.axis import Axis
from otel_phi.cli.tree.rows import NOTES, Kind, Row

_STYLES: dict[Kind, str] = {
    "loop": "bold",
    "group": "bold",
    "chat": "cyan",
    "tool": "yellow",
    "fold": "dim",
    "error": "red",
    "event": "magenta",
    "link": "green",
    "idle": "dim italic",
    "message": "",
}
_BAR_STYLES: dict[Kind, str] = {"loop": "", "group": "", "turn": "dim", "fold": "dim"}
_FIELD = 2  # columns between two fields
_DURATION = 7  # `59.9 s`, `312 ms`, `4m 32s`, `640 µs`
_OFFSET_FROM = 100  # terminals this wide get a column with the start of each row
_BAR_FROM = 60  # narrower ones get no bars
_LEAST_BAR, _WIDEST_BAR = 14, 48
_LEAST_LABEL = 12
_TEE, _CORNER, _PIPE, _BLANK = "├ ", "└ ", "│ ", "  "
_FAILED, _EVENT, _MORE = "✗ ", "◆ ", "…"
_BAR = {(True, True): "━", (False, True): "╺", (True, False): "╸"}  # which halves of a column are covered


class Columns(msgspec.Struct, frozen=True):
    """The columns are the width of each field, 0 for one left out."""

    label: int
    tokens: int
    offset: int
    duration: int
    bar: int


def columns(width: int, rows: list[Row]) -> Columns:
    """Shares a width out among the fields that some rows need."""
    every = list(_all(rows))
    tokens = max((cell_len(words.tokens(*row.tokens)) for row in every), default=0)
    offset = _DURATION + 1 if width >= _OFFSET_FROM else 0
    room = width - sum(field + _FIELD for field in (tokens, offset, _DURATION) if field)
    wanted = max((depth * 2 + _wanted(row) for row, depth in _with_depths(rows)), default=0)
    if width < _BAR_FROM:
        return Columns(max(min(room, wanted), _LEAST_LABEL), tokens, offset, _DURATION, 0)
    least_bar = max(width // 4, _LEAST_BAR)
    label = max(min(room - least_bar - _FIELD, wanted), _LEAST_LABEL)
    return Columns(label, tokens, offset, _DURATION, min(room - label - _FIELD, _WIDEST_BAR))


def lines(rows: list[Row], width: int) -> Iterator[Text]:
    """Yields the lines of a session's rows, a headline for the columns first."""
    axis = Axis(row for row in rows if row.kind not in NOTES)
    fields = columns(width, rows)
    yield _headline(fields, axis)
    zero = min((row.started_ns for row in rows), default=0)
    for row, guides in _with_guides(_with_idle(rows, axis)):
        if row.kind in NOTES:
            yield from _notes(row, guides, width)
        else:
            yield _line(row, guides, fields, axis, zero)


def _headline(fields: Columns, axis: Axis) -> Text:
    cells = [" " * fields.label]
    if fields.tokens:
        cells.append("tokens".rjust(fields.tokens))
    if fields.offset:
        cells.append("start".rjust(fields.offset))
    cells.append("time".rjust(fields.duration))
    if fields.bar:
        cells.append("0" + words.duration(axis.length_ns).rjust(fields.bar - 1))
    return Text((" " * _FIELD).join(cells).rstrip(), style="dim")


def _line(row: Row, guides: str, fields: Columns, axis: Axis, zero: int) -> Text:
    line = Text().append(guides, style="dim")
    line.append_text(_label(row, max(fields.label - cell_len(guides), 4)))
    gap = " " * _FIELD
    if fields.tokens:
        line.append(gap + words.tokens(*row.tokens).rjust(fields.tokens), style="" if row.kind == "chat" else "dim")
    if fields.offset:
        line.append(f"{gap}{_offset(row.started_ns - zero):>{fields.offset}}", style="dim")
    line.append(f"{gap}{words.duration(row.ended_ns - row.started_ns):>{fields.duration}}")
    if fields.bar:
        style = "red" if row.failed else _BAR_STYLES.get(row.kind, _STYLES.get(row.kind, ""))
        line.append(gap)
        line.append(bar(axis.place(row.started_ns), axis.place(row.ended_ns), fields.bar), style=style)
    line.rstrip()
    return line


def _offset(passed_ns: int) -> str:
    return f"+{words.duration(passed_ns)}" if passed_ns > 0 else "0"


def _label(row: Row, width: int) -> Text:
    mark = _FAILED if row.failed else ""
    text = _fit(f"{mark}{row.text}", width)
    label = Text().append(text, style="bold red" if row.failed else _STYLES.get(row.kind, ""))
    room = width - cell_len(text) - 2
    if row.remark and room > 3:
        label.append(f"  {_fit(row.remark, room)}", style="dim")
    label.append(" " * (width - label.cell_len))
    return label


def _notes(row: Row, guides: str, width: int) -> Iterator[Text]:
    """Yields a note's lines; only an error and what was said may take more than one: nothing of an error should be lost."""
    mark = {"error": _FAILED, "event": _EVENT}.get(row.kind, "")
    room = max(width - cell_len(guides) - len(mark), 12)
    parts = textwrap.wrap(row.text, room) if row.kind in ("error", "message") else [_fit(row.text, room)]
    for part in parts:
        line = Text().append(guides, style="dim")
        line.append(mark + part, style=_STYLES[row.kind])
        yield line
        guides, mark = guides.replace(_TEE, _PIPE).replace(_CORNER, _BLANK), " " * len(mark)


def bar(start: float, end: float, width: int) -> str:
    """Draws a stretch of the axis in `width` columns, to half a column, at least half a column long."""
    first = min(int(start * width * 2), width * 2 - 1)
    last = min(max(round(end * width * 2), first + 1), width * 2)
    cells = [(2 * cell >= first, 2 * cell + 1 < last) for cell in range(first // 2, (last + 1) // 2)]
    return " " * (first // 2) + "".join(_BAR[cell] for cell in cells)


def _fit(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return text
    room = max(width - len(_MORE), 0)
    return (set_cell_size(text, room).rstrip() + _MORE)[: max(width, 0)]


def _wanted(row: Row) -> int:
    if row.kind in NOTES:
        return 0
    return 2 * row.failed + cell_len(row.text) + (cell_len(row.remark) + 2 if row.remark else 0)


def _all(rows: list[Row]) -> Iterator[Row]:
    return (row for row, _ in _with_depths(rows))


def _with_depths(rows: list[Row], depth: int = 0) -> Iterator[tuple[Row, int]]:
    for row in rows:
        yield row, depth
        yield from _with_depths(row.rows, depth + 1)


def _with_idle(rows: list[Row], axis: Axis) -> list[Row]:
    cuts = [Row("idle", f"{words.duration(end - start)} idle", start, end) for start, end in axis.idle]
    return sorted([*rows, *cuts], key=lambda row: row.started_ns) if cuts else rows


def _with_guides(rows: list[Row], margin: str = "", *, top: bool = True) -> Iterator[tuple[Row, str]]:
    """Yields rows with the lines that lead to them; those at the top have none."""
    for place, row in enumerate(rows):
        last = place == len(rows) - 1
        yield row, "" if top else margin + (_CORNER if last else _TEE)
        deeper = "" if top else margin + (_BLANK if last else _PIPE)
        yield from _with_guides(row.rows, deeper, top=False)
