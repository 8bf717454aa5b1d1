"""What is too large, cut or left out of what would be sent. Pure: spans in, findings out."""

from __future__ import annotations

from collections.abc import Iterator

from otel_phi.cli.checking.findings import Findings, Place
from otel_phi.cli.report.tempo import SEARCHED_FOR_NS, TraceSizes
from otel_phi.cli.words import size
from otel_phi.mapping import semconv as s
from otel_phi.mapping.attributes import CUT_MARK
from otel_phi.mapping.options import TEMPO_TRACE_BYTES
from otel_phi.mapping.span import Span
from otel_phi.tree import session_of

GRPC_MESSAGE_BYTES = 4 << 20  # gRPC's own default: what a server takes in a message
_ENVELOPE_BYTES = 4_096  # a resource and a scope around a span that travels alone


class SizeCheck:
    """A check of spans as they would be sent.

    Args:
        findings: where what is found is counted.
        profile: the backend's name, None for none.
        now_ns: the time now, nanoseconds since the epoch.

    Attributes:
        spans: how many there were.
        bytes: as OTLP, before compression.
        sessions: ids of their sessions.
    """

    def __init__(self, findings: Findings, profile: str | None, now_ns: int) -> None:
        self._findings, self._profile, self._now_ns = findings, profile, now_ns
        self._traces = TraceSizes()
        self._large: set[int] = set()
        self.spans = self.bytes = 0
        self.sessions: set[str] = set()

    def add(self, span: Span) -> None:
        """Judges a span."""
        length = self._traces.add(span)
        self.spans += 1
        self.bytes += length
        self.sessions.add(session_of(span))
        place = Place(detail=f"span {span.span_id:016x} of trace {span.trace_id:032x}")
        if length + _ENVELOPE_BYTES > GRPC_MESSAGE_BYTES:
            self._findings.add("span-too-large", f"{span.name}: {size(length)}", place)
        for key in _cut_keys(span):
            self._findings.add("value-cut", key, place)
        if span.dropped_events_count:
            self._findings.add("events-dropped", span.name, place, count=span.dropped_events_count)
        if self._profile == "tempo" and self._now_ns - span.end_ns > SEARCHED_FOR_NS:
            self._findings.add("tempo-search", "spans of the past")
        if self._traces.bytes[span.trace_id] > TEMPO_TRACE_BYTES:
            self._large.add(span.trace_id)

    def finish(self) -> None:
        """Judges the traces."""
        rule = "tempo-trace-size" if self._profile == "tempo" else "large-trace"
        for trace_id in sorted(self._large):
            self._findings.add(
                rule, f"trace {trace_id:032x}: {size(self._traces.bytes.get(trace_id, TEMPO_TRACE_BYTES))}"
            )


def _cut_keys(span: Span) -> Iterator[str]:
    """Yields the keys of a span and of its events whose values were cut."""
    cut = span.get(s.CONTENT_CUT)
    if cut is not None:
        yield "contents"
    for attributes in (span.attributes, *(event.attributes for event in span.events)):
        for key, value in attributes:
            if isinstance(value, str) and CUT_MARK in value:
                yield key
