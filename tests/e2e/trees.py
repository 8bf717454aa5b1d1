"""A span of ours in Jaeger's terms, so that what came back can be compared with what left, field by field."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from msgspec import structs

from otel_phi.mapping.span import Attributes, AttributeValue, Span, SpanEvent, SpanKind, SpanLink, StatusCode
from otel_phi.version import __version__
from tests.e2e.jaeger import Jaeger, JaegerEvent, JaegerSpan, Place, Tags

SERVICE = "fixer"


def places(spans: Iterable[Span]) -> set[Place]:
    """Returns where the spans are."""
    return {_place(span) for span in spans}


def differences(jaeger: Jaeger, sent: Iterable[Span], *, profile: str = "jaeger") -> list[str]:
    """Waits for the spans, then returns what Jaeger tells otherwise than it was sent, in words.

    Nothing where it tells each span once, all of it, without a warning, and no other span of their traces. Two APIs are asked:
    the UI's, and the newer one, which has nanoseconds and the attributes of links.

    Args:
        jaeger: who is asked.
        sent: the spans.
        profile: they were sent with; without `jaeger` its UI warns of clocks, see `warnings`.
    """
    spans = {_place(span): span for span in sent}
    told = jaeger.wait_for(spans)
    in_the_ui = [span for trace in told.values() for span in trace]
    exactly = [span for trace_id in told for span in jaeger.otlp(trace_id)]
    found = [f"shown {len(each)} spans, sent {len(spans)}" for each in (in_the_ui, exactly) if len(each) != len(spans)]
    for shown in in_the_ui:
        ours = spans.get(shown.place)
        found += (
            [f"never sent: {shown.name}"]
            if ours is None
            else _fields(_in_the_uis_terms(ours, () if profile == "jaeger" else warnings(ours, spans)), shown)
        )
    for span in exactly:
        sent_so = spans.get(_place(span))
        if sent_so is None or _in_order(span) != _in_order(sent_so):
            found.append(f"told as {span}\nsent as {sent_so}")
    return found


def _in_order(span: Span) -> Span:
    """Returns the span with attributes and events in an order of their own: Jaeger sorts them its way."""
    return structs.replace(
        span,
        attributes=_sorted_pairs(span.attributes),
        events=tuple(
            sorted(
                (SpanEvent(event.name, event.time_ns, _sorted_pairs(event.attributes)) for event in span.events),
                key=lambda event: (event.time_ns, event.name, repr(event.attributes)),
            )
        ),
        links=tuple(SpanLink(link.trace_id, link.span_id, _sorted_pairs(link.attributes)) for link in span.links),
    )


def _sorted_pairs(attributes: Attributes) -> Attributes:
    return tuple(sorted(attributes, key=lambda pair: pair[0]))


def _place(span: Span) -> Place:
    return span.trace_id, span.span_id


def _fields(ours: JaegerSpan, theirs: JaegerSpan) -> list[str]:
    where = f"{ours.name} {ours.place[0]:032x}/{ours.place[1]:016x}"
    theirs = theirs._replace(warnings=tuple(warning.partition(";")[0] for warning in theirs.warnings))
    fields = (name for name in ours._fields if name != "resource")
    found = [
        f"{where}: {name} is {getattr(theirs, name)!r}, not {getattr(ours, name)!r}"
        for name in fields
        if not _equal(getattr(ours, name), getattr(theirs, name))
    ]
    return found + ([] if "host.name" in theirs.resource else [f"{where}: no host.name"])


def _equal(ours: object, theirs: object) -> bool:
    """Tells whether both are the same, down to the types of values: True is not 1, and 1 not 1.0."""
    return repr(_sorted(ours)) == repr(_sorted(theirs))


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return sorted((key, _sorted(each)) for key, each in value.items())
    return [_sorted(each) for each in value] if isinstance(value, tuple) else value


def warnings(span: Span, spans: Mapping[Place, Span]) -> tuple[str, ...]:
    """Returns what the UI's API of Jaeger 2.13 says of a loop that lies outside the loop it continues, and is the shorter one.

    It takes both for spans of hosts with different clocks: it knows hosts by a resource attribute `ip` alone, which only
    `profile="jaeger"` sets. The newer API knows them by `host.name`, and says nothing.
    """
    parent = spans.get((span.trace_id, span.parent_span_id))
    if parent is None or parent.end_ns - parent.start_ns < span.end_ns - span.start_ns:
        return ()
    inside = parent.start_ns <= span.start_ns and span.end_ns <= parent.end_ns
    return () if inside else ("clock skew adjustment disabled",)


def _in_the_uis_terms(span: Span, warned: tuple[str, ...]) -> JaegerSpan:
    start_us = span.start_ns // 1000
    parent = (span.trace_id, span.parent_span_id)
    links = tuple((link.trace_id, link.span_id) for link in span.links)
    return JaegerSpan(
        place=_place(span),
        name=span.name,
        # A span that is parent and linked (what a loop continues, say) is told once there, as link; the UI draws it as parent.
        parent=parent if span.parent_span_id and parent not in links else None,
        links=links,
        start_us=start_us,
        duration_us=(span.end_ns - span.start_ns) // 1000,
        tags=_tags(span),
        events=tuple(
            JaegerEvent(event.name, event.time_ns // 1000, {key: _value(value) for key, value in event.attributes})
            for event in span.events
        ),
        warnings=warned,
        service=SERVICE,
        resource={},
    )


def _tags(span: Span) -> Tags:
    tags: Tags = {key: _value(value) for key, value in span.attributes}
    tags |= {"span.kind": "client" if span.kind is SpanKind.CLIENT else "internal"}
    tags |= {"otel.scope.name": "otel_phi", "otel.scope.version": __version__}
    if span.status is StatusCode.ERROR:
        tags |= {"otel.status_code": "ERROR", "error": True}
    elif span.status is StatusCode.OK:
        tags["otel.status_code"] = "OK"
    return tags | ({"otel.status_description": span.status_message} if span.status_message else {})


def _value(value: AttributeValue) -> object:
    """Returns a value as Jaeger keeps it: a list as JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False) if isinstance(value, tuple) else value
