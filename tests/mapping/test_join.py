"""join: a loop as a child in its caller's trace, and no link that could be wrong."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from otel_phi.events import AgentEvent, ParallelLoopEnd, ParallelLoopStart
from otel_phi.mapping import semconv as s
from otel_phi.mapping.mapper import spans_of
from otel_phi.mapping.options import MappingOptions, options_for
from otel_phi.mapping.span import Span
from otel_phi.pipeline import spans
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.identities import UNKNOWN, LoopIdentity
from otel_phi.recorder.references import ahead_of
from tests.laws import identity, role, times
from tests.streams import LOOP, OTHER, SESSION, at, whole_loop

TRACE, SPAN = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
SAMPLED = f"00-{TRACE:032x}-{SPAN:016x}-01"
UNSAMPLED = f"00-{TRACE:032x}-{SPAN:016x}-00"
TWO = f"{SESSION}.mock.2"
JOIN = MappingOptions(trace_scope="loop", join=True)


def metadata(traceparent: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode({"traceparent": traceparent}))


def loops(events: list[AgentEvent], options: MappingOptions = JOIN) -> list[Span]:
    return [span for span in spans(events, options) if role(span) == "loop"]


def test_a_loop_joins_its_callers_trace_with_all_below_it() -> None:
    found = list(spans(whole_loop(0, metadata=metadata(SAMPLED)), JOIN))
    assert {span.trace_id for span in found} == {TRACE}
    (loop,) = [span for span in found if role(span) == "loop"]
    assert (loop.parent_span_id, loop.links) == (SPAN, ())
    assert [*identity(found), *times(found)] == []


def test_a_loop_without_a_caller_stays_in_a_trace_of_its_own() -> None:
    assert loops(whole_loop(0)) == loops(whole_loop(0), MappingOptions(trace_scope="loop"))


def test_a_caller_that_is_not_sampled_is_linked_and_not_joined_for_it_never_arrives() -> None:
    (loop,) = loops(whole_loop(0, metadata=metadata(UNSAMPLED)))
    assert (loop.parent_span_id, loop.trace_id != TRACE) == (0, True)
    assert [dict(link.attributes)[s.LINK_KIND] for link in loop.links] == ["caller"]


def test_a_configured_caller_is_joined_too() -> None:
    (loop,) = loops(whole_loop(0), MappingOptions(trace_scope="loop", join=True, caller=SAMPLED))
    assert (loop.trace_id, loop.parent_span_id) == (TRACE, SPAN)


@pytest.mark.parametrize("joined", ["first", "second", "both"])
def test_a_link_between_loops_ends_where_the_loop_is_joined_or_not(joined: str) -> None:
    mine: dict[str, Any] = {"metadata": metadata(SAMPLED)}
    story = [
        *whole_loop(0, **(mine if joined != "second" else {})),
        *whole_loop(20, TWO, parent_loop_id=LOOP, **(mine if joined != "first" else {})),
        *whole_loop(40, "child", session=OTHER, parent_loop_id=TWO),
    ]
    first, second, child = loops(story)
    assert (second.links[0].trace_id, second.links[0].span_id) == (first.trace_id, first.span_id)
    assert (child.links[0].trace_id, child.links[0].span_id) == (second.trace_id, second.span_id)


def test_a_source_that_reads_ahead_finds_them_at_the_same_place() -> None:
    story = [*whole_loop(0, metadata=metadata(SAMPLED)), *whole_loop(20, TWO, parent_loop_id=LOOP)]
    starts = [event for event in story if type(event).__name__ == "AgentStart"]
    assert list(spans(story, JOIN, ahead=ahead_of(starts))) == list(spans(story, JOIN))  # type: ignore[arg-type]


def test_a_group_links_to_branches_that_joined() -> None:
    one, two = f"{SESSION}.a", f"{SESSION}.b"
    story: list[AgentEvent] = [
        ParallelLoopStart(session_id=SESSION, loop_ids=(one, two), timestamp=at(0)),
        *whole_loop(1, one, metadata=metadata(SAMPLED)),
        *whole_loop(2, two),
        ParallelLoopEnd(session_id=SESSION, selected_loop_id=one, timestamp=at(20)),
    ]
    found = list(spans(story, JOIN))
    (group,) = [span for span in found if role(span) == "group"]
    places = {(span.trace_id, span.span_id) for span in found if role(span) == "loop"}
    assert {(link.trace_id, link.span_id) for link in group.links} == places


@pytest.mark.parametrize("options", [JOIN, MappingOptions(trace_scope="loop"), MappingOptions()])
def test_a_loop_that_only_another_process_saw_is_linked_unless_it_may_have_joined(options: MappingOptions) -> None:
    core = RecorderCore()
    core.remember(LoopIdentity(SESSION, LOOP, int(at(0)), UNKNOWN))
    notices = [notice for event in whole_loop(20, TWO, parent_loop_id=LOOP) for notice in core.on_event(event)]
    (loop,) = [s for notice in notices for s in spans_of(notice, options) if role(s) == "loop"]
    (known,) = loops(whole_loop(0), options)
    assert loop.get(s.LOOP_PARENT_ID) == LOOP
    if options.join:
        assert loop.links == ()
    else:
        assert [(link.trace_id, link.span_id) for link in loop.links] == [(known.trace_id, known.span_id)]


def test_a_repeated_start_is_the_same_loop_whoever_called_the_second_time() -> None:
    story = whole_loop(0, metadata=metadata(SAMPLED))
    again = whole_loop(0, metadata=metadata(UNSAMPLED))
    assert list(spans([story[0], again[0], *story[1:]], JOIN)) == list(spans(story, JOIN))


def test_join_asks_for_a_trace_a_loop() -> None:
    with pytest.raises(ValueError, match="needs trace_scope='loop'"):
        options_for(join=True)
    assert options_for("phoenix", join=True).join
