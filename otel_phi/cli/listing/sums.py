"""Sums instead of sessions: by day, week, month, model, agent, repository or tool."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator

import msgspec

from otel_phi.cli.listing.tally import Cell, Key, Tally, ToolCell


class Sum(msgspec.Struct):
    """A sum adds up what falls under one name.

    Attributes:
        name: the day, model, agent, repository or tool; "" where there is none.
        sessions: in which it occurs.
        cell: the counts; of a tool only calls (`tools`), errors and time.
    """

    name: str
    sessions: int
    cell: Cell


def _week(day: str) -> str:
    if not day:
        return ""
    year, week, _ = dt.date.fromisoformat(day).isocalendar()
    return f"{year}-W{week:02d}"


_NAMES: dict[str, Callable[[Tally, Key], str]] = {
    "day": lambda _, key: key[0],
    "week": lambda _, key: _week(key[0]),
    "month": lambda _, key: key[0][:7],
    "model": lambda _, key: key[1],
    "agent": lambda _, key: key[2],
    "repo": lambda tally, _: tally.repository,
}
GROUPINGS = (*_NAMES, "tool")
_IN_TIME = frozenset({"day", "week", "month"})


def sums(tallies: Iterable[Tally], grouping: str) -> list[Sum]:
    """Returns the sums of sessions: in order of time, or the largest first.

    Args:
        tallies: the sessions.
        grouping: one of `GROUPINGS`.
    """
    found: dict[str, Sum] = {}
    for tally in tallies:
        seen = set()
        for name, cell in _cells(tally, grouping):
            total = found.setdefault(name, Sum(name, 0, Cell()))
            add(total.cell, cell)
            if name not in seen:
                seen.add(name)
                total.sessions += 1
    if grouping == "model":
        _no_model(found)
    if grouping in _IN_TIME:
        return sorted(found.values(), key=lambda total: total.name)
    return sorted(found.values(), key=lambda total: (-_weight(total.cell), total.name))


def _cells(tally: Tally, grouping: str) -> Iterator[tuple[str, Cell]]:
    if grouping == "tool":
        for (_, tool), counts in tally.tool_cells.items():
            yield tool, _as_cell(counts)
        return
    name_of = _NAMES[grouping]
    for key, cell in tally.cells.items():
        yield name_of(tally, key), cell


def _as_cell(counts: ToolCell) -> Cell:
    return Cell(tools=counts.calls, errors=counts.errors, busy_ns=counts.busy_ns)


def _no_model(found: dict[str, Sum]) -> None:
    """Leaves out what has no model, turns and tools, unless something failed there."""
    rest = found.get("")
    if rest is not None and not rest.cell.errors and not rest.cell.calls:
        del found[""]


def _weight(cell: Cell) -> int:
    return cell.input_tokens + cell.output_tokens or cell.tools


def add(total: Cell, cell: Cell) -> None:
    """Adds one cell to another."""
    for name in (
        "loops",
        "turns",
        "calls",
        "tools",
        "input_tokens",
        "output_tokens",
        "cached_tokens",
        "errors",
        "busy_ns",
    ):
        setattr(total, name, getattr(total, name) + getattr(cell, name))
    if cell.cost_usd is not None:
        total.cost_usd = (total.cost_usd or 0.0) + cell.cost_usd
