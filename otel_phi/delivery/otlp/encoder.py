"""The encoder: spans to the bytes of an OTLP `ExportTraceServiceRequest`, written by hand.

Protobuf's own objects cost 33 us a span and the SDK's path 240 (RELIABILITY 2.2); this costs 4. The price is that field numbers stand
here as tags: a test holds each against opentelemetry-proto's descriptors, another compares every field with the SDK's encoder.

Rules
1. Equal spans give equal bytes, fields in the order of their numbers.
2. Any span encodes. Text becomes valid UTF-8 (U+FFFD for a lone surrogate), integers are clamped to their field, a
   value OTLP has no word for is dropped and counted in `dropped_attributes_count`. Nothing costs its neighbours.
3. Entries concatenate: a request is its envelope around any run of entries, so halving one encodes nothing again.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence, Sized
from typing import TypeVar

import msgspec

from otel_phi.delivery.otlp.resource import Resource
from otel_phi.mapping import semconv
from otel_phi.mapping.span import SPAN_FLAGS as OUR_FLAGS
from otel_phi.mapping.span import Attributes, AttributeValue, Run, Runs, Span, SpanEvent, SpanLink
from otel_phi.version import __version__

# Tags, `field number << 3 | wire type` (0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes). The name of each is
# its message's and its field's in opentelemetry-proto, by which the test finds the descriptor.
SPAN_TRACE_ID, SPAN_SPAN_ID, SPAN_PARENT_SPAN_ID, SPAN_NAME, SPAN_KIND = 0x0A, 0x12, 0x22, 0x2A, 0x30
SPAN_START_TIME_UNIX_NANO, SPAN_END_TIME_UNIX_NANO = 0x39, 0x41
SPAN_ATTRIBUTES, SPAN_DROPPED_ATTRIBUTES_COUNT = 0x4A, 0x50
SPAN_EVENTS, SPAN_DROPPED_EVENTS_COUNT, SPAN_LINKS, SPAN_STATUS, SPAN_FLAGS = 0x5A, 0x60, 0x6A, 0x7A, 0x85
EVENT_TIME_UNIX_NANO, EVENT_NAME, EVENT_ATTRIBUTES, EVENT_DROPPED_ATTRIBUTES_COUNT = 0x09, 0x12, 0x1A, 0x20
LINK_TRACE_ID, LINK_SPAN_ID, LINK_ATTRIBUTES, LINK_DROPPED_ATTRIBUTES_COUNT, LINK_FLAGS = 0x0A, 0x12, 0x22, 0x28, 0x35
STATUS_MESSAGE, STATUS_CODE = 0x12, 0x18
KEYVALUE_KEY, KEYVALUE_VALUE = 0x0A, 0x12
ANYVALUE_STRING_VALUE, ANYVALUE_BOOL_VALUE, ANYVALUE_INT_VALUE = 0x0A, 0x10, 0x18
ANYVALUE_DOUBLE_VALUE, ANYVALUE_ARRAY_VALUE, ARRAYVALUE_VALUES = 0x21, 0x2A, 0x0A
RESOURCE_ATTRIBUTES, INSTRUMENTATIONSCOPE_NAME, INSTRUMENTATIONSCOPE_VERSION = 0x0A, 0x0A, 0x12
SCOPESPANS_SCOPE, SCOPESPANS_SPANS, SCOPESPANS_SCHEMA_URL = 0x0A, 0x12, 0x1A
RESOURCESPANS_RESOURCE, RESOURCESPANS_SCOPE_SPANS, RESOURCESPANS_SCHEMA_URL = 0x0A, 0x12, 0x1A
EXPORTTRACESERVICEREQUEST_RESOURCE_SPANS = 0x0A

_TIMES = struct.Struct("<BQBQ")
_EVENT_TIME = struct.Struct("<BQ")
_SPAN_FLAGS = struct.Struct("<BBI")  # a tag over 0x7f is two bytes
_LINK_FLAGS = struct.Struct("<BI")
_F64 = struct.Struct("<d")

_64 = (1 << 64) - 1
_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1
_128, _UINT32 = (1 << 128) - 1, (1 << 32) - 1

# CONTEXT_HAS_IS_REMOTE: a link's target is not remote to the agent; whether it is sampled we do not know.
LINK_CONTEXT_FLAGS = 0x100

# What comes again is remembered whole: attributes whose value is short text (operation, model, tool, session and loop
# ids while they last), keys, names, trace ids. 4096 entries of at most 256 bytes are under 4 MiB; a full memory is emptied.
# Numbers are written anew: what stands before them is remembered, and they seldom come again.
MEMORY_ENTRIES = 4096
MEMORY_BYTES = 256
# Texts of these keys come once: to remember them would only push out others.
_ONCE = frozenset({semconv.TOOL_CALL_ID})

_TAG = tuple(bytes((tag,)) for tag in range(256))
_MORE = tuple(bytes((low | 0x80,)) for low in range(128))  # seven bits that others follow


def _varint(number: int) -> bytes:
    """Writes an unsigned number below 2**64, seven bits a byte, low bits first."""
    if number < 1 << 7:
        return _TAG[number]
    if number < 1 << 14:
        return _MORE[number & 0x7F] + _TAG[number >> 7]
    if number < 1 << 21:
        return _MORE[number & 0x7F] + _MORE[number >> 7 & 0x7F] + _TAG[number >> 14]
    return _MORE[number & 0x7F] + _MORE[number >> 7 & 0x7F] + _varint(number >> 14)


_SMALL = tuple(map(_varint, range(2048)))  # nearly all lengths and counts


def _number(number: int) -> bytes:
    return _SMALL[number] if number < 2048 else _varint(number)


def _field(tag: int, content: bytes) -> bytes:
    size = len(content)
    return _TAG[tag] + (_SMALL[size] if size < 2048 else _varint(size)) + content


def utf8(text: str) -> bytes:
    """Encodes text as valid UTF-8; a lone surrogate becomes U+FFFD, a pair of them the character it stands for."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _any_value(value: object) -> bytes | None:
    """Writes an AnyValue; None for what OTLP has no word for. An item of an array that has none, an array too, becomes an empty one."""
    match value:
        case str():
            return _field(ANYVALUE_STRING_VALUE, utf8(value))
        case bool():  # an int too
            return _TAG[ANYVALUE_BOOL_VALUE] + _SMALL[value]
        case int():
            clamped = value if _INT64_MIN <= value <= _INT64_MAX else _INT64_MIN if value < 0 else _INT64_MAX
            return _TAG[ANYVALUE_INT_VALUE] + _number(clamped & _64)
        case float():
            return _TAG[ANYVALUE_DOUBLE_VALUE] + _F64.pack(value)
        case tuple() | list():
            written = [b"" if isinstance(item, tuple | list) else _any_value(item) or b"" for item in value]
            return _field(ANYVALUE_ARRAY_VALUE, b"".join([_field(ARRAYVALUE_VALUES, item) for item in written]))
        case _:
            return None


class _Memory(dict[str, bytes]):
    """Remembers text written as one kind of field.

    Args:
        tag: the field's tag.
    """

    def __init__(self, tag: int) -> None:
        self._tag = tag

    def __missing__(self, text: str) -> bytes:
        return _remembered(self, text, _field(self._tag, utf8(text)))


class _Traces(dict[int, bytes]):
    """Remembers trace ids, as they and the head of a span's id behind them stand in a span and in a link: their tags are the same."""

    def __missing__(self, trace_id: int) -> bytes:
        trace = (trace_id & _128).to_bytes(16, "big")
        return _remembered(self, trace_id, _field(SPAN_TRACE_ID, trace) + bytes((SPAN_SPAN_ID, 8)))


class _Heads(dict[str, tuple[bytes, ...]]):
    """Remembers what stands before a number: for each key, by how many bytes the number takes, 0 to 10.

    Args:
        tag: of the attributes.
        keys: the keys, written.
        kind: tag of the number.
    """

    def __init__(self, tag: int, keys: _Memory, kind: int) -> None:
        self._tag, self._keys, self._kind = tag, keys, _TAG[kind]

    def __missing__(self, key: str) -> tuple[bytes, ...]:
        heads = tuple(_head(self._tag, self._keys[key], self._kind, size) for size in range(11))
        if len(heads[0]) <= MEMORY_BYTES:
            _remembered(self, key, heads)
        return heads


def _head(tag: int, key: bytes, before: bytes, size: int) -> bytes:
    """Returns what stands before a value of `size` bytes: of the attribute, the key, the value's tag and, of a text, its length."""
    pair = key + _TAG[KEYVALUE_VALUE] + _number(len(before) + size) + before
    return _TAG[tag] + _number(len(pair) + size) + pair


K = TypeVar("K")
V = TypeVar("V", bound=Sized)


def _remembered(memory: dict[K, V], key: K, written: V) -> V:
    if len(written) <= MEMORY_BYTES:
        if len(memory) >= MEMORY_ENTRIES:
            memory.clear()
        memory[key] = written
    return written


class _AttributeWriter:
    """Writes the attributes of one kind of message.

    Args:
        tag: the tag of the message's `attributes` field.
    """

    __slots__ = ("_floats", "_ints", "_keys", "_tag", "_text_heads", "_texts")

    def __init__(self, tag: int) -> None:
        self._tag = tag
        self._keys = _Memory(KEYVALUE_KEY)
        self._ints = _Heads(tag, self._keys, ANYVALUE_INT_VALUE)
        self._floats = _Heads(tag, self._keys, ANYVALUE_DOUBLE_VALUE)
        self._text_heads: dict[tuple[str, int], bytes] = {}
        # Texts, and tuples of texts, alone: True, 1 and 1.0 are equal and must never stand for each other.
        self._texts: dict[tuple[str, AttributeValue], bytes] = {}

    def write(self, attributes: Attributes, parts: list[bytes]) -> int:
        """Appends the attributes to `parts` and returns how many were dropped."""
        before, left_out = len(parts), 0
        append, known, ints = parts.append, self._texts.get, self._ints
        try:
            for pair in attributes:
                key, value = pair
                kind = value.__class__
                if kind is str:
                    append(known(pair) or self._text(key, value))  # type: ignore[arg-type]
                elif kind is int and 0 <= value < 1 << 18:  # type: ignore[operator]
                    number = _SMALL[value] if value < 2048 else _MORE[value & 0x7F] + _SMALL[value >> 7]  # type: ignore[index, operator]
                    append(ints[key][len(number)] + number)
                elif kind is float:
                    append(self._floats[key][8] + _F64.pack(value))
                elif chunk := self._other(pair):
                    append(chunk)
                else:
                    left_out += 1
        except (TypeError, AttributeError):
            named = tuple([pair for pair in attributes if isinstance(pair[0], str)])
            if len(named) == len(attributes):
                raise
            del parts[before:]  # a key that is no text: not ours, but no span is lost
            return len(attributes) - len(named) + self.write(named, parts)
        return left_out

    def _text(self, key: str, value: str) -> bytes:
        try:
            text = value.encode()
        except UnicodeEncodeError:
            text = utf8(value)
        size = len(text)
        head = self._text_heads.get((key, size))
        if head is None:
            head = _head(self._tag, self._keys[key], _TAG[ANYVALUE_STRING_VALUE] + _number(size), size)
            _remembered(self._text_heads, (key, size), head)
        return head + text if key in _ONCE else _remembered(self._texts, (key, value), head + text)

    def _other(self, pair: tuple[str, AttributeValue]) -> bytes | None:
        """Writes a value that is neither text nor a small number; None if OTLP has no word for it."""
        key, value = pair
        kind = value.__class__
        if kind is int and 0 <= value <= _INT64_MAX:  # type: ignore[operator]
            number = _varint(value)  # type: ignore[arg-type]
            return self._ints[key][len(number)] + number
        if kind is tuple and all(type(item) is str for item in value):  # type: ignore[union-attr]
            return self._texts.get(pair) or _remembered(self._texts, pair, self._whole(key, _any_value(value) or b""))
        content = _any_value(value)
        return None if content is None else self._whole(key, content)

    def _whole(self, key: str, content: bytes) -> bytes:
        return _field(self._tag, self._keys[key] + _field(KEYVALUE_VALUE, content))


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
        head_of_scope = _TAG[RESOURCESPANS_SCOPE_SPANS] + _number(spans)
        total = len(resource) + len(head_of_scope) + spans + len(tail)
        head = _TAG[EXPORTTRACESERVICEREQUEST_RESOURCE_SPANS] + _number(total)
        return b"".join((head, resource, head_of_scope, scope, *entries, scope_tail, tail))


def envelope_parts(resource: Resource) -> Parts:
    """Writes the parts of an envelope."""
    pairs: list[bytes] = []
    _AttributeWriter(RESOURCE_ATTRIBUTES).write(resource.attributes, pairs)
    name = _field(INSTRUMENTATIONSCOPE_NAME, utf8(semconv.SCOPE_NAME))
    version = _field(INSTRUMENTATIONSCOPE_VERSION, utf8(__version__))
    scope = _field(SCOPESPANS_SCOPE, name + version)
    scope_tail = _field(SCOPESPANS_SCHEMA_URL, utf8(semconv.SCHEMA_URL))
    tail = _field(RESOURCESPANS_SCHEMA_URL, utf8(resource.schema_url)) if resource.schema_url else b""
    return _field(RESOURCESPANS_RESOURCE, b"".join(pairs)), scope, scope_tail, tail


class Encoder:
    """Writes spans of one resource as OTLP. Not for use by several threads at once.

    Args:
        resource: goes into every request.
    """

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.envelope = Envelope(envelope_parts(resource))
        self._of_span = _AttributeWriter(SPAN_ATTRIBUTES).write
        self._of_event = _AttributeWriter(EVENT_ATTRIBUTES).write
        self._of_link = _AttributeWriter(LINK_ATTRIBUTES).write
        self._traces = _Traces()
        self._span_names = _Memory(SPAN_NAME)
        self._event_names = _Memory(EVENT_NAME)
        self._resources: dict[Attributes, bytes] = {}

    def span(self, span: Span) -> bytes:
        """Writes one span.

        Returns:
            The `spans` entry of a ScopeSpans, tag and length included: entries concatenate.
        """
        parts = [self._traces[span.trace_id], (span.span_id & _64).to_bytes(8, "big")]
        if span.parent_span_id:
            parts += (_PARENT_HEAD, (span.parent_span_id & _64).to_bytes(8, "big"))
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
            parts.append(_TAG[SPAN_DROPPED_ATTRIBUTES_COUNT] + _number(left_out))
        if span.events:
            parts += map(self._event, span.events)
        if span.dropped_events_count:
            parts.append(_TAG[SPAN_DROPPED_EVENTS_COUNT] + _number(_clamped(span.dropped_events_count, _UINT32)))
        if span.links:
            parts += map(self._link, span.links)
        if span.status or span.status_message:
            parts.append(_status(span))
        parts.append(_FLAGS if span.flags == OUR_FLAGS else _flags(span.flags))
        written = _field(SCOPESPANS_SPANS, b"".join(parts))
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
            time = _EVENT_TIME.pack(EVENT_TIME_UNIX_NANO, _clamped(event.time_ns, _64))
        parts = [time, self._event_names[event.name]]
        left_out = self._of_event(event.attributes, parts)
        if left_out:
            parts.append(_TAG[EVENT_DROPPED_ATTRIBUTES_COUNT] + _number(left_out))
        return _field(SPAN_EVENTS, b"".join(parts))

    def _link(self, link: SpanLink) -> bytes:
        parts = [self._traces[link.trace_id], (link.span_id & _64).to_bytes(8, "big")]
        left_out = self._of_link(link.attributes, parts)
        if left_out:
            parts.append(_TAG[LINK_DROPPED_ATTRIBUTES_COUNT] + _number(left_out))
        parts.append(_LINK_FLAGS.pack(LINK_FLAGS, LINK_CONTEXT_FLAGS))
        return _field(SPAN_LINKS, b"".join(parts))


_PARENT_HEAD = bytes((SPAN_PARENT_SPAN_ID, 8))
_KINDS = tuple(_TAG[SPAN_KIND] + _SMALL[kind] for kind in range(6))


def _times(start_ns: int, end_ns: int) -> bytes:
    try:
        return _TIMES.pack(SPAN_START_TIME_UNIX_NANO, start_ns, SPAN_END_TIME_UNIX_NANO, end_ns)
    except struct.error:  # one lies outside its field
        return _times(_clamped(start_ns, _64), _clamped(end_ns, _64))


def _flags(flags: int) -> bytes:
    return _SPAN_FLAGS.pack(SPAN_FLAGS, 1, flags & _UINT32)


_FLAGS = _flags(OUR_FLAGS)


def _status(span: Span) -> bytes:
    message = _field(STATUS_MESSAGE, utf8(span.status_message)) if span.status_message else b""
    code = _TAG[STATUS_CODE] + _SMALL[span.status] if span.status else b""
    return _field(SPAN_STATUS, message + code)


def _clamped(number: int, highest: int) -> int:
    return number if 0 <= number <= highest else 0 if number < 0 else highest
