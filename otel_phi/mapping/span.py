"""A finished span: the value that mapping hands to delivery.

It knows nothing of the OpenTelemetry SDK, of protobuf or of time zones. Ids are `int` and never zero, times are
integer nanoseconds since the Unix epoch, attributes are pairs in a fixed order, so that equal facts give equal bytes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from itertools import chain
from typing import Any

import msgspec

AttributeValue = str | bool | int | float | tuple[str, ...]
Attributes = tuple[tuple[str, AttributeValue], ...]

# W3C sampled (0x001) and, from OTLP's SpanFlags, CONTEXT_HAS_IS_REMOTE (0x100): we know the parent is not remote.
SPAN_FLAGS = 0x101


class Run(msgspec.Struct, gc=False, eq=False):
    """A run is attributes that many spans carry one after another, made once.

    Attributes:
        pairs: pairs of key and value.
        written: as an encoder wrote them for spans, for encoders alone; None before the first did.
    """

    pairs: Attributes
    written: bytes | None = None


Parts = tuple[Run | Attributes, ...]


class Runs(msgspec.Struct, frozen=True, gc=False, eq=False):
    """Runs are the attributes of a span of which it shares some with others. To whoever asks for them they are pairs, as a tuple has them.

    Attributes:
        parts: runs, and pairs that are this span's own, in their order.
    """

    parts: Parts

    def __iter__(self) -> Iterator[tuple[str, AttributeValue]]:
        return chain.from_iterable([part.pairs if isinstance(part, Run) else part for part in self.parts])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, at: Any) -> Any:
        return tuple(self)[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Runs | tuple) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return tuple(self).__hash__()

    def __repr__(self) -> str:
        return repr(tuple(self))


class SpanKind(enum.IntEnum):
    """Names the OTLP span kinds we use, with their OTLP numbers."""

    INTERNAL = 1
    CLIENT = 3


class StatusCode(enum.IntEnum):
    """Names the OTLP status codes, with their OTLP numbers."""

    UNSET = 0
    OK = 1
    ERROR = 2


class SpanEvent(msgspec.Struct, frozen=True, gc=False):
    """A span event is one timed event on a span.

    Attributes:
        name: the event's name, `phi.*`.
        time_ns: nanoseconds since the epoch, inside the span unless the source's clock stepped.
        attributes: pairs of key and value.
    """

    name: str
    time_ns: int
    attributes: Attributes = ()


class SpanLink(msgspec.Struct, frozen=True, gc=False):
    """A span link points to another span, in this trace or another.

    Attributes:
        trace_id: 128 bits, never zero.
        span_id: 64 bits, never zero.
        attributes: pairs; `phi.link.kind` says what the link means.
    """

    trace_id: int
    span_id: int
    attributes: Attributes = ()


class Span(msgspec.Struct, frozen=True, gc=False):
    """A span is one finished span, complete and never changed after.

    Attributes:
        name: low-cardinality name.
        trace_id: 128 bits, never zero.
        span_id: 64 bits, never zero.
        parent_span_id: 64 bits, or 0 for a span without a parent.
        kind: the OTLP kind.
        start_ns: nanoseconds since the epoch.
        end_ns: nanoseconds since the epoch, at least `start_ns + 1`.
        attributes: pairs of key and value, no key twice.
        events: timed events.
        links: links to other spans.
        status: OTLP status code.
        status_message: text of an ERROR status, "" if none.
        flags: OTLP span flags.
        dropped_events_count: events left out because of a bound.
        resource: attributes of the resource in place of the exporter's own; for a session read from another agent's records.
    """

    name: str
    trace_id: int
    span_id: int
    parent_span_id: int
    kind: SpanKind
    start_ns: int
    end_ns: int
    attributes: Attributes = ()
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()
    status: StatusCode = StatusCode.UNSET
    status_message: str = ""
    flags: int = SPAN_FLAGS
    dropped_events_count: int = 0
    resource: Attributes = ()

    def get(self, key: str) -> AttributeValue | None:
        """Returns the value of attribute `key`, or None where the span has none."""
        for name, value in self.attributes:
            if name == key:
                return value
        return None
