"""The encoder writes what OTLP says and what the SDK writes, whatever a span holds."""

from __future__ import annotations

import subprocess
import sys

import pytest
from google.protobuf.message import Message
from hypothesis import given
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from otel_phi.delivery.exporters.sdk import readable_spans
from otel_phi.delivery.otlp import fields as fields_module
from otel_phi.delivery.otlp.decode import decode_request, decode_spans
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.delivery.otlp.fields import MEMORY_ENTRIES
from otel_phi.mapping import semconv
from otel_phi.mapping.span import Span, SpanKind
from otel_phi.version import __version__
from tests.delivery.samples import RESOURCE, full_span, hostile_spans, plain_span

MESSAGES: dict[str, type[Message]] = {
    "SPAN_": trace_pb2.Span,
    "EVENT_": trace_pb2.Span.Event,
    "LINK_": trace_pb2.Span.Link,
    "STATUS_": trace_pb2.Status,
    "KEYVALUE_": common_pb2.KeyValue,
    "ANYVALUE_": common_pb2.AnyValue,
    "ARRAYVALUE_": common_pb2.ArrayValue,
    "RESOURCE_": resource_pb2.Resource,
    "INSTRUMENTATIONSCOPE_": common_pb2.InstrumentationScope,
    "SCOPESPANS_": trace_pb2.ScopeSpans,
    "RESOURCESPANS_": trace_pb2.ResourceSpans,
    "EXPORTTRACESERVICEREQUEST_": trace_service_pb2.ExportTraceServiceRequest,
}
TAGS = {
    name: tag
    for name, tag in vars(fields_module).items()
    if name.startswith(tuple(MESSAGES)) and name != "LINK_CONTEXT_FLAGS"
}
WIRE_TYPES = {"double": 1, "fixed64": 1, "fixed32": 5, "int64": 0, "uint32": 0, "bool": 0, "enum": 0}


@pytest.mark.parametrize("name", sorted(TAGS))
def test_every_tag_is_that_of_the_descriptor(name: str) -> None:
    prefix = next(prefix for prefix in MESSAGES if name.startswith(prefix))
    field = MESSAGES[prefix].DESCRIPTOR.fields_by_name[name.removeprefix(prefix).lower()]
    types = {getattr(type(field), f"TYPE_{kind.upper()}"): wire for kind, wire in WIRE_TYPES.items()}
    tag = field.number << 3 | types.get(field.type, 2)
    assert TAGS[name] == (tag if tag < 128 else tag & 0x7F | 0x80)  # of a longer tag, the first byte stands here


def _request(*spans: Span) -> ExportTraceServiceRequest:
    encoder = Encoder(RESOURCE)
    return ExportTraceServiceRequest.FromString(encoder.request([encoder.span(span) for span in spans]))


def test_every_field_equals_what_the_sdk_encodes() -> None:
    ours = _request(full_span(), plain_span(1))
    body = ours.SerializeToString()
    theirs = encode_spans(readable_spans(body))
    for span in ours.resource_spans[0].scope_spans[0].spans:
        span.flags = 0x100  # the SDK leaves the sampled bit out
        span.status.SetInParent()  # and writes an empty status
        span.dropped_events_count = 0  # which no public constructor of its takes
    assert str(ours) == str(theirs)


def test_a_span_comes_back_equal() -> None:
    span = full_span()
    (group,) = decode_request(_request(span).SerializeToString())
    assert group.spans == (span,)
    assert group.resource == RESOURCE
    assert (group.scope_name, group.scope_version) == (semconv.SCOPE_NAME, __version__)
    assert group.schema_url == semconv.SCHEMA_URL


def test_the_bytes_are_canonical() -> None:
    """Fields stand in the order of their numbers, as protobuf itself writes them."""
    encoder = Encoder(RESOURCE)
    body = encoder.request([encoder.span(full_span())])
    assert ExportTraceServiceRequest.FromString(body).SerializeToString(deterministic=True) == body


def test_equal_spans_give_equal_bytes_whatever_was_encoded_before() -> None:
    fresh, used = Encoder(RESOURCE), Encoder(RESOURCE)
    for number in range(2 * MEMORY_ENTRIES):
        used.span(Span("x", 1, 1, 0, SpanKind.INTERNAL, 1, 2, (("id", str(number)), (f"key {number}", "x"))))
    assert used.span(full_span()) == fresh.span(full_span()) == fresh.span(full_span())


def test_true_one_and_one_point_zero_stay_what_they_are() -> None:
    values = (True, 1, 1.0, "1", ("1",), False, 0, 0.0, "", ())
    encoder = Encoder(RESOURCE)
    for _ in range(2):  # the second time from memory
        spans = [Span("x", 1, 1, 0, SpanKind.INTERNAL, 1, 2, (("k", value),)) for value in values]
        decoded = decode_spans(encoder.request([encoder.span(span) for span in spans]))
        assert [(type(s.get("k")), s.get("k")) for s in decoded] == [(type(v), v) for v in values]


@given(hostile_spans)
def test_any_span_encodes_and_costs_its_neighbours_nothing(span: Span) -> None:
    before, hostile, after = _request(full_span(), span, full_span()).resource_spans[0].scope_spans[0].spans
    assert before == after
    assert decode_spans(_request(full_span()).SerializeToString()) == [full_span()]
    assert len(hostile.attributes) + hostile.dropped_attributes_count == len(span.attributes)
    assert (len(hostile.events), len(hostile.links)) == (len(span.events), len(span.links))
    assert len(hostile.trace_id) == 16
    assert len(hostile.span_id) == 8


def _only_value(value: object) -> common_pb2.AnyValue:
    span = Span("x", 1, 1, 0, SpanKind.INTERNAL, 1, 2, (("k", value),))  # type: ignore[arg-type]  # hostile on purpose
    return _request(span).resource_spans[0].scope_spans[0].spans[0].attributes[0].value


def test_broken_text_becomes_valid_text() -> None:
    assert _only_value("a\ud800b").string_value == "a\ufffdb"
    assert _only_value("\ud83d\ude00").string_value == "😀"
    assert _only_value("a\x00b").string_value == "a\x00b"
    assert _only_value(("\udfff",)).array_value.values[0].string_value == "\ufffd"


def test_numbers_beyond_their_field_are_clamped() -> None:
    assert _only_value(2**63).int_value == 2**63 - 1
    assert _only_value(-(2**70)).int_value == -(2**63)
    assert str(_only_value(float("nan")).double_value) == "nan"
    span = Span("x", 1, 1, 0, SpanKind.INTERNAL, -5, 2**64, dropped_events_count=2**40)
    proto: ProtoSpan = _request(span).resource_spans[0].scope_spans[0].spans[0]
    assert (proto.start_time_unix_nano, proto.end_time_unix_nano) == (0, 2**64 - 1)
    assert proto.dropped_events_count == 2**32 - 1


def test_the_encoder_loads_neither_grpc_nor_opentelemetry() -> None:
    code = (
        "import sys, otel_phi.delivery.otlp.encoder, otel_phi.delivery.sending.batch, otel_phi.delivery.sending.sender, otel_phi.config\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in ('grpc', 'google', 'opentelemetry', 'urllib3')]\n"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
