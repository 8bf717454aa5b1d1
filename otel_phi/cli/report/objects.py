"""Spans and totals as JSON objects, for `--json`: hex ids, times as integers of nanoseconds since the Unix epoch."""

from __future__ import annotations

from typing import Any

from otel_phi.cli.report.totals import Totals
from otel_phi.mapping.span import Attributes, Span

SPAN_SCHEMA, EXPORT_SCHEMA = "otel-phi.span/1", "otel-phi.export/1"  # docs/json.md has them


def span_object(span: Span) -> dict[str, Any]:
    """Returns a span as a JSON object.

    Its keys: `name`, `trace_id` (32 hex digits), `span_id` (16), `parent_span_id` (16, null without a parent), `kind`,
    `start_ns`, `end_ns`, `status`, `status_message`, `attributes` (object), `events` (`name`, `time_ns`, `attributes`),
    `links` (`trace_id`, `span_id`, `attributes`), `dropped_events_count`.
    """
    return {
        "name": span.name,
        "trace_id": f"{span.trace_id:032x}",
        "span_id": f"{span.span_id:016x}",
        "parent_span_id": f"{span.parent_span_id:016x}" if span.parent_span_id else None,
        "kind": span.kind.name,
        "start_ns": span.start_ns,
        "end_ns": span.end_ns,
        "status": span.status.name,
        "status_message": span.status_message,
        "attributes": _object(span.attributes),
        "events": [
            {"name": event.name, "time_ns": event.time_ns, "attributes": _object(event.attributes)}
            for event in span.events
        ],
        "links": [
            {
                "trace_id": f"{link.trace_id:032x}",
                "span_id": f"{link.span_id:016x}",
                "attributes": _object(link.attributes),
            }
            for link in span.links
        ],
        "dropped_events_count": span.dropped_events_count,
    }


def versioned_span(span: Span) -> dict[str, Any]:
    """Returns a span as `otel_phi.cli.commands.show` writes it: with the schema that it follows."""
    return {"schema": SPAN_SCHEMA, **span_object(span)}


def totals_object(totals: Totals) -> dict[str, Any]:
    """Returns a session's totals as a JSON object."""
    return {
        "session_id": totals.session_id,
        "trace_ids": [f"{trace:032x}" for trace in totals.trace_ids],
        "loops": totals.loops,
        "turns": totals.turns,
        "tools": totals.tools,
        "input_tokens": totals.input_tokens,
        "output_tokens": totals.output_tokens,
        "cached_tokens": totals.cached_tokens,
        "cost_usd": totals.cost_usd,
        "cost_partial": totals.cost_partial if totals.cost_usd is not None else None,
        "errors": dict(totals.errors),
        "spans": totals.spans,
        "start_ns": totals.started_ns,
        "end_ns": totals.ended_ns,
    }


def _object(attributes: Attributes) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in attributes}
