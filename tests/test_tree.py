"""The plain tree: every span once, the same text whatever the order, nothing a terminal would act on."""

from __future__ import annotations

import random

import pytest

from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Span, SpanEvent, SpanKind, SpanLink
from otel_phi.tree import clean, render_tree, traces

TRACE = 0x6F1C5A527C1E4F0E9A510D3F5D1F8A01
START = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z


def a_span(
    name: str,
    span_id: int,
    parent: int = 0,
    at: tuple[int, int] = (0, 1_000_000),
    *,
    trace: int = TRACE,
    attributes: dict[str, str | bool | int | float | tuple[str, ...]] | None = None,
    events: tuple[SpanEvent, ...] = (),
    links: tuple[SpanLink, ...] = (),
) -> Span:
    return Span(
        name,
        trace,
        span_id,
        parent,
        SpanKind.INTERNAL,
        START + at[0],
        START + at[1],
        attributes=((s.SESSION_ID, f"session-{trace & 0xFF:x}"), *(attributes or {}).items()),
        events=events,
        links=links,
    )


def a_session() -> list[Span]:
    tool = SpanEvent(s.EVENT_TOOL, START + 900_000, ((s.TOOL_NAME, "bash"), (s.TOOL_DURATION_MS, 0.25)))
    to_root = SpanLink(TRACE + 1, 9, ((s.LINK_KIND, "spawned"), (s.LINK_SESSION, "session-2")))
    nowhere = SpanLink(TRACE + 2, 9, ((s.LINK_KIND, "caller"),))
    return [
        a_span("invoke_workflow phi.session", 1, at=(0, 1), attributes={s.OPERATION: "invoke_workflow"}),
        a_span(
            "invoke_agent",
            2,
            1,
            (0, 2_000_500),
            attributes={s.OPERATION: "invoke_agent", s.LOOP_ID: "session-1.a.1", s.LOOP_KIND: "initial"},
            links=(nowhere,),
        ),
        a_span(
            "turn", 3, 2, (5_000, 1_500_000), attributes={s.OPERATION: "agent_step", s.TURN_INDEX: 0}, events=(tool,)
        ),
        a_span("chat m", 4, 3, (5_000, 600_000), attributes={s.USAGE_INPUT: 12, s.FINISH_REASONS: ("stop",)}),
        a_span("execute_tool bash", 5, 3, (600_000, 900_000), attributes={s.ERROR_TYPE: "timeout"}, links=(to_root,)),
        a_span("invoke_workflow phi.session", 9, trace=TRACE + 1, at=(0, 1)),
    ]


def test_a_session_reads_as_one_line_a_span_with_its_events_and_links() -> None:
    assert render_tree(a_session()) == (
        """\
trace 6f1c5a527c1e4f0e9a510d3f5d1f8a01  session session-1
  invoke_workflow phi.session  +0ms 1ns
    invoke_agent a.1  +0ms 2ms  kind=initial
        -> caller [not here: 6f1c5a527c1e4f0e9a510d3f5d1f8a03 0000000000000009]
      turn 0  +0.005ms 1.495ms
          * phi.tool.execution +0.9ms name=bash duration_ms=0.25
        chat m  +0.005ms 0.595ms  finish=stop in=12
        execute_tool bash  +0.6ms 0.3ms  ! timeout
            -> spawned [session session-2: invoke_workflow phi.session] session_id=session-2
trace 6f1c5a527c1e4f0e9a510d3f5d1f8a02  session session-2
  invoke_workflow phi.session  +0ms 1ns
"""
    )


def test_the_text_does_not_depend_on_the_order_of_the_spans() -> None:
    spans = a_session()
    expected = render_tree(spans)
    for seed in range(20):
        random.Random(seed).shuffle(spans)
        assert render_tree(spans) == expected


def test_no_spans_give_no_text() -> None:
    assert render_tree([]) == ""


def test_a_span_whose_parent_is_missing_stands_at_the_top_and_says_so() -> None:
    assert "  turn  +0ms 1ms  (parent 0000000000000063: missing)\n" in render_tree([a_span("turn", 3, 0x63)])


def test_a_circle_of_parents_is_broken_and_every_span_is_shown_once() -> None:
    spans = [
        a_span("below", 5, 4, (0, 1_000_000)),
        a_span("one", 3, 4, (10_000, 1_000_000)),
        a_span("two", 4, 3, (20_000, 1_000_000)),
        a_span("itself", 6, 6, (30_000, 1_000_000)),
    ]
    (trace,) = traces(spans)
    assert sorted(span.name for _, span in trace.walk()) == ["below", "itself", "one", "two"]
    assert list(trace.stray.values()) == ["circle", "circle"]


def test_a_span_that_came_twice_is_shown_once_and_counted() -> None:
    spans = [a_span("turn", 3), a_span("turn", 3), a_span("turn", 3)]
    assert render_tree(spans).count("turn") == 1
    assert "(3 times)" in render_tree(spans)


def test_a_chain_of_ten_thousand_loops_is_walked() -> None:
    (trace,) = traces(a_span("invoke_agent", number, number - 1, (number, number + 1)) for number in range(1, 10_001))
    assert [depth for depth, _ in trace.walk()] == list(range(10_000))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("a\nb\tc", "a b c"),
        ("\x07\x7f\x9b2J", "2J"),
        ("user\u202etxt.exe\u2066\u2069", "usertxt.exe"),
        ("zero\u200bwidth\ufeff\u2028", "zerowidth"),
        ("grüße 你好 ✓", "grüße 你好 ✓"),
        ("\ud800half", "half"),
        (42, "42"),
    ],
)
def test_what_a_terminal_would_act_on_is_taken_out(text: object, shown: str) -> None:
    assert clean(text) == shown


def test_names_and_values_from_outside_are_cleaned_in_the_tree() -> None:
    link = SpanLink(1, 1, ((s.LINK_KIND, "\x1b]0;"), (s.LINK_LOOP, "\u202ex")))
    event = SpanEvent("\x9b", START, (("\x00k", "\x1b"),))
    span = a_span(
        "turn \x1b[2J", 3, attributes={s.LOOP_TAG: "\u2066tag", s.ERROR_TYPE: "\x07bad"}, events=(event,), links=(link,)
    )
    text = render_tree([span])
    assert [c for c in text if not (c.isprintable() or c == "\n")] == []
