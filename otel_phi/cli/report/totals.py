"""What a session adds up to, counted while its spans pass by: loops, turns, tools, tokens, errors, time.

Rule 1: one failure is one error. A model call that fails also fails its turn and its loop; it counts once.
Rule 2: memory is a few numbers a session, and a word for each loop that is open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Span, SpanEvent
from otel_phi.tree import session_of

# A pipe can live for months. Past this the session met first is forgotten, and counted.
MAX_SESSIONS = 10_000
# Trace ids kept of a session whose loops are traces of their own; a table shows the first and how many more.
MAX_TRACES = 1_000


class Totals:
    """Adds up the spans of one session.

    Attributes:
        session_id: of the session.
        trace_ids: its traces in order of appearance: one, or one a loop, the first thousand.
        spans: how many there were.
        loops: of them.
        turns: of them.
        tools: tools executed, whether or not they are spans.
        input_tokens: what the model read, cached tokens included.
        output_tokens: what it wrote.
        cached_tokens: input tokens that came from a cache.
        cost_usd: what the model calls cost, None where of none of them that is known.
        cost_partial: whether a call that counted tokens has no known cost.
        errors: failures by error word.
        model_ns: time in model calls, added up.
        tool_ns: time in tools, added up; those at the same time count each.
        started_ns: start of the earliest span.
        ended_ns: end of the latest span.
    """

    __slots__ = ("_causes", "_last", "_unexplained", "cached_tokens", "cost_partial", "cost_usd", "ended_ns", "input_tokens", "loops", "model_ns", "output_tokens", "session_id", "spans", "started_ns", "tool_ns", "tools", "trace_ids", "turns")  # fmt: skip

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.trace_ids: dict[int, None] = {}
        self.spans = self.loops = self.turns = self.tools = 0
        self.input_tokens = self.output_tokens = self.cached_tokens = 0
        self.cost_usd: float | None = None
        self.cost_partial = False
        self.model_ns = self.tool_ns = 0
        self.started_ns = self.ended_ns = 0
        self._causes: Counter[str] = Counter()
        self._unexplained: tuple[Span, str] | None = None  # the latest turn, if it failed and nothing has said why
        self._last: dict[int, str] = {}  # loop -> error word of its latest turn

    @property
    def errors(self) -> Counter[str]:
        """Failures by error word."""
        return self._causes + Counter([self._unexplained[1]] if self._unexplained else [])

    @property
    def error_count(self) -> int:
        """How many failures there were."""
        return self.errors.total()

    def add(self, span: Span) -> None:
        """Adds one span."""
        self.started_ns = min(self.started_ns, span.start_ns) if self.spans else span.start_ns
        self.ended_ns = max(self.ended_ns, span.end_ns)
        self.spans += 1
        if len(self.trace_ids) < MAX_TRACES:
            self.trace_ids.setdefault(span.trace_id)
        given = dict(span.attributes)
        word = given.get(s.ERROR_TYPE)
        self._count(span, given, str(word) if word is not None else None)

    def _count(self, span: Span, given: Mapping[str, object], error: str | None) -> None:
        lasted = span.end_ns - span.start_ns
        match given.get(s.OPERATION):
            case "invoke_agent":
                self.loops += 1
                if self._last.pop(span.span_id, None) != error and error:
                    self._blame(error, span)
            case "agent_step":
                self.turns += 1
                self.tools += _number(given.get(s.TURN_TOOLS))
                self._note_turn(span, error)
            case "chat":
                self.model_ns += lasted
                self.input_tokens += _number(given.get(s.USAGE_INPUT))
                self.output_tokens += _number(given.get(s.USAGE_OUTPUT))
                self.cached_tokens += _number(given.get(s.USAGE_CACHE_READ))
                self._add_cost(given)
                self._note_cause(span, error)
            case _:
                pass  # tools are counted from the events on their turn: those are always there

    def _add_cost(self, given: Mapping[str, object]) -> None:
        cost = given.get(s.COST_USD)
        if isinstance(cost, float):
            self.cost_usd = round((self.cost_usd or 0.0) + cost, 12)  # of a dollar: so are those of a call
        elif _number(given.get(s.USAGE_INPUT)) or _number(given.get(s.USAGE_OUTPUT)):
            self.cost_partial = True

    def _note_turn(self, span: Span, error: str | None) -> None:
        self._settle()
        failed = [self._note_tool(event, span) for event in span.events if event.name == s.EVENT_TOOL]
        if error is None:
            self._last.pop(span.parent_span_id, None)
            return
        self._last[span.parent_span_id] = error
        if error not in failed:
            self._unexplained = span, error

    def _note_tool(self, event: SpanEvent, turn: Span) -> str | None:
        given = dict(event.attributes)
        milliseconds = given.get(s.TOOL_DURATION_MS)
        if isinstance(milliseconds, float):
            self.tool_ns += round(milliseconds * 1_000_000)
        error = given.get(s.ERROR_TYPE)
        if error is not None:
            self._blame(str(error), turn)
        return None if error is None else str(error)

    def _note_cause(self, span: Span, error: str | None) -> None:
        if error is None:
            return
        self._blame(error, span)
        if self._unexplained is not None and (self._unexplained[0].span_id, self._unexplained[1]) == (
            span.parent_span_id,
            error,
        ):
            self._unexplained = None

    def _settle(self) -> None:
        """Counts a turn whose model call, which leaves right behind it, did not explain it."""
        if self._unexplained is not None:
            turn, error = self._unexplained
            self._blame(error, turn)
            self._unexplained = None

    def _blame(self, error: str, span: Span) -> None:  # noqa: ARG002  # who counts by day and model asks for it
        """Counts one failure; the span is where it shows."""
        self._causes[error] += 1


class Taker(Protocol):
    """A taker takes spans."""

    def add(self, span: Span, /) -> object:
        """Takes one span."""


def both(first: Callable[[Span], None], second: Taker | None) -> Callable[[Span], None]:
    """Returns what takes each span that passes: somebody, and somebody else, if there is one."""
    if second is None:
        return first

    def add(span: Span) -> None:
        first(span)
        second.add(span)

    return add


class Sessions:
    """Adds up spans session by session.

    Attributes:
        forgotten: sessions of which only the number is kept.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, Totals] = {}
        self.forgotten = 0

    def add(self, span: Span) -> None:
        """Adds a span."""
        session = session_of(span)
        totals = self._by_id.get(session)
        if totals is None:
            if len(self._by_id) >= MAX_SESSIONS:
                del self._by_id[next(iter(self._by_id))]
                self.forgotten += 1
            totals = self._by_id[session] = Totals(session)
        totals.add(span)

    def all(self) -> list[Totals]:
        """Returns the totals of the sessions kept, earliest first."""
        return sorted(self._by_id.values(), key=lambda totals: (totals.started_ns, totals.session_id))


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
