"""The parts behind the commands: words for numbers, names for sessions, totals, folds and the time axis."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_phi.cli import words
from otel_phi.cli.report.totals import MAX_SESSIONS, Sessions
from otel_phi.cli.tree.axis import Axis
from otel_phi.cli.tree.drawing import bar
from otel_phi.cli.tree.folding import SHOWN_WHOLE, fold
from otel_phi.cli.tree.rows import Row
from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span, SpanKind
from otel_phi.pipeline import spans
from otel_phi.tree import clean
from tests import golden

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("length_ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_000, "1 µs"),
        (39_456, "39.5 µs"),
        (999_499, "999 µs"),
        (999_500, "1 ms"),
        (71_000_000, "71 ms"),
        (999_499_999, "999 ms"),
        (999_500_000, "1.00 s"),
        (3_765_000_000, "3.77 s"),
        (9_995_000_000, "10.0 s"),
        (59_949_000_000, "59.9 s"),
        (59_950_000_000, "1m 00s"),
        (272 * SECOND, "4m 32s"),
        (3_599_600_000_000, "1h 00m"),
        (36_543 * SECOND, "10h 09m"),
        (86_400 * 3 * SECOND, "3d 00h"),
        (86_400 * 400 * SECOND, "400d 00h"),
    ],
)
def test_a_duration_takes_three_digits(length_ns: int, text: str) -> None:
    assert words.duration(length_ns) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1_000, "1k"),
        (5_184, "5.18k"),
        (999_499, "999k"),
        (999_500, "1M"),
        (45_627_000, "45.6M"),
    ],
)
def test_a_count_takes_three_digits(number: int, text: str) -> None:
    assert words.count(number) == text


@given(st.lists(st.text(max_size=40), max_size=30))
def test_sessions_that_read_differently_have_different_short_names(sessions: list[str]) -> None:
    names = words.short_names(sessions)
    assert set(names) == set(sessions)
    distinct = {clean(session) for session in sessions}
    assert len(set(names.values())) == len(distinct)


def test_sessions_that_begin_alike_show_their_ends_too() -> None:
    ids = [f"6f1c5a52-7c1e-4f0e-9a51-0d3f5d1f8a0{number}" for number in (1, 2)]
    other = "b70c25d8-1e94-4f3a-a6d2-58c90b7f4e13"
    assert list(words.short_names([*ids, other]).values()).count("b70c25d8") == 1
    assert words.short_names(ids)[ids[0]] == "6f1c5a52…8a01"


def test_a_time_no_calendar_holds_is_shown_as_it_is() -> None:
    assert words.moment(1_767_225_600 * SECOND) == "2026-01-01 00:00:00 UTC"
    assert words.moment(2**63 * 10**9).endswith(" ns")


@pytest.mark.parametrize("tool_spans", [True, False])
def test_totals_are_those_of_the_stream_whichever_way_tools_are_shown(tool_spans: bool) -> None:
    for name, events in golden.small_streams().items():
        found = list(spans(events, MappingOptions(tool_spans=tool_spans)))
        sessions = Sessions()
        for span in found:
            sessions.add(span)
        totals = sessions.all()
        chats = [span for span in found if span.get(s.OPERATION) == "chat"]
        assert sum(one.spans for one in totals) == len(found), name
        read = [tokens for chat in chats if isinstance(tokens := chat.get(s.USAGE_INPUT), int)]
        assert sum(one.input_tokens for one in totals) == sum(read), name
        executed = [e for span in found for e in span.events if e.name == s.EVENT_TOOL]
        ran = [e for e in executed if dict(e.attributes)[s.TOOL_OUTCOME] != "not_executed"]
        assert sum(one.tools for one in totals) == len(ran), name
        failed = any(span.get(s.ERROR_TYPE) for span in found)
        failed |= any(s.ERROR_TYPE in dict(event.attributes) for event in executed)
        assert (sum(one.error_count for one in totals) > 0) == failed, name


@golden.needed
@pytest.mark.parametrize(
    ("name", "errors"),
    [
        ("09_provider_error", {"api_error": 1}),
        ("12_cancelled_during_tool", {"interrupted": 1}),
        ("13_execution_limit", {"execution_limit": 1}),
        ("25_tool_timeout", {"timeout": 1}),
        ("01_single_text", {}),
    ],
)
def test_one_failure_counts_once(name: str, errors: dict[str, int]) -> None:
    sessions = Sessions()
    for span in spans(golden.scenario(name)):
        sessions.add(span)
    assert [dict(one.errors) for one in sessions.all()] == [errors]


def test_of_sessions_without_end_the_first_are_forgotten_and_counted() -> None:
    sessions = Sessions()
    for number in range(MAX_SESSIONS + 3):
        attributes = ((s.SESSION_ID, str(number)),)
        sessions.add(Span("turn", number + 1, 1, 0, SpanKind.INTERNAL, number, number + 1, attributes))
    assert (sessions.forgotten, len(sessions.all()), sessions.all()[0].session_id) == (3, MAX_SESSIONS, "3")


def a_turn(number: int, *, failed: str = "", length: int = 1) -> Row:
    below = [Row("error", f"{failed}: words")] if failed else []
    return Row("turn", f"turn {number}", number, number + length, failed=bool(failed), rows=below)


@given(st.lists(st.sampled_from(["", "", "", "timeout", "aborted"]), max_size=60))
def test_a_fold_hides_nothing_without_counting_it_and_shows_each_kind_of_failure(failures: list[str]) -> None:
    rows = [a_turn(number, failed=failed) for number, failed in enumerate(failures)]
    folded = fold(rows)
    counted = sum(int(row.text.split()[1]) if row.kind == "fold" else 1 for row in folded)
    assert counted == len(rows)
    if len(rows) <= SHOWN_WHOLE:
        assert folded == rows
    shown = {row.rows[0].text for row in folded if row.kind == "turn" and row.rows}
    assert shown == {f"{failed}: words" for failed in failures if failed}
    starts = [row.started_ns for row in folded]
    assert starts == sorted(starts)


def test_a_fold_names_the_slowest() -> None:
    rows = [a_turn(number * 10, length=9 if number == 7 else 1) for number in range(20)]
    (folded,) = [row for row in fold(rows) if row.kind == "fold"]
    assert (folded.text, folded.remark) == ("… 14 more turns", "slowest 9 ns (turn 70)")


def test_an_idle_night_is_cut_out_of_the_axis() -> None:
    rows = [Row("loop", "loop 1", 0, 100), Row("loop", "loop 2", 10_000, 10_100)]
    axis = Axis(rows)
    assert axis.idle == [(100, 10_000)]
    assert axis.place(100) == pytest.approx(0.493, abs=0.01)
    assert axis.place(10_000) == pytest.approx(0.507, abs=0.01)
    assert Axis([Row("loop", "loop 1", 0, 100), Row("loop", "loop 2", 140, 240)]).idle == []


@given(st.lists(st.tuples(st.integers(0, 10**15), st.integers(1, 10**12)), min_size=1, max_size=20), st.data())
def test_the_axis_never_goes_back(spells: list[tuple[int, int]], data: st.DataObject) -> None:
    axis = Axis(Row("loop", "", start, start + length) for start, length in spells)
    times = sorted(data.draw(st.lists(st.integers(0, 2 * 10**15), min_size=2, max_size=30)))
    places = [axis.place(time) for time in times]
    assert all(left <= right + 1e-9 for left, right in itertools.pairwise(places))
    assert min(places) >= 0
    assert max(places) <= 1


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 60))
def test_a_bar_is_seen_and_fits(one: float, other: float, width: int) -> None:
    drawn = bar(min(one, other), max(one, other), width)
    assert drawn.strip()
    assert len(drawn) <= width
