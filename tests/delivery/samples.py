"""Spans for tests: one with everything, and a strategy for hostile ones."""

from __future__ import annotations

from hypothesis import strategies as st

from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.delivery.otlp.resource import Resource
from otel_phi.delivery.sending.batch import Batch, batches
from otel_phi.mapping.span import Attributes, Span, SpanEvent, SpanKind, SpanLink, StatusCode

RESOURCE = Resource((("host.name", "box"), ("service.name", "tests")), "https://opentelemetry.io/schemas/1.2.3")
TRACE = 0x0123456789ABCDEF0123456789ABCDEF
START = 1_700_000_000_000_000_000

ATTRIBUTES: Attributes = (
    ("text", "grüße 👋"),
    ("empty", ""),
    ("long", "x" * 3000),
    ("yes", True),
    ("no", False),
    ("one", 1),
    ("zero", 0),
    ("big", 2**63 - 1),
    ("small", -(2**63)),
    ("half", 0.5),
    ("one point zero", 1.0),
    ("reasons", ("stop", "length")),
    ("none", ()),
)


def full_span() -> Span:
    """Returns a span that uses every field."""
    return Span(
        name="chat model-1",
        trace_id=TRACE,
        span_id=0xFEDCBA9876543210,
        parent_span_id=0x1122334455667788,
        kind=SpanKind.CLIENT,
        start_ns=START,
        end_ns=START + 5_000_000_001,
        attributes=ATTRIBUTES,
        events=(SpanEvent("phi.tool.execution", START + 1, ATTRIBUTES), SpanEvent("bare", START + 2)),
        links=(SpanLink(TRACE + 1, 7, (("phi.link.kind", "spawned"),)), SpanLink(2**128 - 1, 2**64 - 1)),
        status=StatusCode.ERROR,
        status_message="it broke",
        dropped_events_count=300,
    )


def plain_span(number: int, name: str = "turn") -> Span:
    """Returns a small span whose span id is `number`."""
    return Span(name, TRACE, number, 0, SpanKind.INTERNAL, START + number, START + number + 1)


def plain_batches(count: int, per_batch: int = 10) -> list[Batch]:
    """Returns batches of small spans with the span ids 1 to `count`."""
    encoder = Encoder(RESOURCE)
    size = len(encoder.span(plain_span(1)))
    spans = (plain_span(number) for number in range(1, count + 1))
    return list(batches(spans, encoder, encoder.envelope.size_bytes + size * per_batch))


_texts = st.text(st.characters(), max_size=40) | st.sampled_from(
    ["\ud800", "a\udfffb", "\ud83d\ude00", "\x00", "é" * 200]
)
_ints = st.integers(-(2**80), 2**80)
_values = (
    _texts | st.booleans() | _ints | st.floats() | st.lists(_texts, max_size=4).map(tuple) | st.lists(_ints).map(tuple)
    | st.sampled_from([None, b"raw", {"a": 1}, ["list"], object(), ({},), (("nested",),)])
)  # fmt: skip
_keys = _texts | st.sampled_from([None, 7])
_attributes = st.lists(st.tuples(_keys, _values), max_size=6).map(tuple)
_ids = st.integers(1, 2**140)

hostile_spans: st.SearchStrategy[Span] = st.builds(
    Span,
    name=_texts,
    trace_id=_ids,
    span_id=_ids,
    parent_span_id=st.just(0) | _ids,
    kind=st.sampled_from(list(SpanKind)),
    start_ns=_ints,
    end_ns=_ints,
    attributes=_attributes,
    events=st.lists(st.builds(SpanEvent, name=_texts, time_ns=_ints, attributes=_attributes), max_size=3).map(tuple),
    links=st.lists(st.builds(SpanLink, trace_id=_ids, span_id=_ids, attributes=_attributes), max_size=3).map(tuple),
    status=st.sampled_from(list(StatusCode)),
    status_message=_texts,
    flags=_ints,
    dropped_events_count=_ints,
)
