"""The encoder: spans to the bytes of an OTLP `ExportTraceServiceRequest`, written by hand.

Protobuf's own objects cost 33 us a span and the SDK's path 240 (RELIABILITY 2.2); writing the wire format and
remembering whole attributes costs about a tenth of either. The price is that field numbers stand here as tags: a test
holds each against opentelemetry-proto's descriptors, another compares every field with the SDK's encoder.

Rules
1. Equal spans give equal bytes, fields in the order of their numbers.
2. Any span encodes. Text becomes valid UTF-8 (U+FFFD for a lone surrogate), integers are clamped to their field, a
   value OTLP has no word for is dropped and counted in `dropped_attributes_count`. Nothing costs its neighbours.
3. Entries concatenate: a request is its envelope around any run of entries, so halving one encodes nothing again.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from otel_phi.delivery.otlp.resource import Resource
from otel_phi.mapping import semconv
from otel_phi.mapping.span import Attributes, AttributeValue, Span, SpanEvent, SpanLink
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

_IDS = struct.Struct(">BBQQBBQ")  # tag, length, 128 bits, tag, length, 64 bits
_PARENT = struct.Struct(">BBQ")
_TIMES = struct.Struct("<BQBQ")
_EVENT_TIME = struct.Struct("<BQ")
_SPAN_FLAGS = struct.Struct("<BBI")  # a tag over 0x7f is two bytes
_LINK_FLAGS = struct.Struct("<BI")
_DOUBLE = struct.Struct("<Bd")
_F64 = struct.Struct("<d")

_64 = (1 << 64) - 1
_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1
_UINT32 = (1 << 32) - 1

# CONTEXT_HAS_IS_REMOTE: a link's target is not remote to the agent; whether it is sampled we do not know.
LINK_CONTEXT_FLAGS = 0x100

# What comes again is remembered whole: attributes whose value is short text (operation, model, tool, session and loop
# ids while they last), keys, names. 4096 entries of at most 256 bytes are under 4 MiB; a full memory is emptied, so
# that values which never come again cost one insertion each and no bookkeeping.
MEMORY_ENTRIES = 4096
MEMORY_BYTES = 256


def _varint(number: int) -> bytes:
    """Writes an unsigned number below 2**64, seven bits a byte, low bits first."""
    if number < 1 << 14:
        return bytes((number & 0x7F | 0x80, number >> 7)) if number > 0x7F else bytes((number,))
    if number < 1 << 21:
        return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14))
    return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80)) + _varint(number >> 14)


_SMALL = tuple(map(_varint, range(2048)))  # nearly all lengths and counts
_TAG = tuple(bytes((tag,)) for tag in range(256))


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


def _text(value: str) -> bytes:
    return _field(ANYVALUE_STRING_VALUE, utf8(value))


def _bool(value: bool) -> bytes:
    return _TAG[ANYVALUE_BOOL_VALUE] + _SMALL[value]


def _int(value: int) -> bytes:
    clamped = value if _INT64_MIN <= value <= _INT64_MAX else _INT64_MIN if value < 0 else _INT64_MAX
    return _TAG[ANYVALUE_INT_VALUE] + _number(clamped & _64)


def _float(value: float) -> bytes:
    return _DOUBLE.pack(ANYVALUE_DOUBLE_VALUE, value)


def _array(values: Sequence[AttributeValue]) -> bytes:
    """Writes scalars; an item that is none, an array in an array too, becomes an empty AnyValue."""
    written = [
        _field(ARRAYVALUE_VALUES, _any_value(i) or b"" if not isinstance(i, (tuple, list)) else b"") for i in values
    ]
    return _field(ANYVALUE_ARRAY_VALUE, b"".join(written))


# By exact type, the commonest cases at one look-up; a subclass (an enum, say) is found by its bases. bool before int.
_WRITERS: dict[type, Callable[[Any], bytes]] = {
    str: _text, bool: _bool, int: _int, float: _float, tuple: _array, list: _array,
}  # fmt: skip


def _any_value(value: object) -> bytes | None:
    """Writes an AnyValue; None for what OTLP has no word for."""
    write = _WRITERS.get(type(value)) or next((w for kind, w in _WRITERS.items() if isinstance(value, kind)), None)
    return write(value) if write else None


class _Memory(dict[str, bytes]):
    """Remembers text written as one kind of field.

    Args:
        tag: the field's tag.
    """

    def __init__(self, tag: int) -> None:
        self._tag = tag

    def __missing__(self, text: str) -> bytes:
        written = _field(self._tag, utf8(text))
        if len(written) <= MEMORY_BYTES:
            if len(self) >= MEMORY_ENTRIES:
                self.clear()
            self[text] = written
        return written


class _AttributeWriter:
    """Writes the attributes of one kind of message.

    Args:
        tag: the tag of the message's `attributes` field.
    """

    __slots__ = ("_heads", "_keys", "_memory", "_tag")

    def __init__(self, tag: int) -> None:
        self._tag = tag
        self._keys = _Memory(KEYVALUE_KEY)
        self._heads: dict[tuple[str, int, int], bytes] = {}
        # By class, since True, 1 and 1.0 are equal and must never stand for each other.
        self._memory: dict[type, dict[tuple[str, AttributeValue], bytes]] = {
            kind: {} for kind in (str, int, bool, float, tuple)
        }

    def write(self, attributes: Attributes, parts: list[bytes]) -> int:
        """Appends the attributes to `parts` and returns how many were dropped."""
        left_out = 0
        memory = self._memory
        for pair in attributes:
            try:
                chunk = memory[pair[1].__class__].get(pair)
            except (
                KeyError,
                TypeError,
            ):  # a class not remembered; a list in a tuple, say: not ours, but no span is lost
                chunk = None
            if chunk is None:
                chunk = self._fresh(*pair)
            if chunk:
                parts.append(chunk)
            else:
                left_out += 1
        return left_out

    def _fresh(self, key: object, value: AttributeValue) -> bytes | None:
        """Writes an attribute not remembered; None if OTLP has no word for its value, or its key is no text."""
        if not isinstance(key, str):
            return None
        kind = value.__class__
        if kind is str:
            text = utf8(value)  # type: ignore[arg-type]
            chunk = self._head(key, ANYVALUE_STRING_VALUE, len(text)) + text
        elif kind is int and 0 <= value <= _INT64_MAX:  # type: ignore[operator]
            number = _number(value)  # type: ignore[arg-type]
            chunk = self._head(key, ANYVALUE_INT_VALUE, len(number)) + number
        elif kind is float:
            chunk = self._head(key, ANYVALUE_DOUBLE_VALUE, 8) + _F64.pack(value)
            if not value or value != value:  # noqa: PLR0124  # 0.0 equals -0.0, NaN not even itself: neither can be found again
                return chunk
        else:
            content = _any_value(value)
            if content is None:
                return None
            chunk = _field(self._tag, self._keys[key] + _field(KEYVALUE_VALUE, content))
            if kind is not bool and not (kind is tuple and all(type(item) is str for item in value)):  # type: ignore[union-attr]
                return chunk
        return self._remember(kind, (key, value), chunk)

    def _remember(self, kind: type, pair: tuple[str, AttributeValue], chunk: bytes) -> bytes:
        memory = self._memory[kind]
        if len(chunk) <= MEMORY_BYTES:
            if len(memory) >= MEMORY_ENTRIES:
                memory.clear()
            memory[pair] = chunk
        return chunk

    def _head(self, key: str, tag: int, size: int) -> bytes:
        """Returns what stands before a value of `size` bytes, the same for every value of a key, kind and length."""
        head = self._heads.get((key, tag, size))
        if head is None:
            length = _number(size) if tag == ANYVALUE_STRING_VALUE else b""
            inner = _TAG[tag] + length
            pair = self._keys[key] + _TAG[KEYVALUE_VALUE] + _number(len(inner) + size) + inner
            head = _TAG[self._tag] + _number(len(pair) + size) + pair
            if len(self._heads) >= MEMORY_ENTRIES:
                self._heads.clear()
            if len(head) <= MEMORY_BYTES:
                self._heads[key, tag, size] = head
        return head


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
        self._span_names = _Memory(SPAN_NAME)
        self._event_names = _Memory(EVENT_NAME)
        self._resources: dict[Attributes, bytes] = {}

    def span(self, span: Span) -> bytes:
        """Writes one span.

        Returns:
            The `spans` entry of a ScopeSpans, tag and length included: entries concatenate.
        """
        parts = [_ids(span.trace_id, span.span_id)]
        if span.parent_span_id:
            parts.append(_PARENT.pack(SPAN_PARENT_SPAN_ID, 8, span.parent_span_id & _64))
        parts.append(self._span_names[span.name])
        parts.append(_KINDS[span.kind])
        parts.append(_times(span.start_ns, span.end_ns))
        left_out = self._of_span(span.attributes, parts)
        if left_out:
            parts.append(_TAG[SPAN_DROPPED_ATTRIBUTES_COUNT] + _number(left_out))
        if span.events:
            parts.extend(map(self._event, span.events))
        if span.dropped_events_count:
            parts.append(_TAG[SPAN_DROPPED_EVENTS_COUNT] + _number(_clamped(span.dropped_events_count, _UINT32)))
        if span.links:
            parts.extend(map(self._link, span.links))
        if span.status or span.status_message:
            parts.append(_status(span))
        parts.append(_SPAN_FLAGS.pack(SPAN_FLAGS, 1, span.flags & _UINT32))
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

    def request(self, entries: Sequence[bytes]) -> bytes:
        """Puts entries into an `ExportTraceServiceRequest`."""
        return self.envelope.around(entries)

    def _event(self, event: SpanEvent) -> bytes:
        parts = [_EVENT_TIME.pack(EVENT_TIME_UNIX_NANO, _clamped(event.time_ns, _64)), self._event_names[event.name]]
        left_out = self._of_event(event.attributes, parts)
        if left_out:
            parts.append(_TAG[EVENT_DROPPED_ATTRIBUTES_COUNT] + _number(left_out))
        return _field(SPAN_EVENTS, b"".join(parts))

    def _link(self, link: SpanLink) -> bytes:
        parts = [_ids(link.trace_id, link.span_id)]
        left_out = self._of_link(link.attributes, parts)
        if left_out:
            parts.append(_TAG[LINK_DROPPED_ATTRIBUTES_COUNT] + _number(left_out))
        parts.append(_LINK_FLAGS.pack(LINK_FLAGS, LINK_CONTEXT_FLAGS))
        return _field(SPAN_LINKS, b"".join(parts))


_KINDS = tuple(_TAG[SPAN_KIND] + _SMALL[kind] for kind in range(6))


def _ids(trace_id: int, span_id: int) -> bytes:
    """Writes the ids of a span or a link: their tags are the same."""
    return _IDS.pack(SPAN_TRACE_ID, 16, trace_id >> 64 & _64, trace_id & _64, SPAN_SPAN_ID, 8, span_id & _64)


def _times(start_ns: int, end_ns: int) -> bytes:
    start, end = _clamped(start_ns, _64), _clamped(end_ns, _64)
    return _TIMES.pack(SPAN_START_TIME_UNIX_NANO, start, SPAN_END_TIME_UNIX_NANO, end)


def _status(span: Span) -> bytes:
    message = _field(STATUS_MESSAGE, utf8(span.status_message)) if span.status_message else b""
    code = _TAG[STATUS_CODE] + _SMALL[span.status] if span.status else b""
    return _field(SPAN_STATUS, message + code)


def _clamped(number: int, highest: int) -> int:
    return number if 0 <= number <= highest else 0 if number < 0 else highest
