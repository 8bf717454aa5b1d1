"""Spans as the lines of JSON that the page reads.

    {"format": 1, ...}                       what the page is: first
    ["k", [key, ...]]                        a set of attribute keys, numbered as they come, from 0
    ["t", trace, base, session]              a trace, numbered likewise; base: nanoseconds since the epoch, in digits
    ["s", trace number, span, parent, start, duration, kind, name, status, message, dropped, keys number, [value, ...],
          [[name, time, keys number, [value, ...]], ...], [[trace, span, keys number, [value, ...]], ...]]
    {"spans": 12, "sessions": [...], ...}    what they add up to: last

Ids are hexadecimal, parent is "" where there is none; times are nanoseconds after their trace's base.

Rule 1: lines are ASCII, and JSON that every browser reads: what JavaScript's numbers cannot hold is text.
Rule 2: what is kept is a number for each trace and for each set of keys that was met, and what the sessions add up to.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

from otel_phi.cli.listing.objects import session_object
from otel_phi.cli.listing.tally import Tallies
from otel_phi.mapping.span import Attributes, AttributeValue, Span
from otel_phi.tree import session_of

FORMAT = 1
_EXACT = 2**53  # integers beyond it JavaScript rounds
_json = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode


class Records:
    """Records make lines of spans.

    Attributes:
        spans: how many were written.
    """

    def __init__(self) -> None:
        self.spans = 0
        self._tallies = Tallies()
        self._keys: dict[tuple[str, ...], int] = {}
        self._traces: dict[int, tuple[int, int]] = {}  # its number and base

    def lines(self, spans: Iterable[Span]) -> Iterator[str]:
        """Yields the lines of spans, as they come."""
        for span in spans:
            self.spans += 1
            self._tallies.add_all((span,))
            fresh: list[list[Any]] = []
            record = self._record(span, fresh)
            yield from (_line(one) for one in (*fresh, record))

    @property
    def sessions(self) -> int:
        """How many sessions the spans were of."""
        return len(self._tallies.all())

    def totals(self) -> list[dict[str, Any]]:
        """Returns what each session adds up to, as `ls --json` says it; to be called after the last span."""
        return [_finite(session_object(tally)) for tally in self._tallies.all()]

    def _record(self, span: Span, fresh: list[list[Any]]) -> list[Any]:
        trace, base = self._trace(span, fresh)
        return [
            "s",
            trace,
            f"{span.span_id:016x}",
            f"{span.parent_span_id:016x}" if span.parent_span_id else "",
            span.start_ns - base,
            span.end_ns - span.start_ns,
            span.kind.name,
            span.name,
            span.status.name,
            span.status_message,
            span.dropped_events_count,
            *self._pairs(span.attributes, fresh),
            [[event.name, event.time_ns - base, *self._pairs(event.attributes, fresh)] for event in span.events],
            [
                [f"{link.trace_id:032x}", f"{link.span_id:016x}", *self._pairs(link.attributes, fresh)]
                for link in span.links
            ],
        ]

    def _trace(self, span: Span, fresh: list[list[Any]]) -> tuple[int, int]:
        found = self._traces.get(span.trace_id)
        if found is None:
            found = self._traces[span.trace_id] = len(self._traces), span.start_ns
            fresh.append(["t", f"{span.trace_id:032x}", str(span.start_ns), session_of(span)])
        return found

    def _pairs(self, attributes: Attributes, fresh: list[list[Any]]) -> tuple[int, list[Any]]:
        keys = tuple([key for key, _ in attributes])
        number = self._keys.get(keys)
        if number is None:
            number = self._keys[keys] = len(self._keys)
            fresh.append(["k", list(keys)])
        return number, [_value(value) for _, value in attributes]


def header(title: str, version: str) -> str:
    """Returns the first line."""
    return _line({"format": FORMAT, "title": title, "version": version})


def footer(records: Records, notes: Iterable[str]) -> str:
    """Returns the last line; `notes` are sentences about where the spans were read."""
    return _line({"spans": records.spans, "sessions": records.totals(), "notes": list(notes)})


def _finite(totals: dict[str, Any]) -> dict[str, Any]:
    """Returns totals without a cost that is no number: a source can say anything."""
    cost = totals["cost_usd"]
    return totals if cost is None or math.isfinite(cost) else {**totals, "cost_usd": None}


def _line(item: object) -> str:
    return _json(item) + "\n"


def _value(value: AttributeValue) -> object:
    if value.__class__ is str:
        return value
    if isinstance(value, int) and not -_EXACT <= value <= _EXACT:
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
