"""A session counted as its spans pass by: what `Totals` has, and the same by day, model, agent and tool.

Rule 1: a model call counts on the day it began, with the model that was asked; a loop on the day it began.
Rule 2: a failure counts once, where `Totals` finds it: so the sums of every grouping are those of the sessions.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache

import msgspec

from otel_phi.cli.report.totals import Totals
from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Span
from otel_phi.tree import session_of

_LIVE = "aborted"  # status of a loop whose end nobody has written, where it is shown all the same


class Cell(msgspec.Struct, array_like=True):
    """A cell holds counts of one day, model and agent.

    Attributes:
        loops: that began.
        turns: that began; a turn knows no model, so they stand in the cell of none.
        calls: of the model.
        tools: calls in them.
        input_tokens: cached ones included.
        output_tokens: of the answers.
        cached_tokens: of the input.
        cost_usd: of the calls whose cost is known; None where of none it is.
        errors: failures.
        busy_ns: time in model calls.
    """

    loops: int = 0
    turns: int = 0
    calls: int = 0
    tools: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = None
    errors: int = 0
    busy_ns: int = 0

    def plus(self, other: Cell | None) -> Cell:
        """Returns the sum of two cells."""
        if other is None:
            return self
        known = [cell.cost_usd for cell in (other, self) if cell.cost_usd is not None]
        counts = {name: getattr(self, name) + getattr(other, name) for name in _CELL_COUNTS}
        return Cell(**counts, cost_usd=sum(known) if known else None)


_CELL_COUNTS = tuple(name for name in Cell.__struct_fields__ if name != "cost_usd")


class ToolCell(msgspec.Struct, array_like=True):
    """A tool cell holds counts of one tool on one day.

    Attributes:
        calls: made.
        errors: of them failed.
        busy_ns: time in them.
    """

    calls: int = 0
    errors: int = 0
    busy_ns: int = 0

    def plus(self, other: ToolCell | None) -> ToolCell:
        """Returns the sum of two cells."""
        if other is None:
            return self
        return ToolCell(self.calls + other.calls, self.errors + other.errors, self.busy_ns + other.busy_ns)


Key = tuple[str, str, str]  # local day, model, agent; "" for none


class Tally(Totals):
    """A tally adds up one session.

    Attributes:
        cells: counts by day, model and agent.
        tool_cells: counts by day and tool.
        agents: names of the agents, in order of appearance.
        models: names of the models asked, in order of appearance.
        repository: of the files the agent worked in, "" where the source does not say.
        open_loops: loops without an end.
        roots: spans that stand for the session itself: one, unless it lies in sources that know nothing of each other.
    """

    def __init__(self, session_id: str, days: Days | None = None) -> None:
        super().__init__(session_id)
        self._days = Days() if days is None else days
        self.cells: dict[Key, Cell] = {}
        self.tool_cells: dict[tuple[str, str], ToolCell] = {}
        self.agents: dict[str, None] = {}
        self.models: dict[str, None] = {}
        self.repository = ""
        self.open_loops = self.roots = 0

    def _count(self, span: Span, given: Mapping[str, object], error: str | None) -> None:
        operation = given.get(s.OPERATION)
        if operation == "chat":
            self._add_call(span, given)
        elif operation == "agent_step":
            self._cell(span).turns += 1
            self._add_tools(span)
        elif operation == "invoke_agent":
            self._add_loop(span, given)
        elif operation == "invoke_workflow":
            self.roots += s.PARALLEL_LOOPS not in given
        super()._count(span, given, error)

    def _add_call(self, span: Span, given: Mapping[str, object]) -> None:
        cell = self._cell(span)
        cell.calls += 1
        cell.input_tokens += _number(given.get(s.USAGE_INPUT))
        cell.output_tokens += _number(given.get(s.USAGE_OUTPUT))
        cell.cached_tokens += _number(given.get(s.USAGE_CACHE_READ))
        cell.busy_ns += span.end_ns - span.start_ns
        cost = given.get(s.COST_USD)
        if isinstance(cost, float):
            cell.cost_usd = (cell.cost_usd or 0.0) + cost

    def _add_tools(self, turn: Span) -> None:
        events = [event for event in turn.events if event.name == s.EVENT_TOOL]
        self._cell(turn).tools += len(events)
        for event in events:
            given = dict(event.attributes)
            key = self._days.of(event.time_ns), str(given.get(s.TOOL_NAME, ""))
            cell = self.tool_cells.setdefault(key, ToolCell())
            cell.calls += 1
            cell.errors += s.ERROR_TYPE in given
            lasted = given.get(s.TOOL_DURATION_MS)
            cell.busy_ns += round(lasted * 1_000_000) if isinstance(lasted, float) else 0

    def _add_loop(self, span: Span, given: Mapping[str, object]) -> None:
        self._cell(span).loops += 1
        self.open_loops += given.get(s.LOOP_STATUS) == _LIVE
        self.repository = self.repository or str(given.get(s.VCS_REPOSITORY, ""))

    def _cell(self, span: Span) -> Cell:
        model, agent = "", ""
        for key, value in span.attributes:
            if key == s.REQUEST_MODEL:
                model = str(value)
            elif key == s.AGENT_NAME:
                agent = str(value)
        if agent:
            self.agents.setdefault(agent)
        if model:
            self.models.setdefault(model)
        return self.cells.setdefault((self._days.of(span.start_ns), model, agent), Cell())

    def _blame(self, error: str, span: Span) -> None:
        super()._blame(error, span)
        self._cell(span).errors += 1

    def settle(self) -> None:
        """Counts what was left for a span that might have explained it; to be called after the last span."""
        self._settle()

    def take_errors(self, errors: Counter[str]) -> None:
        """Takes failures that were counted and settled elsewhere."""
        self._causes += errors

    def merge(self, other: Tally) -> None:
        """Adds what another source has of the same session."""
        for name in _ADDED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.spans -= min(self.roots, other.roots)  # it is one span
        self.roots = max(self.roots, other.roots)
        self.started_ns, self.ended_ns = min(self.started_ns, other.started_ns), max(self.ended_ns, other.ended_ns)
        self.take_errors(other.errors)
        known = [cost for cost in (self.cost_usd, other.cost_usd) if cost is not None]
        self.cost_usd = round(sum(known), 12) if known else None
        self.cost_partial = self.cost_partial or other.cost_partial
        for name in ("trace_ids", "agents", "models"):
            setattr(self, name, getattr(self, name) | getattr(other, name))
        for key, cell in other.cells.items():
            self.cells[key] = cell.plus(self.cells.get(key))
        for tool, counts in other.tool_cells.items():
            self.tool_cells[tool] = counts.plus(self.tool_cells.get(tool))
        self.repository = self.repository or other.repository


_ADDED = (
    "spans", "loops", "turns", "tools", "input_tokens", "output_tokens", "cached_tokens", "model_ns", "tool_ns", "open_loops"
)  # fmt: skip


class Tallies:
    """Tallies add up spans session by session; all are kept: a session takes a few kB.

    Attributes:
        days: the local days that were asked for.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, Tally] = {}
        self.days = Days()

    def add_all(self, spans: Iterable[Span]) -> None:
        """Adds spans."""
        for span in spans:
            session = session_of(span)
            found = self._by_id.get(session)
            if found is None:
                found = self._by_id[session] = Tally(session, self.days)
            found.add(span)

    def all(self) -> list[Tally]:
        """Returns the sessions, in order of appearance."""
        for tally in self._by_id.values():
            tally.settle()
        return list(self._by_id.values())


class Days:
    """Days are local days by the quarters of an hour that they were asked for: an offset from UTC is a whole number of those.

    Attributes:
        known: quarters, seconds since 1970, each with its day.
    """

    def __init__(self) -> None:
        self.known: dict[int, str] = {}

    def of(self, time_ns: int) -> str:
        """Returns the local day of a moment, `2026-11-20`; "" where no calendar has it."""
        seconds = time_ns // 1_000_000_000
        quarter = seconds - seconds % 900
        found = self.known.get(quarter)
        if found is None:
            found = self.known[quarter] = day_of(quarter)
        return found


@lru_cache(maxsize=10_000)
def day_of(seconds: int) -> str:
    """Returns the local day of a moment, `2026-11-20`; "" where no calendar has it."""
    try:
        return dt.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d")
    except (ValueError, OverflowError, OSError):
        return ""


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
