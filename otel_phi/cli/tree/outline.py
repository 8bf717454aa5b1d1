"""A session's spans to rows: loops side by side, turns below them, model calls and tools below those.

Rule 1: a loop stands beside the loop it continues, and says so: a conversation of a thousand loops does not drift to the
        right. The branches of a parallel evaluation stand below it, a sub-agent of the same session below its tool.
Rule 2: an error is said in words where it arose; what is above it is only marked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from otel_phi.cli import words
from otel_phi.cli.report.totals import Totals
from otel_phi.cli.tree.contents import content_rows
from otel_phi.cli.tree.labels import Place, is_marker, kind, label
from otel_phi.cli.tree.notes import error_note, event_row, link_notes
from otel_phi.cli.tree.rows import Row
from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Span, SpanEvent
from otel_phi.tree import Trace, clean, session_of, traces

_SIDE_BY_SIDE = ("loop", "group")
_COMMIT = 8  # of its hexadecimal digits, as git shows them


class Session(msgspec.Struct):
    """A session is what is shown of one session.

    Attributes:
        totals: what it adds up to.
        agent: name of the agent, "" for none.
        source: where it was read from, in words: the agent's version, where it worked; "" for none.
        rows: its loops and parallel groups, earliest first.
    """

    totals: Totals
    agent: str
    source: str
    rows: list[Row]


class Names(msgspec.Struct, frozen=True):
    """Says what sessions are called: short names of all that are met, and which of them are shown."""

    short: dict[str, str]
    here: frozenset[str]


def outline(spans: Iterable[Span]) -> list[Session]:
    """Returns the sessions of some spans as rows, earliest first."""
    by_session: dict[str, list[Span]] = {}
    for span in spans:
        by_session.setdefault(session_of(span), []).append(span)
    linked = {str(value) for members in by_session.values() for span in members for value in _other_sessions(span)}
    names = Names(words.short_names([*by_session, *linked]), frozenset(by_session))
    sessions = [_session(session, members, names) for session, members in by_session.items()]
    return sorted(sessions, key=lambda session: (session.totals.started_ns, session.totals.session_id))


def _other_sessions(span: Span) -> list[object]:
    linked: list[object] = [value for link in span.links for key, value in link.attributes if key == s.LINK_SESSION]
    spawner = span.get(s.SPAWN_SESSION)
    return linked if spawner is None else [*linked, spawner]


def _session(session_id: str, spans: list[Span], names: Names) -> Session:
    totals = Totals(session_id)
    for span in spans:
        totals.add(span)
    walked = [(trace, span) for trace in traces(spans) for _, span in trace.walk()]
    loops = sorted((span for _, span in walked if kind(span) == "loop"), key=lambda loop: (loop.start_ns, loop.span_id))
    numbers = {(loop.trace_id, loop.span_id): number for number, loop in enumerate(loops, 1)}
    tools = {(span.trace_id, span.span_id) for _, span in walked if kind(span) == "tool"}
    tops = [(span, _row(span, trace, numbers, names)) for trace, span in walked if _stands_alone(span, trace, tools)]
    return Session(totals, _agent(spans), _source(spans), _under_groups(tops))


def _agent(spans: list[Span]) -> str:
    """Returns the session's agent: whose records come first, else its root's name, else that of most of its loops; "" for none."""
    read = _first_read(spans)
    if read is not None:
        return str(read.get(s.SOURCE_AGENT))
    marked = [span for span in spans if is_marker(span)]  # a branch alone may have a name of its own
    names = Counter(str(span.get(s.AGENT_NAME) or "") for span in marked or spans if marked or kind(span) == "loop")
    return min(names, key=lambda name: (-names[name], name), default="")


def _source(spans: list[Span]) -> str:
    """Returns what the earliest span that says so tells of the agent whose records were read."""
    first = _first_read(spans)
    if first is None:
        return ""
    given = dict(first.attributes)
    commit = str(given.get(s.VCS_REVISION, ""))[:_COMMIT]
    place = f"{given.get(s.VCS_BRANCH, '')}@{commit}" if commit else given.get(s.VCS_BRANCH)
    known = [given.get(key) for key in (s.SOURCE_TITLE, s.SOURCE_VERSION, s.SOURCE_ENTRYPOINT, s.SOURCE_CWD)]
    return " · ".join(clean(str(one)) for one in [*known, place, given.get(s.VCS_REPOSITORY)] if one)


def _first_read(spans: list[Span]) -> Span | None:
    """Returns the earliest span that says from whose records it was read."""
    return min((span for span in spans if span.get(s.SOURCE_AGENT)), key=lambda span: span.start_ns, default=None)


def _stands_alone(span: Span, trace: Trace, tools: set[Place]) -> bool:
    """Tells whether a span's row stands at the top: a loop, a group, or a span whose parent is not here."""
    if is_marker(span) or (span.trace_id, span.parent_span_id) in tools:
        return False
    return kind(span) in _SIDE_BY_SIDE or not span.parent_span_id or span.span_id in trace.stray


def _under_groups(tops: list[tuple[Span, Row]]) -> list[Row]:
    """Puts the branches of parallel groups below them and sorts all by their start."""
    groups = {(link.trace_id, link.span_id): row for span, row in tops if row.kind == "group" for link in span.links}
    rows: list[Row] = []
    for span, row in sorted(tops, key=lambda top: (top[1].started_ns, top[1].kind != "group", top[0].span_id)):
        group = groups.get((span.trace_id, span.span_id))
        (rows if group is None else group.rows).append(row)
    return rows


def _row(span: Span, trace: Trace, numbers: Mapping[Place, int], names: Names) -> Row:
    row = label(span, numbers)
    below_it = trace.children.get(span.span_id, ())
    children = [child for child in below_it if kind(child) not in _SIDE_BY_SIDE or kind(span) == "tool"]
    calls = {str(child.get(s.TOOL_CALL_ID)) for child in children if kind(child) == "tool"}
    below = [_row(child, trace, numbers, names) for child in children]
    below += [event_row(event) for event in span.events if _is_news(event, calls)]
    below.sort(key=lambda under: under.started_ns)
    said = any(child.get(s.ERROR_TYPE) == span.get(s.ERROR_TYPE) for child in children)
    error = None if said else error_note(span)
    row.rows = [*link_notes(span, names.short, names.here), *([error] if error else []), *content_rows(span), *below]
    return row


def _is_news(event: SpanEvent, calls: set[str]) -> bool:
    """Tells whether an event says more than the tool spans do."""
    return event.name != s.EVENT_TOOL or str(dict(event.attributes).get(s.TOOL_CALL_ID)) not in calls
