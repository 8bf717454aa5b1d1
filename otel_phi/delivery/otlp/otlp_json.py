"""OTLP/JSON: a request as one line of JSON, as the specification and the Collector's `otlp_json_file` receiver want it.

Ids are hexadecimal (protobuf's own JSON mapping says base64), 64-bit integers strings, enums numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from otel_phi.late_imports import importing

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

Json = dict[str, Any]


_encoder = msgspec.json.Encoder()
# `ExportTraceServiceRequest.resource_spans`, `ResourceSpans.scope_spans` and `ScopeSpans.spans`, by their field numbers.
_RESOURCE_SPANS, _SCOPE_SPANS, _SPANS = 1, 2, 2
_LENGTH_DELIMITED = 2  # the wire type of everything in these three


def json_line(body: bytes) -> bytearray:
    """Turns an `ExportTraceServiceRequest` into one line of JSON, newline included, span by span: whole it would take ten times the bytes.

    Raises:
        ValueError: the bytes are none.
    """
    with importing:
        import opentelemetry.proto.trace.v1.trace_pb2  # noqa: F401  # those below find it there
        from google.protobuf.message import DecodeError

    line = bytearray()
    try:
        _, found = _split(memoryview(body), _RESOURCE_SPANS)
        _encoder.encode_into({"resourceSpans": [_resource_spans(part) for part in found]}, line)
    except (DecodeError, IndexError) as error:
        raise ValueError(f"no OTLP trace request: {error}") from None
    line += b"\n"
    return line


def _split(message: memoryview, number: int) -> tuple[bytes, list[memoryview]]:
    """Takes the values of one field out of a message; returns what is left of it, and those."""
    rest, found, at = bytearray(), list[memoryview](), 0
    while at < len(message):
        begin = at
        tag, at = _varint(message, at)
        length, at = _varint(message, at)
        if tag & 7 != _LENGTH_DELIMITED or at + length > len(message):
            raise ValueError("no OTLP trace request: cut off, or of another kind")
        if tag >> 3 == number:
            found.append(message[at : at + length])
        else:
            rest += message[begin : at + length]
        at += length
    return bytes(rest), found


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _resource_spans(part: memoryview) -> Json:
    from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

    rest, scopes = _split(part, _SCOPE_SPANS)
    message = ResourceSpans.FromString(rest)
    return _without_empty(
        {
            "resource": {"attributes": _attributes(message.resource.attributes)},
            "scopeSpans": [_scope_spans(scope) for scope in scopes],
            "schemaUrl": message.schema_url,
        }
    )


def _scope_spans(part: memoryview) -> Json:
    from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

    rest, spans = _split(part, _SPANS)
    message = ScopeSpans.FromString(rest)
    return _without_empty(
        {
            "scope": _without_empty({"name": message.scope.name, "version": message.scope.version}),
            "spans": _spans(spans),
            "schemaUrl": message.schema_url,
        }
    )


def _spans(parts: Iterable[memoryview]) -> msgspec.Raw | None:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    encoded = bytearray()
    for part in parts:
        encoded += b"," if encoded else b"["
        _encoder.encode_into(_span(Span.FromString(bytes(part))), encoded, -1)
    if not encoded:
        return None
    encoded += b"]"
    return msgspec.Raw(encoded)


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
