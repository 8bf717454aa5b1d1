"""What Tempo does to a trace without a word: what is over its size is thrown away or never opens, what is old is not found by search.

Rule 1: it is said, never mended here: spans leave as they are, and Tempo's limits may be others than by default.
Rule 2: memory is a number a trace, of the latest ten thousand.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from otel_phi.cli import words
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.delivery.otlp.resource import Resource
from otel_phi.mapping.options import TEMPO_TRACE_BYTES
from otel_phi.mapping.span import Span

MAX_TRACES = 10_000
# Tempo's own default (`ingestion_time_range_slack`): spans 1 to 3 minutes old were found by search, at 4 minutes they vanished, from 5 on
# they never came. By id all are found.
SEARCHED_FOR_NS = 2 * 60 * 1_000_000_000
# Where its limit of 5 MB is raised and its gRPC message sizes are not, Tempo takes a larger trace and answers 500 to whoever opens it.
OPENED_BYTES = 16 * 2**20
_SHOWN = 5


class TraceSizes:
    """Adds up traces, the latest ten thousand.

    Attributes:
        bytes: of each trace as OTLP, before compression.
    """

    def __init__(self) -> None:
        self._encoder = Encoder(Resource(()))
        self.bytes: dict[int, int] = {}

    def add(self, span: Span) -> int:
        """Adds a span to its trace; returns its own bytes."""
        length = len(self._encoder.span(span))
        total = self.bytes.pop(span.trace_id, 0) + length
        if len(self.bytes) >= MAX_TRACES:
            del self.bytes[next(iter(self.bytes))]
        self.bytes[span.trace_id] = total
        return length


class TempoLimits:
    """Follows the sizes and times of traces that go to Tempo."""

    def __init__(self) -> None:
        self._sizes = TraceSizes()
        self._earliest_end_ns = 0

    def add(self, span: Span) -> None:
        """Adds a span to its trace."""
        self._sizes.add(span)
        self._earliest_end_ns = min(self._earliest_end_ns or span.end_ns, span.end_ns)

    def sentences(self, now_ns: int | None = None) -> Iterator[str]:
        """Yields what is to be said, one line each.

        Args:
            now_ns: nanoseconds since the epoch; None for the clock's.
        """
        if (
            self._sizes.bytes
            and (time.time_ns() if now_ns is None else now_ns) - self._earliest_end_ns > SEARCHED_FOR_NS
        ):
            yield (
                "Tempo by default never finds spans by search that ended more than 2 minutes before they come: open them by trace id, "
                "or raise its ingestion_time_range_slack"
            )
        large = [(trace, size) for trace, size in self._sizes.bytes.items() if size > TEMPO_TRACE_BYTES]
        if not large:
            return
        many = words.many(len(large), "trace")
        limit = f"{TEMPO_TRACE_BYTES / 1e6:g} MB"
        yield (
            f"{many} over {limit}, of which Tempo keeps no more by default and says nothing: raise its max_bytes_per_trace, "
            "or send a trace a loop with --trace-scope loop"
        )
        if unopened := sum(size > OPENED_BYTES for _, size in large):
            yield (
                f"{unopened} of them over {OPENED_BYTES / 1e6:.1f} MB, which Tempo by default answers 500 to whoever opens it: raise its gRPC "
                "message sizes too"
            )
        for trace, size in large[:_SHOWN]:
            yield f"  {trace:032x}: {size / 1e6:.1f} MB"
