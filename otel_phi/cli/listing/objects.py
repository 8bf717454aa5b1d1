"""Sessions and sums as JSON objects, one a line; the schema stands in docs/json.md, its version in `schema`."""

from __future__ import annotations

from typing import Any

from otel_phi.cli.listing.sums import Sum
from otel_phi.cli.listing.tally import Tally
from otel_phi.cli.report.objects import totals_object

SESSION_SCHEMA, SUM_SCHEMA = "otel-phi.session/1", "otel-phi.sum/1"


def session_object(tally: Tally) -> dict[str, Any]:
    """Returns a session as a JSON object."""
    return {
        "schema": SESSION_SCHEMA,
        **totals_object(tally),
        "agents": list(tally.agents),
        "models": list(tally.models),
        "repository": tally.repository or None,
        "open_loops": tally.open_loops,
    }


def sum_object(total: Sum, grouping: str) -> dict[str, Any]:
    """Returns a sum as a JSON object."""
    cell = total.cell
    return {
        "schema": SUM_SCHEMA,
        "by": grouping,
        "name": total.name or None,
        "sessions": total.sessions,
        "loops": cell.loops,
        "turns": cell.turns,
        "calls": cell.calls,
        "tools": cell.tools,
        "input_tokens": cell.input_tokens,
        "output_tokens": cell.output_tokens,
        "cached_tokens": cell.cached_tokens,
        "cost_usd": cell.cost_usd,
        "errors": cell.errors,
        "busy_ns": cell.busy_ns,
    }
