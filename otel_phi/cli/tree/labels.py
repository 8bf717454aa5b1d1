"""What a span is called in a row: the label, and what is said after it."""

from __future__ import annotations

from collections.abc import Mapping

from otel_phi.cli import words
from otel_phi.cli.tree.rows import Kind, Row
from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import AttributeValue, Span
from otel_phi.tree import clean, session_of

Place = tuple[int, int]  # trace and span id
_KINDS: dict[str, Kind] = {"invoke_agent": "loop", "agent_step": "turn", "chat": "chat", "execute_tool": "tool"}
_FROM = {"rerun": "rerun of", "branch": "branch of", "compaction": "compaction of", "subagent": "run by"}
# How a model's answer ends where all goes well: not worth a word.
_USUAL_ENDS = (("stop",), ("tool_call",))


def kind(span: Span) -> Kind:
    """Returns what kind of row shows a span."""
    if span.get(s.PARALLEL_LOOPS) is not None:
        return "group"
    return _KINDS.get(str(span.get(s.OPERATION)), "other")


def is_marker(span: Span) -> bool:
    """Tells whether a span is a session's root: the headline says all of it."""
    return span.get(s.OPERATION) == "invoke_workflow" and kind(span) != "group"


def label(span: Span, numbers: Mapping[Place, int]) -> Row:
    """Returns the row of a span, without the rows below it.

    Args:
        span: what it shows.
        numbers: of the session's loops.
    """
    given = dict(span.attributes)
    what = kind(span)
    match what:
        case "loop":
            row = _loop(span, given, numbers)
        case "group":
            row = _group(span, given, numbers)
        case "turn":
            row = Row(what, f"turn {given.get(s.TURN_INDEX)}", remark=_trigger(given))
        case "chat":
            row = Row(what, span.name, remark=_end(given), tokens=_pair(given, s.USAGE_INPUT, s.USAGE_OUTPUT))
        case "tool":
            row = Row(what, f"tool {given.get(s.TOOL_NAME)}")
        case _:
            row = Row(what, span.name)
    row.text, row.remark = clean(row.text), clean(row.remark)
    row.started_ns, row.ended_ns, row.failed = span.start_ns, span.end_ns, s.ERROR_TYPE in given
    return row


def _loop(span: Span, given: Mapping[str, AttributeValue], numbers: Mapping[Place, int]) -> Row:
    origin = next((link for link in span.links if (link.trace_id, link.span_id) in numbers), None)
    said = []
    if origin is not None:
        how = _FROM.get(str(given.get(s.LOOP_KIND)), "continues")
        said.append(f"{how} loop {numbers[origin.trace_id, origin.span_id]}")
    if s.LOOP_TAG in given:
        said.append(str(given[s.LOOP_TAG]))
    number = numbers[span.trace_id, span.span_id]
    said.append(str(given.get(s.LOOP_ID, "")).removeprefix(f"{session_of(span)}."))
    return Row(
        "loop",
        f"loop {number}",
        remark=", ".join(filter(None, said)),
        tokens=_pair(given, s.TOTAL_INPUT, s.TOTAL_OUTPUT),
    )


def _group(span: Span, given: Mapping[str, AttributeValue], numbers: Mapping[Place, int]) -> Row:
    size = given.get(s.PARALLEL_SIZE)
    text = f"parallel, {words.many(size, 'branch', 'branches')}" if isinstance(size, int) else "parallel"
    winner = given.get(s.PARALLEL_SELECTED)
    won = next(
        (
            f"loop {numbers[link.trace_id, link.span_id]} won"
            for link in span.links
            if dict(link.attributes).get(s.LINK_LOOP) == winner and (link.trace_id, link.span_id) in numbers
        ),
        "",
    )
    return Row("group", text, remark=won)


def _trigger(given: Mapping[str, AttributeValue]) -> str:
    trigger = str(given.get(s.TURN_TRIGGER, "continuation"))
    return "" if trigger == "continuation" else trigger.replace("_", " ")


def _end(given: Mapping[str, AttributeValue]) -> str:
    reasons = given.get(s.FINISH_REASONS)
    unusual = isinstance(reasons, tuple) and reasons not in _USUAL_ENDS and s.ERROR_TYPE not in given
    return ", ".join(reasons).replace("_", " ") if isinstance(reasons, tuple) and unusual else ""


def _pair(given: Mapping[str, AttributeValue], first: str, second: str) -> tuple[int, int]:
    left, right = given.get(first, 0), given.get(second, 0)
    return (left if isinstance(left, int) else 0, right if isinstance(right, int) else 0)
