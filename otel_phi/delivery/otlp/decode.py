"""OTLP request bytes back to spans: for the embedded receiver, the SDK adapter and dead letters' names.

It reads what any OTLP writer wrote, so it is lenient: what a `Span` of ours has no room for (trace state, dropped
attributes, a server's kind) is not read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from otel_phi.delivery.otlp.resource import Resource
from otel_phi.late_imports import importing
from otel_phi.mapping.span import Attributes, AttributeValue, Span, SpanEvent, SpanKind, SpanLink, StatusCode

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1 import trace_pb2


class ScopeSpans(msgspec.Struct, frozen=True):
    """A group of spans is what one scope of one resource sent in a request.

    Attributes:
        resource: who produced the spans.
        scope_name: the instrumentation scope's name.
        scope_version: its version.
        schema_url: the schema of the spans' attributes.
        spans: in the order of the request.
    """

    resource: Resource
    scope_name: str
    scope_version: str
    schema_url: str
    spans: tuple[Span, ...]


def parse_request(body: bytes) -> ExportTraceServiceRequest:
    """Parses protobuf.

    Raises:
        ValueError: the bytes are no `ExportTraceServiceRequest`.
    """
    with importing:
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    try:
        return ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise ValueError(f"no OTLP trace request: {error}") from None


def decode_request(body: bytes) -> list[ScopeSpans]:
    """Decodes an `ExportTraceServiceRequest`.

    Raises:
        ValueError: the bytes are none.
    """
    found = []
    for resource_spans in parse_request(body).resource_spans:
        resource = Resource(_attributes(resource_spans.resource.attributes), resource_spans.schema_url)
        for scope_spans in resource_spans.scope_spans:
            spans = tuple(_span(span) for span in scope_spans.spans)
            scope = scope_spans.scope
            found.append(ScopeSpans(resource, scope.name, scope.version, scope_spans.schema_url, spans))
    return found


def decode_spans(body: bytes) -> list[Span]:
    """Decodes an `ExportTraceServiceRequest` to its spans, whatever their resource.

    Raises:
        ValueError: the bytes are none.
    """
    return [span for group in decode_request(body) for span in group.spans]


def _span(span: trace_pb2.Span) -> Span:
    return Span(
        name=span.name,
        trace_id=int.from_bytes(span.trace_id, "big"),
        span_id=int.from_bytes(span.span_id, "big"),
        parent_span_id=int.from_bytes(span.parent_span_id, "big"),
        # We write only two kinds; a stranger's server span reads as internal rather than not at all.
        kind=SpanKind.CLIENT if int(span.kind) == SpanKind.CLIENT else SpanKind.INTERNAL,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        events=tuple(SpanEvent(e.name, e.time_unix_nano, _attributes(e.attributes)) for e in span.events),
        links=tuple(_link(link) for link in span.links),
        status=StatusCode(int(span.status.code)) if int(span.status.code) in (1, 2) else StatusCode.UNSET,
        status_message=span.status.message,
        flags=span.flags,
        dropped_events_count=span.dropped_events_count,
    )


def _link(link: trace_pb2.Span.Link) -> SpanLink:
    trace_id, span_id = int.from_bytes(link.trace_id, "big"), int.from_bytes(link.span_id, "big")
    return SpanLink(trace_id, span_id, _attributes(link.attributes))


def _attributes(pairs: Iterable[KeyValue]) -> Attributes:
    return tuple((pair.key, _value(pair.value)) for pair in pairs)


def _value(value: AnyValue) -> AttributeValue:
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "array_value":
            return tuple(str(_value(item)) for item in value.array_value.values)
        case "bytes_value":
            return value.bytes_value.hex()
        case _:
            return ""
