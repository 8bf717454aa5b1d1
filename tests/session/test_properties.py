"""What holds for every stream: the form of an event is nothing, a saved session comes back, no ended loop is lost, memory returns."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from otel_phi.events import AgentEnd, AgentEvent, AgentStart, MessageEnd, ParallelLoopStart, TurnStart, encode_event
from otel_phi.session import turns as session_turns
from otel_phi.session.files import load_session, save_session
from otel_phi.session.model import Session
from otel_phi.session.recorder import SessionRecorder, SessionRecorderConfig
from tests import golden
from tests.streams import LOOP, Mutilated, at, end, mutilated, start, turn, user, wild_streams

STREAMS = golden.small_streams()
Step = AgentEvent | str
EVERYTHING = SessionRecorderConfig(include_streaming_events=True, capture_turn_requests=True)

_operations = st.lists(st.tuples(st.integers(0, 80), st.sampled_from(["checkpoint", "flush"])), max_size=4)
streams = st.one_of(wild_streams, mutilated(STREAMS).map(lambda recipe: recipe.of(STREAMS)))


def folded(events: list[Any], operations: list[tuple[int, str]]) -> SessionRecorder:
    """Feeds events, checkpoints and flushes between them, and flushes at the end."""
    recorder = SessionRecorder(EVERYTHING)
    for number, event in enumerate(events):
        for _, operation in (one for one in operations if one[0] == number):
            getattr(recorder, operation)()
        recorder.on_event(event)
    recorder.flush()
    return recorder


def printed(event: AgentEvent) -> bytes | None:
    """Returns an event's line, None where the event holds what no JSON can: time out of range, broken parts."""
    try:
        line = encode_event(event)
        json.loads(line)
    except ValueError:
        return None
    return line


@given(events=streams, operations=_operations)
def test_structs_dicts_text_and_bytes_give_equal_sessions(
    events: list[AgentEvent], operations: list[tuple[int, str]]
) -> None:
    fit = [(event, line) for event in events if (line := printed(event)) is not None]
    forms: list[list[Any]] = [
        [event for event, _ in fit],
        [json.loads(line) for _, line in fit],
        [json.dumps(json.loads(line), indent=1) for _, line in fit],
        [line for _, line in fit],
    ]
    first, *others = (folded(form, operations) for form in forms)
    for other in others:
        assert list(other.sessions()) == list(first.sessions())
        assert other.counts == first.counts


@given(events=streams, operations=_operations)
def test_a_saved_session_comes_back_equal(events: list[AgentEvent], operations: list[tuple[int, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for session in folded(events, operations).sessions():
            assert load_session(save_session(session, folder)) == session


@given(events=streams, operations=st.lists(st.tuples(st.integers(0, 80), st.just("checkpoint")), max_size=4))
def test_no_loop_whose_start_and_end_were_seen_is_missing(
    events: list[AgentEvent], operations: list[tuple[int, str]]
) -> None:
    recorder = folded([event for event in events if printed(event)], operations)
    running: set[str] = set()
    ended: Counter[str] = Counter()
    for event in events:
        if isinstance(event, AgentStart) and printed(event):
            running.add(event.loop_id)
        elif isinstance(event, AgentEnd) and event.loop_id in running and printed(event):
            running.discard(event.loop_id)
            ended[event.loop_id] += 1
    records = [record for session in recorder.sessions() for record in session.loops]
    assert Counter(record.loop_id for record in records if record.status.value != "Aborted") == ended
    assert {record.loop_id for record in records if record.status.value == "Aborted"} == running


@given(events=streams, operations=_operations)
def test_memory_falls_back_to_what_is_open(events: list[AgentEvent], operations: list[tuple[int, str]]) -> None:
    recorder = SessionRecorder()
    for event in events:
        recorder.on_event(event)
    before = {session.session_id: [record.loop_id for record in session.loops] for session in recorder.sessions()}
    count = recorder.checkpoint()
    drained = recorder.drain_completed()
    assert len(drained) == count
    sizes = recorder.table_sizes()
    kept = list(recorder.sessions())
    assert {session.session_id for session in [*drained, *kept]} == before.keys()
    assert sizes["completed"] == sizes["completed_first"] == sizes["completed_holders"] == 0
    assert sizes["open"] == len(kept) == sizes["running"] <= sizes["open_loops"]
    assert sizes["open_holders"] == len({record.loop_id for session in kept for record in session.loops})
    recorder.flush()
    recorder.drain_completed()
    del sizes
    rest = {name: size for name, size in recorder.table_sizes().items() if size}
    assert rest.keys() <= {"groups"}  # a parallel evaluation that never ended waits, as in phi-core


@given(recipe=mutilated(STREAMS))
def test_what_is_drained_never_changes_again(recipe: Mutilated) -> None:
    recorder, kept = SessionRecorder(), list[tuple[Session, dict[str, Any]]]()
    for number, event in enumerate(recipe.of(STREAMS)):
        recorder.on_event(event)
        if number % 5 == 4:
            recorder.checkpoint()
            kept += [(session, session.to_dict()) for session in recorder.drain_completed()]
    assert all(session.to_dict() == then for session, then in kept)


@given(line=st.one_of(st.binary(max_size=80), st.text(max_size=80), st.dictionaries(st.text(max_size=5), st.floats())))
def test_nothing_that_is_fed_raises(line: bytes | str | dict[str, float]) -> None:
    recorder = SessionRecorder()
    recorder.on_event(line)
    assert sum(recorder.counts.values()) == 1


def test_turns_of_loops_that_never_end_are_bounded() -> None:
    recorder = SessionRecorder()
    for number in range(session_turns.MOST_WAITING + 3):
        recorder.on_event({"type": "TurnStart", "loop_id": f"x.{number}", "turn_index": 0})
    assert recorder.table_sizes()["turns"] == session_turns.MOST_WAITING
    assert recorder.counts["forgotten"] == 3


def test_parallel_evaluations_that_never_end_are_bounded() -> None:
    recorder = SessionRecorder()
    for number in range(3):
        loops = tuple(f"x.{number}.{branch}" for branch in range(session_turns.MOST_WAITING // 2))
        recorder.on_event(ParallelLoopStart(session_id="s", loop_ids=loops))
    assert recorder.table_sizes()["groups"] == session_turns.MOST_WAITING
    assert recorder.counts["forgotten"] == 1


def test_messages_of_a_turn_that_never_ends_are_let_go_with_it() -> None:
    recorder = SessionRecorder()
    for event in (
        start(0),
        turn(1),
        user("one"),
        MessageEnd(loop_id=LOOP, message=None),
        TurnStart(loop_id=LOOP, timestamp=at(3)),
    ):
        recorder.on_event(event)
    recorder.on_event(end(9))
    recorder.checkpoint()
    assert [record.turns for session in recorder.drain_completed() for record in session.loops] == [[]]
    assert set(recorder.table_sizes().values()) == {0}
