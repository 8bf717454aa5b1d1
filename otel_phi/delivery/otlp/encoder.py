"""The encoder: spans to the bytes of an OTLP `ExportTraceServiceRequest`, written by hand.

Protobuf's own objects cost 33 us a span and the SDK's path 240 (RELIABILITY 2.2); this costs 4. The price is that field numbers stand
as tags in `fields`: a test holds each against opentelemetry-proto's descriptors, another compares every field with the SDK's encoder.

Rules
1. Equal spans give equal bytes, fields in the order of their numbers.
2. Any span encodes. Text becomes valid UTF-8 (U+FFFD for a lone surrogate), integers are clamped to their field, a
   value OTLP has no word for is dropped and counted in `dropped_attributes_count`. Nothing costs its neighbours.
3. Entries concatenate: a request is its envelope around any run of entries, so halving one encodes nothing again.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

from otel_phi.delivery.otlp.fields import (
    EVENT_ATTRIBUTES,
    EVENT_DROPPED_ATTRIBUTES_COUNT,
    EVENT_NAME,
    EVENT_TIME_UNIX_NANO,
    EXPORTTRACESERVICEREQUEST_RESOURCE_SPANS,
    INSTRUMENTATIONSCOPE_NAME,
    INSTRUMENTATIONSCOPE_VERSION,
    LINK_ATTRIBUTES,
    LINK_CONTEXT_FLAGS,
    LINK_DROPPED_ATTRIBUTES_COUNT,
    LINK_FLAGS,
    MAX_UINT32,
    MAX_UINT64,
    MEMORY_ENTRIES,
    RESOURCE_ATTRIBUTES,
    RESOURCESPANS_RESOURCE,
    RESOURCESPANS_SCHEMA_URL,
    RESOURCESPANS_SCOPE_SPANS,
    SCOPESPANS_SCHEMA_URL,
    SCOPESPANS_SCOPE,
    SCOPESPANS_SPANS,
    SMALL,
    SPAN_ATTRIBUTES,
    SPAN_DROPPED_ATTRIBUTES_COUNT,
    SPAN_DROPPED_EVENTS_COUNT,
    SPAN_END_TIME_UNIX_NANO,
    SPAN_EVENTS,
    SPAN_FLAGS,
    SPAN_KIND,
    SPAN_LINKS,
    SPAN_NAME,
    SPAN_PARENT_SPAN_ID,
    SPAN_START_TIME_UNIX_NANO,
    SPAN_STATUS,
    STATUS_CODE,
    STATUS_MESSAGE,
    TAG,
    AttributeWriter,
    Memory,
    Traces,
    utf8,
    written_field,
    written_number,
)
from otel_phi.delivery.otlp.resource import Resource
from otel_phi.mapping import semconv
from otel_phi.mapping.span import SPAN_FLAGS as OUR_FLAGS
from otel_phi.mapping.span import Attributes, Run, Runs, Span, SpanEvent, SpanLink
from otel_phi.version import __version__

_TIMES = struct.Struct("<BQBQ")
_EVENT_TIME = struct.Struct("<BQ")
_SPAN_FLAGS = struct.Struct("<BBI")  # a tag over 0x7f is two bytes
_LINK_FLAGS = struct.Struct("<BI")

Parts = tuple[bytes, bytes, bytes, bytes]


class SourcedEntry(bytes):
    """A sourced entry is an entry of another resource than the encoder's own: of a session that was read from an agent's records.

    Attributes:
        resource: the `resource` field of its ResourceSpans, as bytes.
    """

    resource: bytes


class Envelope:
    """An envelope is what stands around the entries of a request: resource, scope and schema.

    Args:
        parts: from `envelope_parts`, in whichever process that was.

    Attributes:
        parts: resource, scope, the scope's tail and the resource's, as bytes.
        size_bytes: at most so many bytes come on top of the entries.
    """

    __slots__ = ("parts", "size_bytes")

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.size_bytes = sum(map(len, parts)) + 2 * 11  # and two tags with lengths of at most ten bytes

    def around(self, entries: Sequence[bytes]) -> bytes:
        """Returns the `ExportTraceServiceRequest` that carries the entries, a ResourceSpans a resource."""
        if not any(isinstance(entry, SourcedEntry) for entry in entries):
            return self._around(self.parts[0], entries)
        by_resource: dict[bytes, list[bytes]] = {}
        for entry in entries:
            resource = entry.resource if isinstance(entry, SourcedEntry) else self.parts[0]
            by_resource.setdefault(resource, []).append(entry)
        return b"".join([self._around(resource, some) for resource, some in by_resource.items()])

    def _around(self, resource: bytes, entries: Sequence[bytes]) -> bytes:
        _, scope, scope_tail, tail = self.parts
        spans = sum(map(len, entries)) + len(scope) + len(scope_tail)
        head_of_scope = TAG[RESOURCESPANS_SCOPE_SPANS] + written_number(spans)
        total = len(resource) + len(head_of_scope) + spans + len(tail)
        head = TAG[EXPORTTRACESERVICEREQUEST_RESOURCE_SPANS] + written_number(total)
        return b"".join((head, resource, head_of_scope, scope, *entries, scope_tail, tail))


def envelope_parts(resource: Resource) -> Parts:
    """Writes the parts of an envelope."""
    pairs: list[bytes] = []
    AttributeWriter(RESOURCE_ATTRIBUTES).write(resource.attributes, pairs)
    name = written_field(INSTRUMENTATIONSCOPE_NAME, utf8(semconv.SCOPE_NAME))
    version = written_field(INSTRUMENTATIONSCOPE_VERSION, utf8(__version__))
    scope = written_field(SCOPESPANS_SCOPE, name + version)
    scope_tail = written_field(SCOPESPANS_SCHEMA_URL, utf8(semconv.SCHEMA_URL))
    tail = written_field(RESOURCESPANS_SCHEMA_URL, utf8(resource.schema_url)) if resource.schema_url else b""
    return written_field(RESOURCESPANS_RESOURCE, b"".join(pairs)), scope, scope_tail, tail


class Encoder:
    """Writes spans of one resource as OTLP. Not for use by several threads at once.

    Args:
        resource: goes into every request.
    """

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.envelope = Envelope(envelope_parts(resource))
        self._of_span = AttributeWriter(SPAN_ATTRIBUTES).write
        self._of_event = AttributeWriter(EVENT_ATTRIBUTES).write
        self._of_link = AttributeWriter(LINK_ATTRIBUTES).write
        self._traces = Traces()
        self._span_names = Memory(SPAN_NAME)
        self._event_names = Memory(EVENT_NAME)
        self._resources: dict[Attributes, bytes] = {}

    def span(self, span: Span) -> bytes:
        """Writes one span.

        Returns:
            The `spans` entry of a ScopeSpans, tag and length included: entries concatenate.
        """
        parts = [self._traces[span.trace_id], (span.span_id & MAX_UINT64).to_bytes(8, "big")]
        if span.parent_span_id:
            parts += (_PARENT_HEAD, (span.parent_span_id & MAX_UINT64).to_bytes(8, "big"))
        parts += (self._span_names[span.name], _KINDS[span.kind], _times(span.start_ns, span.end_ns))
        attributes, left_out = span.attributes, 0
        if isinstance(attributes, Runs):
            for run in attributes.parts:
                if run.__class__ is Run and run.written is not None:
                    parts.append(run.written)
                else:
                    left_out += self._write_run(run, parts)
        else:
            left_out = self._of_span(attributes, parts)
        if left_out:
            parts.append(TAG[SPAN_DROPPED_ATTRIBUTES_COUNT] + written_number(left_out))
        if span.events:
            parts += map(self._event, span.events)
        if span.dropped_events_count:
            parts.append(
                TAG[SPAN_DROPPED_EVENTS_COUNT] + written_number(_clamped(span.dropped_events_count, MAX_UINT32))
            )
        if span.links:
            parts += map(self._link, span.links)
        if span.status or span.status_message:
            parts.append(_status(span))
        parts.append(_FLAGS if span.flags == OUR_FLAGS else _flags(span.flags))
        written = written_field(SCOPESPANS_SPANS, b"".join(parts))
        return self._sourced(written, span.resource) if span.resource else written

    def _sourced(self, written: bytes, pairs: Attributes) -> SourcedEntry:
        """Marks an entry as of another resource: the encoder's own, but for what the pairs say."""
        resource = self._resources.get(pairs)
        if resource is None:
            own = dict(self.resource.attributes) | dict(pairs)
            changed = msgspec.structs.replace(self.resource, attributes=tuple(sorted(own.items())))
            resource = envelope_parts(changed)[0]
            if len(self._resources) >= MEMORY_ENTRIES:
                self._resources.clear()
            self._resources[pairs] = resource
        entry = SourcedEntry(written)
        entry.resource = resource
        return entry

    def _write_run(self, run: Run | Attributes, parts: list[bytes]) -> int:
        """Writes a run for the first time, and keeps that with it unless something of it is left out; or pairs of a span's own."""
        if not isinstance(run, Run):
            return self._of_span(run, parts)
        before = len(parts)
        left_out = self._of_span(run.pairs, parts)
        if not left_out:
            run.written = b"".join(parts[before:])
        return left_out

    def request(self, entries: Sequence[bytes]) -> bytes:
        """Puts entries into an `ExportTraceServiceRequest`."""
        return self.envelope.around(entries)

    def _event(self, event: SpanEvent) -> bytes:
        try:
            time = _EVENT_TIME.pack(EVENT_TIME_UNIX_NANO, event.time_ns)
        except struct.error:  # it lies outside its field
            time = _EVENT_TIME.pack(EVENT_TIME_UNIX_NANO, _clamped(event.time_ns, MAX_UINT64))
        parts = [time, self._event_names[event.name]]
        left_out = self._of_event(event.attributes, parts)
        if left_out:
            parts.append(TAG[EVENT_DROPPED_ATTRIBUTES_COUNT] + written_number(left_out))
        return written_field(SPAN_EVENTS, b"".join(parts))

    def _link(self, link: SpanLink) -> bytes:
        parts = [self._traces[link.trace_id], (link.span_id & MAX_UINT64).to_bytes(8, "big")]
        left_out = self._of_link(link.attributes, parts)
        if left_out:
            parts.append(TAG[LINK_DROPPED_ATTRIBUTES_COUNT] + written_number(left_out))
        parts.append(_LINK_FLAGS.pack(LINK_FLAGS, LINK_CONTEXT_FLAGS))
        return written_field(SPAN_LINKS, b"".join(parts))


_PARENT_HEAD = bytes((SPAN_PARENT_SPAN_ID, 8))
_KINDS = tuple(TAG[SPAN_KIND] + SMALL[kind] for kind in range(6))


def _times(start_ns: int, end_ns: int) -> bytes:
    try:
        return _TIMES.pack(SPAN_START_TIME_UNIX_NANO, start_ns, SPAN_END_TIME_UNIX_NANO, end_ns)
    except struct.error:  # one lies outside its field
        return _times(_clamped(start_ns, MAX_UINT64), _clamped(end_ns, MAX_UINT64))


def _flags(flags: int) -> bytes:
    return _SPAN_FLAGS.pack(SPAN_FLAGS, 1, flags & MAX_UINT32)


_FLAGS = _flags(OUR_FLAGS)


def _status(span: Span) -> bytes:
    message = written_field(STATUS_MESSAGE, utf8(span.status_message)) if span.status_message else b""
    code = TAG[STATUS_CODE] + SMALL[span.status] if span.status else b""
    return written_field(SPAN_STATUS, message + code)


def _clamped(number: int, highest: int) -> int:
    return number if 0 <= number <= highest else 0 if number < 0 else highest
