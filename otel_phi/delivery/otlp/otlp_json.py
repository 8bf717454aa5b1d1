"""OTLP/JSON: a request as one line of JSON, as the specification and the Collector's `otlp_json_file` receiver want it.

Ids are hexadecimal (protobuf's own JSON mapping says base64), 64-bit integers strings, enums numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from otel_phi.delivery.otlp.decode import parse_request

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

Json = dict[str, Any]


def json_line(body: bytes) -> bytes:
    """Turns an `ExportTraceServiceRequest` into one line of JSON, newline included.

    Raises:
        ValueError: the bytes are none.
    """
    return (
        msgspec.json.encode({"resourceSpans": [_resource_spans(r) for r in parse_request(body).resource_spans]}) + b"\n"
    )


def _resource_spans(message: ResourceSpans) -> Json:
    return _without_empty(
        {
            "resource": {"attributes": _attributes(message.resource.attributes)},
            "scopeSpans": [_scope_spans(scope) for scope in message.scope_spans],
            "schemaUrl": message.schema_url,
        }
    )


def _scope_spans(message: ScopeSpans) -> Json:
    return _without_empty(
        {
            "scope": _without_empty({"name": message.scope.name, "version": message.scope.version}),
            # Encoded one by one: as objects of Python a request's spans take twenty times their bytes.
            "spans": [msgspec.Raw(msgspec.json.encode(_span(span))) for span in message.spans],
            "schemaUrl": message.schema_url,
        }
    )


def _span(span: Span) -> Json:
    return _without_empty(
        {
            "traceId": span.trace_id.hex(),
            "spanId": span.span_id.hex(),
            "traceState": span.trace_state,
            "parentSpanId": span.parent_span_id.hex(),
            "flags": span.flags,
            "name": span.name,
            "kind": int(span.kind),
            "startTimeUnixNano": str(span.start_time_unix_nano),
            "endTimeUnixNano": str(span.end_time_unix_nano),
            "attributes": _attributes(span.attributes),
            "droppedAttributesCount": span.dropped_attributes_count,
            "events": [_event(event) for event in span.events],
            "droppedEventsCount": span.dropped_events_count,
            "links": [_link(link) for link in span.links],
            "droppedLinksCount": span.dropped_links_count,
            "status": _without_empty({"message": span.status.message, "code": int(span.status.code)}),
        }
    )


def _event(event: Span.Event) -> Json:
    return _without_empty(
        {
            "timeUnixNano": str(event.time_unix_nano),
            "name": event.name,
            "attributes": _attributes(event.attributes),
            "droppedAttributesCount": event.dropped_attributes_count,
        }
    )


def _link(link: Span.Link) -> Json:
    return _without_empty(
        {
            "traceId": link.trace_id.hex(),
            "spanId": link.span_id.hex(),
            "traceState": link.trace_state,
            "attributes": _attributes(link.attributes),
            "droppedAttributesCount": link.dropped_attributes_count,
            "flags": link.flags,
        }
    )


def _attributes(pairs: Iterable[KeyValue]) -> list[Json]:
    return [{"key": pair.key, "value": _value(pair.value)} for pair in pairs]


def _value(value: AnyValue) -> Json:
    match value.WhichOneof("value"):
        case "string_value":
            return {"stringValue": value.string_value}
        case "bool_value":
            return {"boolValue": value.bool_value}
        case "int_value":
            return {"intValue": str(value.int_value)}
        case "double_value":
            return {"doubleValue": _double(value.double_value)}
        case "array_value":
            return {"arrayValue": {"values": [_value(item) for item in value.array_value.values]}}
        case "kvlist_value":
            return {"kvlistValue": {"values": _attributes(value.kvlist_value.values)}}
        case _:
            return {}


def _double(number: float) -> float | str:
    """JSON has no word for these; proto3's mapping writes them as strings."""
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _without_empty(fields: Json) -> Json:
    """Leaves out what proto3 leaves out: fields with their default."""
    return {name: value for name, value in fields.items() if value or value is False}
