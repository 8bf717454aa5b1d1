"""A session in a few lines: who, when, how much, what went wrong, where the time went."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from otel_phi.cli import words
from otel_phi.cli.report.totals import Totals
from otel_phi.tree import clean

_DOT = " · "


def headline(totals: Totals, agent: str, source: str = "") -> Iterator[Text]:
    """Yields the lines above a session's tree."""
    line = Text("session ", style="bold")
    line.append(clean(totals.session_id), style="bold cyan")
    if agent:
        line.append(f"{_DOT}{clean(agent)}")
    yield line
    if source:
        yield Text(clean(source), style="dim")
    yield Text(_DOT.join([_traces(totals), words.moment(totals.started_ns)]), style="dim")
    yield _sums(totals)
    spent = _where_time_went(totals)
    if spent:
        yield Text(_DOT.join(spent), style="dim")


def _traces(totals: Totals) -> str:
    first, *others = totals.trace_ids
    return f"trace {first:032x}" + (f" and {words.many(len(others), 'other')}" if others else "")


def _sums(totals: Totals) -> Text:
    said = [
        words.duration(totals.ended_ns - totals.started_ns),
        words.many(totals.loops, "loop"),
        words.many(totals.turns, "turn"),
        words.many(totals.tools, "tool"),
    ]
    line = Text(_DOT.join(said))
    if totals.error_count:
        line.append(_DOT)
        line.append(errors(totals), style="bold red")
    return line


def errors(totals: Totals) -> str:
    """Returns a session's errors, `2 errors: tool_error, timeout`; "" for none."""
    if not totals.error_count:
        return ""
    kinds = (f"{number} {clean(word)}" if number > 1 else clean(word) for word, number in totals.errors.most_common())
    return f"{words.many(totals.error_count, 'error')}: {', '.join(kinds)}"


def _where_time_went(totals: Totals) -> list[str]:
    said = [f"model {words.duration(totals.model_ns)}"] if totals.model_ns else []
    if totals.tools:
        said.append(f"tools {words.duration(totals.tool_ns)}")
    if totals.input_tokens or totals.output_tokens:
        cached = f" ({words.count(totals.cached_tokens)} cached)" if totals.cached_tokens else ""
        said.append(f"{words.count(totals.input_tokens)} tokens in{cached}, {words.count(totals.output_tokens)} out")
    if totals.cost_usd is not None:
        said.append(words.dollars(totals.cost_usd, partial=totals.cost_partial))
    return said
