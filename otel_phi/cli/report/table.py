"""The table at the end of `export` and `pipe`: a line a session, and the link to its trace below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from otel_phi.cli import words
from otel_phi.cli.report.objects import totals_object
from otel_phi.cli.report.totals import Totals
from otel_phi.tree import clean

_HEADS = ("session", "trace id", "loops", "turns", "tools", "tokens", "errors", "spans")
_LEFT = 2  # columns that read from the left; the others hold numbers
_FEWEST = 3  # columns with a trace id


# What is left out first where a terminal is narrow.
_LEAST_ASKED = ("loops", "spans", "tools", "turns", "tokens", "trace id")
_NAME_COLUMNS = 8  # of a session's name, whatever else


def table(sessions: Sequence[Totals], trace_url: str | None, width: int | None = None) -> Iterator[Text]:
    """Yields the lines of the table; none without sessions.

    Args:
        sessions: a line each.
        trace_url: template of the link below each line, None for none.
        width: columns there are; None where nobody counts them.
    """
    if not sessions:
        return
    names = words.short_names(totals.session_id for totals in sessions)
    priced = any(totals.cost_usd is not None for totals in sessions)  # else nobody asked
    heads = (*_HEADS, "cost") if priced else _HEADS
    made = [(*_cells(totals, names[totals.session_id]), *([_cost(totals)] if priced else [])) for totals in sessions]
    rows = _fitting([heads, *made], width)
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    yield Text(_line(rows[0], widths), style="dim")
    for totals, row in zip(sessions, rows[1:], strict=True):
        yield Text(_line(row, widths), style="red" if totals.error_count else "")
        if trace_url is not None:
            link = _link(trace_url, next(iter(totals.trace_ids)))
            yield Text(f"  {clean(link)}", style="cyan")


def _fitting(rows: list[tuple[str, ...]], width: int | None) -> list[tuple[str, ...]]:
    """Leaves out columns until a line has room; a name that is too long is cut then."""
    widths = {column[0]: max(map(cell_len, column)) for column in zip(*rows, strict=True)}
    over = sum(widths.values()) + len(widths) - 1 - width if width is not None else 0
    for head in _LEAST_ASKED:
        if over > 0:
            over -= widths.pop(head) + 1
    room = max(widths["session"] - max(over, 0), _NAME_COLUMNS)
    kept = [number for number, head in enumerate(rows[0]) if head in widths]
    return [(_cut(row[0], room), *(row[number] for number in kept[1:])) for row in rows]


def _cut(name: str, room: int) -> str:
    return name if cell_len(name) <= room else f"{set_cell_size(name, room - 1)}…"


def _cells(totals: Totals, name: str) -> tuple[str, ...]:
    first, *others = totals.trace_ids
    return (
        name,
        f"{first:032x}" + (f" +{len(others)}" if others else ""),
        str(totals.loops),
        str(totals.turns),
        str(totals.tools),
        words.tokens(totals.input_tokens, totals.output_tokens) or "-",
        str(totals.error_count),
        str(totals.spans),
    )


def _cost(totals: Totals) -> str:
    return "-" if totals.cost_usd is None else words.dollars(totals.cost_usd, partial=totals.cost_partial)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded, left = [], _LEFT - (len(cells) < _FEWEST)
    for number, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        blank = " " * (width - cell_len(cell))
        padded.append(cell + blank if number < left else blank + cell)
    return " ".join(padded).rstrip()


def session_objects(sessions: Sequence[Totals], trace_url: str | None) -> list[dict[str, Any]]:
    """Returns the table for machines."""
    return [
        {
            **totals_object(totals),
            "links": [_link(trace_url, trace) for trace in totals.trace_ids] if trace_url else [],
        }
        for totals in sessions
    ]


def _link(template: str, trace_id: int) -> str:
    return template.replace("{trace_id}", f"{trace_id:032x}")
