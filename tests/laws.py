"""The laws every trace keeps, whatever the stream: each a function from spans to the sentences that say what broke."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from otel_phi.events import AgentEvent, ToolExecutionEnd
from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import AttributeValue, Span, SpanKind, StatusCode
from otel_phi.pipeline import Pipeline
from otel_phi.recorder.references import Ahead

Place = tuple[int, int]
# operation -> what its parent may be; None: no parent.
_PARENTS: dict[str, dict[str, set[str | None]]] = {
    "session": {
        "root": {None},
        "loop": {"root", "loop", "tool"},
        "turn": {"loop"},
        "chat": {"turn", "loop", "root", None},
        "tool": {"turn"},
        "group": {"root"},
    },
    "loop": {"loop": {None}, "turn": {"loop"}, "chat": {"turn", "loop", None}, "tool": {"turn"}, "group": {None}},
}
_KINDS = {"invoke_agent": "loop", "agent_step": "turn", "chat": "chat", "execute_tool": "tool"}


def role(span: Span) -> str:
    """Returns what a span is: root, loop, turn, chat, tool or group."""
    operation = str(span.get(s.OPERATION))
    if operation == "invoke_workflow":
        return "group" if span.get(s.WORKFLOW_NAME) == "phi.parallel" else "root"
    return _KINDS[operation]


class Run:
    """Is one stream gone down the road: its spans, and how many tool ends of open loops it held."""

    def __init__(self, events: Iterable[AgentEvent], options: MappingOptions, ahead: Ahead | None = None) -> None:
        road = Pipeline(options, ahead)
        self.options = options
        self.spans: list[Span] = []
        self.tool_ends = 0
        for event in events:
            ignored = road.counts["loop_not_open"]
            self.spans += road.feed(event)
            if isinstance(event, ToolExecutionEnd) and road.counts["loop_not_open"] == ignored:
                self.tool_ends += 1
        self.spans += road.finish()
        self.open_loops = road.open_loops
        self.counts = road.counts

    def broken(self) -> list[str]:
        """Returns the laws this run breaks, in sentences; none for a good one."""
        return [
            *identity(self.spans),
            *family(self.spans, self.options),
            *times(self.spans),
            *links(self.spans),
            *attributes(self.spans),
            *tokens(self.spans),
            *self._tools(),
            *(["a loop is still open after the end"] if self.open_loops else []),
        ]

    def _tools(self) -> Iterator[str]:
        ended = {"ok", "error", "detached"}
        told = sum(
            dict(event.attributes).get(s.TOOL_OUTCOME) in ended
            for span in self.spans
            for event in span.events
            if event.name == s.EVENT_TOOL
        )
        spans = sum(span.get(s.TOOL_OUTCOME) in ended for span in self.spans if role(span) == "tool")
        if told != self.tool_ends:
            yield f"{self.tool_ends} tool ends, but {told} events {s.EVENT_TOOL}"
        if spans != (self.tool_ends if self.options.tool_spans else 0):
            yield f"{self.tool_ends} tool ends, but {spans} tool spans"


def places(spans: Iterable[Span]) -> dict[Place, Span]:
    """Returns the spans by trace and span id."""
    return {(span.trace_id, span.span_id): span for span in spans}


def identity(spans: list[Span]) -> Iterator[str]:
    """No id is zero or too large, and no span id stands twice in a trace."""
    for place, count in Counter((span.trace_id, span.span_id) for span in spans).items():
        if count > 1:
            yield f"span {place[1]:016x} {count} times in its trace"
        if not (0 < place[0] < 2**128 and 0 < place[1] < 2**64):
            yield f"an id out of range: {place}"
    for span in spans:
        for link in span.links:
            if not (0 < link.trace_id < 2**128 and 0 < link.span_id < 2**64):
                yield f"a link's id out of range on {span.name}"


def family(spans: list[Span], options: MappingOptions) -> Iterator[str]:
    """Every parent is in the same trace and of the right kind; there is no circle."""
    known = places(spans)
    for span in spans:
        parent = known.get((span.trace_id, span.parent_span_id))
        if span.parent_span_id and parent is None:
            yield f"the parent of {span.name} never arrived"
            continue
        allowed = _PARENTS[options.trace_scope].get(role(span))
        if role(span) == "chat" and span.get(s.SIDE_CALL_ID) is None:
            allowed = {"turn"}
        found = None if parent is None else role(parent)
        if allowed is None or found not in allowed:
            yield f"a {role(span)} under a {found}"
        if options.loop_layout == "flat" and role(span) == "loop" and found in {"loop", "tool"}:
            yield f"a loop under a {found} in the flat layout"
        if _in_circle(span, known):
            yield f"{span.name} is its own ancestor"


def _in_circle(span: Span, known: dict[Place, Span]) -> bool:
    passed: set[int] = set()
    walk: Span | None = span
    while walk is not None and walk.span_id not in passed:
        passed.add(walk.span_id)
        walk = known.get((walk.trace_id, walk.parent_span_id)) if walk.parent_span_id else None
    return walk is not None


def times(spans: list[Span]) -> Iterator[str]:
    """A span lasts at least 1 ns; turn, chat and tool lie inside their parent, tool events inside their turn."""
    known = places(spans)
    for span in spans:
        if not 0 <= span.start_ns < span.end_ns < 2**63:
            yield f"{span.name} lasts from {span.start_ns} to {span.end_ns}"
        if {type(time) for time in (span.start_ns, span.end_ns, *(event.time_ns for event in span.events))} != {int}:
            yield f"a time of {span.name} is no plain int"
        if role(span) == "root" and span.end_ns != span.start_ns + 1:
            yield "a root that is no marker"
        for event in span.events:
            if event.name == s.EVENT_TOOL and not span.start_ns <= event.time_ns <= span.end_ns:
                yield "a tool event outside its turn"
        parent = known.get((span.trace_id, span.parent_span_id))
        inside = parent is None or (parent.start_ns <= span.start_ns and span.end_ns <= parent.end_ns)
        inside = inside or span.get(s.SIDE_CALL_ID) is not None
        if role(span) in {"turn", "chat", "tool"} and not inside:
            yield f"{span.name} outside its parent"


def links(spans: list[Span]) -> Iterator[str]:
    """A link into a trace that is here ends at a span that is here, but for the caller's."""
    known = places(spans)
    traces = {span.trace_id for span in spans}
    for span in spans:
        for link in span.links:
            kind = dict(link.attributes).get(s.LINK_KIND)
            if kind != "caller" and link.trace_id in traces and (link.trace_id, link.span_id) not in known:
                yield f"a {kind} link of {span.name} to a span that is not there"
            if (link.trace_id, link.span_id) == (span.trace_id, span.span_id):
                yield f"{span.name} links to itself"


def attributes(spans: list[Span]) -> Iterator[str]:
    """No key stands twice; status and error word go together; values are of OTLP's kinds; only a chat is a client."""
    for span in spans:
        events = [(event.name, event.attributes) for event in span.events]
        for where, pairs in [
            (span.name, span.attributes),
            *events,
            *(("link", link.attributes) for link in span.links),
        ]:
            keys = [key for key, _ in pairs]
            if len(keys) != len(set(keys)):
                yield f"a key twice on {where}"
            yield from (f"{key} of {where} is {value!r}" for key, value in pairs if not _fits(value))
        if (span.status is StatusCode.ERROR) != (span.get(s.ERROR_TYPE) is not None):
            yield f"status {span.status.name} and error {span.get(s.ERROR_TYPE)} on {span.name}"
        if (span.kind is SpanKind.CLIENT) != (role(span) == "chat"):
            yield f"kind {span.kind.name} of {span.name}"


def _fits(value: AttributeValue) -> bool:
    if isinstance(value, tuple):
        return all(type(item) is str for item in value)
    return type(value) in {str, bool, int, float}


def tokens(spans: list[Span]) -> Iterator[str]:
    """The chats' tokens add up to their loop's; `gen_ai.usage.*` stands on chats alone."""
    known = places(spans)
    sums: dict[Place, Counter[str]] = defaultdict(Counter)
    for span in spans:
        if role(span) != "chat":
            yield from (f"{key} on a {role(span)}" for key, _ in span.attributes if key.startswith("gen_ai.usage."))
            continue
        above = known.get((span.trace_id, span.parent_span_id))
        if above is not None:
            loop = above.parent_span_id if role(above) == "turn" else above.span_id
            total = sums[span.trace_id, loop]
            total["in"] += int(str(span.get(s.USAGE_INPUT) or 0))
            total["out"] += int(str(span.get(s.USAGE_OUTPUT) or 0))
    for place, span in known.items():
        if role(span) != "loop":
            continue
        said = {"in": span.get(s.TOTAL_INPUT) or 0, "out": span.get(s.TOTAL_OUTPUT) or 0}
        if said != {"in": sums[place]["in"], "out": sums[place]["out"]}:
            yield f"loop {span.get(s.LOOP_ID)} says {said}, its chats {dict(sums[place])}"


def as_bytes(spans: Iterable[Span]) -> bytes:
    """Returns every field of the spans in their order, as bytes to compare (trace ids are too large for msgpack)."""
    return "\n".join(map(repr, spans)).encode()
