"""What a reviewer found: each once wrong, each a sentence now."""

from __future__ import annotations

import pytest

import otel_phi
from otel_phi.events import AgentEnd, AgentEvent, AgentStart, Instant, ParallelLoopEnd, ParallelLoopStart
from otel_phi.recorder import references
from otel_phi.recorder.references import ahead_of

NS = 1_780_000_000_000_000_000


def start(loop: str, at: int, session: str = "s", parent: str | None = None) -> AgentStart:
    return AgentStart(session_id=session, loop_id=loop, timestamp=Instant(NS + at), parent_loop_id=parent)


def end(loop: str, at: int) -> AgentEnd:
    return AgentEnd(loop_id=loop, timestamp=Instant(NS + at))


def test_an_open_loop_that_is_no_longer_remembered_is_not_opened_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "MAX_REMEMBERED_LOOPS", 4)
    others = [event for n in range(9) for event in (start(f"s.o.{n}", n + 1), end(f"s.o.{n}", n + 2))]
    found = list(otel_phi.spans([start("s.a.1", 0), *others, start("s.a.1", 0), end("s.a.1", 99)]))
    assert len({(span.trace_id, span.span_id) for span in found}) == len(found)
    (loop,) = (span for span in found if span.get("phi.loop.id") == "s.a.1")
    assert loop.get("phi.loop.status") == "completed"


@pytest.mark.parametrize("read_ahead", [False, True])
def test_a_reference_means_the_loop_that_started_at_the_same_instant_too(read_ahead: bool) -> None:
    events: list[AgentEvent] = [
        start("s.l.1", 1), end("s.l.1", 2), start("s.l.1", 5), start("s.child.1", 5, parent="s.l.1"),
        end("s.child.1", 6), end("s.l.1", 7),
    ]  # fmt: skip
    starts = [event for event in events if isinstance(event, AgentStart)]
    found = list(otel_phi.spans(events, ahead=ahead_of(starts) if read_ahead else None))
    (child,) = (span for span in found if span.get("phi.loop.id") == "s.child.1")
    (parent,) = (span for span in found if span.span_id == child.parent_span_id)
    assert parent.start_ns == NS + 5


def test_two_loops_of_one_instant_that_name_each_other_form_no_circle() -> None:
    events: list[AgentEvent] = [start("s.a.1", 5, parent="s.b.1"), start("s.b.1", 5, parent="s.a.1")]
    events += [end("s.a.1", 6), end("s.b.1", 6)]
    starts = [event for event in events if isinstance(event, AgentStart)]
    by_id = {span.get("phi.loop.id"): span for span in otel_phi.spans(events, ahead=ahead_of(starts))}
    assert by_id["s.b.1"].parent_span_id == by_id["s.a.1"].span_id
    assert by_id["s.a.1"].parent_span_id == by_id[None].span_id


def test_a_group_is_found_in_whatever_case_its_session_is_spelled() -> None:
    low = "6f1c5a52-7c1e-4f0e-9a51-0d3f5d1f8a03"
    up = low.upper()
    ids = (f"{low}.a.1", f"{low}.b.2")
    events: list[AgentEvent] = [
        start(f"{low}.first.1", 0, session=low),
        end(f"{low}.first.1", 1),
        ParallelLoopStart(session_id=up, loop_ids=ids),
        *(start(loop, 2, session=up) for loop in ids),
        *(end(loop, 3) for loop in ids),
        ParallelLoopEnd(session_id=up, selected_loop_id=ids[1], selected_config_index=1),
    ]
    (group,) = (span for span in otel_phi.spans(events) if span.name == "invoke_workflow phi.parallel")
    assert group.get("session.id") == low
