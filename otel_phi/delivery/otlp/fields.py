"""Fields as protobuf writes them: tags, numbers, texts and attributes, with what comes again remembered.

Field numbers stand here as tags: a test holds each against opentelemetry-proto's descriptors.
"""

from __future__ import annotations

import struct
from collections.abc import Sized
from typing import TypeVar

from otel_phi.mapping import semconv
from otel_phi.mapping.span import Attributes, AttributeValue

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

F64 = struct.Struct("<d")

MAX_UINT64 = (1 << 64) - 1
_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1
MAX_UINT128, MAX_UINT32 = (1 << 128) - 1, (1 << 32) - 1

# CONTEXT_HAS_IS_REMOTE: a link's target is not remote to the agent; whether it is sampled we do not know.
LINK_CONTEXT_FLAGS = 0x100

# What comes again is remembered whole: attributes whose value is short text (operation, model, tool, session and loop
# ids while they last), keys, names, trace ids. 4096 entries of at most 256 bytes are under 4 MiB; a full memory is emptied.
# Numbers are written anew: what stands before them is remembered, and they seldom come again.
MEMORY_ENTRIES = 4096
MEMORY_BYTES = 256
# Texts of these keys come once: to remember them would only push out others.
_ONCE = frozenset({semconv.TOOL_CALL_ID})

TAG = tuple(bytes((tag,)) for tag in range(256))
_MORE = tuple(bytes((low | 0x80,)) for low in range(128))  # seven bits that others follow


def varint(number: int) -> bytes:
    """Writes an unsigned number below 2**64, seven bits a byte, low bits first."""
    if number < 1 << 7:
        return TAG[number]
    if number < 1 << 14:
        return _MORE[number & 0x7F] + TAG[number >> 7]
    if number < 1 << 21:
        return _MORE[number & 0x7F] + _MORE[number >> 7 & 0x7F] + TAG[number >> 14]
    return _MORE[number & 0x7F] + _MORE[number >> 7 & 0x7F] + varint(number >> 14)


SMALL = tuple(map(varint, range(2048)))  # nearly all lengths and counts


def written_number(number: int) -> bytes:
    """Writes an unsigned number below 2**64; lengths and counts are remembered."""
    return SMALL[number] if number < 2048 else varint(number)


def written_field(tag: int, content: bytes) -> bytes:
    """Writes a field of bytes: its tag, their length, and them."""
    size = len(content)
    return TAG[tag] + (SMALL[size] if size < 2048 else varint(size)) + content


def utf8(text: str) -> bytes:
    """Encodes text as valid UTF-8; a lone surrogate becomes U+FFFD, a pair of them the character it stands for."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def any_value(value: object) -> bytes | None:
    """Writes an AnyValue; None for what OTLP has no word for. An item of an array that has none, an array too, becomes an empty one."""
    match value:
        case str():
            return written_field(ANYVALUE_STRING_VALUE, utf8(value))
        case bool():  # an int too
            return TAG[ANYVALUE_BOOL_VALUE] + SMALL[value]
        case int():
            clamped = value if _INT64_MIN <= value <= _INT64_MAX else _INT64_MIN if value < 0 else _INT64_MAX
            return TAG[ANYVALUE_INT_VALUE] + written_number(clamped & MAX_UINT64)
        case float():
            return TAG[ANYVALUE_DOUBLE_VALUE] + F64.pack(value)
        case tuple() | list():
            written = [b"" if isinstance(item, tuple | list) else any_value(item) or b"" for item in value]
            return written_field(
                ANYVALUE_ARRAY_VALUE, b"".join([written_field(ARRAYVALUE_VALUES, item) for item in written])
            )
        case _:
            return None


class Memory(dict[str, bytes]):
    """Remembers text written as one kind of field.

    Args:
        tag: the field's tag.
    """

    def __init__(self, tag: int) -> None:
        self._tag = tag

    def __missing__(self, text: str) -> bytes:
        return remembered(self, text, written_field(self._tag, utf8(text)))


class Traces(dict[int, bytes]):
    """Remembers trace ids, as they and the head of a span's id behind them stand in a span and in a link: their tags are the same."""

    def __missing__(self, trace_id: int) -> bytes:
        trace = (trace_id & MAX_UINT128).to_bytes(16, "big")
        return remembered(self, trace_id, written_field(SPAN_TRACE_ID, trace) + bytes((SPAN_SPAN_ID, 8)))


class _Heads(dict[str, tuple[bytes, ...]]):
    """Remembers what stands before a number: for each key, by how many bytes the number takes, 0 to 10.

    Args:
        tag: of the attributes.
        keys: the keys, written.
        kind: tag of the number.
    """

    def __init__(self, tag: int, keys: Memory, kind: int) -> None:
        self._tag, self._keys, self._kind = tag, keys, TAG[kind]

    def __missing__(self, key: str) -> tuple[bytes, ...]:
        heads = tuple(_head(self._tag, self._keys[key], self._kind, size) for size in range(11))
        if len(heads[0]) <= MEMORY_BYTES:
            remembered(self, key, heads)
        return heads


def _head(tag: int, key: bytes, before: bytes, size: int) -> bytes:
    """Returns what stands before a value of `size` bytes: of the attribute, the key, the value's tag and, of a text, its length."""
    pair = key + TAG[KEYVALUE_VALUE] + written_number(len(before) + size) + before
    return TAG[tag] + written_number(len(pair) + size) + pair


K = TypeVar("K")
V = TypeVar("V", bound=Sized)


def remembered(memory: dict[K, V], key: K, written: V) -> V:
    """Returns what was written, kept for the next time unless it is long; a full memory is emptied."""
    if len(written) <= MEMORY_BYTES:
        if len(memory) >= MEMORY_ENTRIES:
            memory.clear()
        memory[key] = written
    return written


class AttributeWriter:
    """Writes the attributes of one kind of message.

    Args:
        tag: the tag of the message's `attributes` field.
    """

    __slots__ = ("_floats", "_ints", "_keys", "_tag", "_text_heads", "_texts")

    def __init__(self, tag: int) -> None:
        self._tag = tag
        self._keys = Memory(KEYVALUE_KEY)
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
                    number = SMALL[value] if value < 2048 else _MORE[value & 0x7F] + SMALL[value >> 7]  # type: ignore[index, operator]
                    append(ints[key][len(number)] + number)
                elif kind is float:
                    append(self._floats[key][8] + F64.pack(value))
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
            head = _head(self._tag, self._keys[key], TAG[ANYVALUE_STRING_VALUE] + written_number(size), size)
            remembered(self._text_heads, (key, size), head)
        return head + text if key in _ONCE else remembered(self._texts, (key, value), head + text)

    def _other(self, pair: tuple[str, AttributeValue]) -> bytes | None:
        """Writes a value that is neither text nor a small number; None if OTLP has no word for it."""
        key, value = pair
        kind = value.__class__
        if kind is int and 0 <= value <= _INT64_MAX:  # type: ignore[operator]
            number = varint(value)  # type: ignore[arg-type]
            return self._ints[key][len(number)] + number
        if kind is tuple and all(type(item) is str for item in value):  # type: ignore[union-attr]
            return self._texts.get(pair) or remembered(self._texts, pair, self._whole(key, any_value(value) or b""))
        content = any_value(value)
        return None if content is None else self._whole(key, content)

    def _whole(self, key: str, content: bytes) -> bytes:
        return written_field(self._tag, self._keys[key] + written_field(KEYVALUE_VALUE, content))
