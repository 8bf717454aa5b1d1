"""Spans to a tree, and the tree to plain text: what users' tests and ours compare, and what the terminal draws from.

It knows spans alone: no events, no files, no terminal.

Rule 1: every span given is in the tree exactly once, also one whose parent is missing or that stands in a circle.
Rule 2: the text depends on the spans alone, not on the order in which they came.
Rule 3: text that came from outside is printed only through `clean`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

import msgspec

from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Attributes, Span, SpanEvent, SpanLink

# Unicode categories a terminal may act on or show as something else: control, format (bidi among them), surrogate,
# line and paragraph separator.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# A group and the root stand before the loops that start with them, a chat before the tools it asked for.
_RANK = {"invoke_workflow": 0, "invoke_agent": 1, "agent_step": 1, "chat": 1, "execute_tool": 2}
# What a line says of its span, in this order: attribute, and the word for it.
_NOTES = (
    (s.PHI_AGENT_ID, "agent"),
    (s.LOOP_KIND, "kind"),
    (s.LOOP_TAG, "tag"),
    (s.LOOP_STATUS, "status"),
    (s.LOOP_LIMIT, "limit"),
    (s.LOOP_TURNS, "turns"),
    (s.LOOP_TOOLS, "tools"),
    (s.TURN_TRIGGER, "trigger"),
    (s.TURN_TOOLS, "tools"),
    (s.FINISH_REASONS, "finish"),
    (s.COMPACTED, "compacted"),
    (s.TOTAL_INPUT, "in"),
    (s.TOTAL_OUTPUT, "out"),
    (s.USAGE_INPUT, "in"),
    (s.USAGE_OUTPUT, "out"),
    (s.USAGE_CACHE_READ, "cache_read"),
    (s.USAGE_CACHE_WRITE, "cache_write"),
    (s.USAGE_REASONING, "reasoning"),
    (s.PARALLEL_SIZE, "size"),
    (s.TIME_INFERRED, "inferred"),
)


class Trace(msgspec.Struct, frozen=True):
    """A trace is drawn as this tree.

    Attributes:
        trace_id: 128 bits.
        roots: spans without a parent here, by start: true roots, and those of `stray`.
        children: by the parent's span id, each list by start.
        stray: span id -> why it stands at the top though it names a parent: `missing` or `circle`.
        doubles: span ids that came more than once; the first one stands in the tree.
        started_ns: start of the earliest span.
        ended_ns: end of the latest span.
    """

    trace_id: int
    roots: tuple[Span, ...]
    children: dict[int, list[Span]]
    stray: dict[int, str]
    doubles: dict[int, int]
    started_ns: int
    ended_ns: int

    def walk(self) -> Iterator[tuple[int, Span]]:
        """Yields every span with its depth, parents first; a chain of any length is walked without recursion."""
        waiting = [(0, root) for root in reversed(self.roots)]
        while waiting:
            depth, span = waiting.pop()
            yield depth, span
            waiting.extend((depth + 1, child) for child in reversed(self.children.get(span.span_id, ())))


def traces(spans: Iterable[Span]) -> list[Trace]:
    """Returns a tree for each trace, ordered by their starts."""
    by_trace: dict[int, list[Span]] = {}
    for span in spans:
        by_trace.setdefault(span.trace_id, []).append(span)
    found = [_trace(trace_id, members) for trace_id, members in by_trace.items()]
    return sorted(found, key=lambda trace: (trace.started_ns, trace.trace_id))


def _trace(trace_id: int, spans: list[Span]) -> Trace:
    first: dict[int, Span] = {}
    doubles: dict[int, int] = {}
    for span in sorted(spans, key=_order):
        if span.span_id in first:
            doubles[span.span_id] = doubles.get(span.span_id, 1) + 1
        else:
            first[span.span_id] = span
    roots, children = [], dict[int, list[Span]]()
    stray: dict[int, str] = {}
    for span in first.values():
        if span.parent_span_id in first:
            children.setdefault(span.parent_span_id, []).append(span)
            continue
        roots.append(span)
        if span.parent_span_id:
            stray[span.span_id] = "missing"
    freed = _break_circles(first, roots, children)
    stray.update((span.span_id, "circle") for span in freed)
    return Trace(
        trace_id,
        tuple(sorted(roots + freed, key=_order)),
        children,
        stray,
        doubles,
        min(span.start_ns for span in spans),
        max(span.end_ns for span in spans),
    )


def _break_circles(first: dict[int, Span], roots: list[Span], children: dict[int, list[Span]]) -> list[Span]:
    """Takes one span out of each circle of parents, so that all are under a root, and returns those taken out."""
    reached: set[int] = set()
    for root in roots:
        _reach(root, children, reached)
    freed = []
    for span in first.values():
        if span.span_id not in reached:
            within = _within_circle(span, first)
            children[within.parent_span_id].remove(within)
            _reach(within, children, reached)
            freed.append(within)
    return freed


def _within_circle(span: Span, first: dict[int, Span]) -> Span:
    passed: set[int] = set()
    while span.span_id not in passed:
        passed.add(span.span_id)
        span = first[span.parent_span_id]
    return span


def _reach(start: Span, children: dict[int, list[Span]], reached: set[int]) -> None:
    waiting = [start]
    while waiting:
        span = waiting.pop()
        reached.add(span.span_id)
        waiting.extend(children.get(span.span_id, ()))


def _order(span: Span) -> tuple[int, int, int, str, int]:
    return span.start_ns, _RANK.get(str(span.get(s.OPERATION)), 1), span.end_ns, span.name, span.span_id


def session_of(span: Span) -> str:
    """Returns the id of the session a span belongs to, its trace id in hex where it says none."""
    session = span.get(s.SESSION_ID) or span.get(s.CONVERSATION_ID) or span.get(s.PARALLEL_SESSION)
    return str(session) if session else f"{span.trace_id:032x}"


def clean(text: object) -> str:
    """Returns a text without characters that a terminal acts on; line breaks and tabs become spaces."""
    whole = str(text)
    if whole.isascii() and whole.isprintable():
        return whole
    spaced = (" " if character in "\n\r\t" else character for character in whole)
    return "".join(character for character in spaced if unicodedata.category(character) not in _UNPRINTABLE)


def render_tree(spans: Iterable[Span]) -> str:
    """Renders spans as plain text, one line each, their events and links indented below them.

    Args:
        spans: of any number of traces, in any order.

    Returns:
        Lines such as `    chat mock-large  +0.104ms 60.811ms  finish=tool_call in=12 out=5`: name, offset from the
        trace's start, duration, then what matters of the attributes, `!` and the error word where one went wrong.
        Ends with a newline unless there are no spans.
    """
    forest = traces(spans)
    places = {(trace.trace_id, span.span_id): span for trace in forest for _, span in trace.walk()}
    return "".join(f"{line}\n" for trace in forest for line in _trace_lines(trace, places))


def _trace_lines(trace: Trace, places: dict[tuple[int, int], Span]) -> Iterator[str]:
    sessions = sorted({session_of(span) for _, span in trace.walk()})
    yield f"trace {trace.trace_id:032x}  session {', '.join(map(clean, sessions))}"
    for depth, span in trace.walk():
        margin = "  " * (depth + 1)
        yield margin + "  ".join([_title(span), _times(span, trace), *_notes(span, trace)])
        for event in span.events:
            yield f"{margin}    * {_event(event, trace)}"
        for link in span.links:
            yield f"{margin}    -> {_link(link, span, places)}"


def _title(span: Span) -> str:
    index = span.get(s.TURN_INDEX) if span.get(s.OPERATION) == "agent_step" else None
    loop = span.get(s.LOOP_ID) if span.get(s.OPERATION) == "invoke_agent" else None
    subject = index if loop is None else str(loop).removeprefix(f"{session_of(span)}.")
    return clean(span.name) if subject is None else f"{clean(span.name)} {clean(subject)}"


def _times(span: Span, trace: Trace) -> str:
    return f"+{duration(span.start_ns - trace.started_ns)} {duration(span.end_ns - span.start_ns)}"


def duration(length_ns: int) -> str:
    """Returns a duration in milliseconds, exact to the microsecond; below that in nanoseconds."""
    if 0 < length_ns < 1_000:
        return f"{length_ns}ns"
    return f"{length_ns // 1_000 / 1_000:.3f}".rstrip("0").rstrip(".") + "ms"


def _notes(span: Span, trace: Trace) -> list[str]:
    given = dict(span.attributes)
    notes = [f"{word}={_value(given[key])}" for key, word in _NOTES if key in given]
    said = [" ".join(notes)] if notes else []
    error = given.get(s.ERROR_TYPE)
    if error is not None or span.status_message:
        said.append(f"! {clean(error or span.status_message)}")
    if span.span_id in trace.stray:
        said.append(f"(parent {span.parent_span_id:016x}: {trace.stray[span.span_id]})")
    if span.span_id in trace.doubles:
        said.append(f"({trace.doubles[span.span_id]} times)")
    if span.dropped_events_count:
        said.append(f"({span.dropped_events_count} events dropped)")
    return said


def _event(event: SpanEvent, trace: Trace) -> str:
    offset = duration(event.time_ns - trace.started_ns)
    return " ".join([clean(event.name), f"+{offset}", *_pairs(event.attributes, event.name)])


def _link(link: SpanLink, span: Span, places: dict[tuple[int, int], Span]) -> str:
    target = places.get((link.trace_id, link.span_id))
    if target is None:
        where = f"not here: {link.trace_id:032x} {link.span_id:016x}"
    elif target.trace_id == span.trace_id:
        where = _title(target)
    else:
        where = f"session {clean(session_of(target))}: {_title(target)}"
    kind = next((str(value) for key, value in link.attributes if key == s.LINK_KIND), "link")
    rest = tuple(pair for pair in link.attributes if pair[0] != s.LINK_KIND)
    return " ".join([clean(kind), f"[{where}]", *_pairs(rest, "phi.link")])


def _pairs(attributes: Attributes, prefix: str) -> list[str]:
    short = (f"{prefix}.", "phi.tool.", "gen_ai.tool.", "phi.")
    return [f"{clean(_shorten(key, short))}={_value(value)}" for key, value in attributes]


def _shorten(key: str, prefixes: tuple[str, ...]) -> str:
    found = next((prefix for prefix in prefixes if key.startswith(prefix)), "")
    return key.removeprefix(found)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(clean, value))
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else clean(value)
