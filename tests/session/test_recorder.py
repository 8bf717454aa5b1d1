"""What a SessionRecorder does, quirk by quirk: phi-core's where phi-core is odd, ours where phi-core would fail."""

from __future__ import annotations

import msgspec
import pytest

from otel_phi.events import (
    AgentEvent,
    AgentStart,
    ConfigSnapshot,
    InputRejected,
    MessageUpdate,
    ProgressMessage,
    RevertApplied,
    Usage,
    encode_event,
)
from otel_phi.session.model import Session, Turn
from otel_phi.session.parts import LoopStatus
from otel_phi.session.recorder import SessionRecorder, SessionRecorderConfig
from tests.recorder.fed import fed, only_loop, only_session
from tests.streams import (
    LOOP,
    OTHER,
    SESSION,
    TOKENS,
    at,
    end,
    listed,
    request,
    result,
    said,
    start,
    turn,
    turn_end,
    user,
    whole_loop,
)

SECOND = f"{SESSION}.mock.2"
CHILD = f"{OTHER}.sub.1"


# --- loops and turns -----------------------------------------------------------------------------------------------------


def test_a_loop_runs_until_its_end_and_is_then_in_its_session() -> None:
    recorder = fed(start(0, parent_loop_id="x", config_snapshot=ConfigSnapshot(model="m", provider="p")))
    running = recorder.current_loop(LOOP)
    assert running is not None
    assert running.status is LoopStatus.RUNNING
    assert only_session(recorder).loops == []
    fed(end(9, usage=TOKENS), recorder=recorder)
    assert recorder.current_loop(LOOP) is None
    record = only_loop(recorder)
    assert record is running
    assert (record.status, record.started_at, record.ended_at, record.usage) == (
        LoopStatus.COMPLETED,
        at(0),
        at(9),
        TOKENS,
    )
    assert [one.sequence for one in record.events] == [0, 1]


def test_an_empty_rejection_is_one() -> None:
    record = only_loop(fed(start(0), end(1, rejection="")))
    assert (record.status, record.rejection) == (LoopStatus.REJECTED, "")


def test_a_turn_holds_its_messages_tool_results_among_the_input() -> None:
    recorder = fed(
        start(0), turn(1), user("hi"), said(3), result(5), turn_end(6, tool_results=listed(("c1", 5))), end(7)
    )
    (found,) = only_loop(recorder).turns
    assert isinstance(found, Turn)
    assert [message.__struct_config__.tag for message in found.all_messages] == [
        "user",
        "toolResult",
        "assistant",
        "toolResult",
    ]
    assert (found.index, found.duration_ns, found.has_tool_calls) == (0, 5_000_000, True)
    (tool_result,) = found.tool_results
    assert getattr(tool_result, "turn_id", None) == found.turn_id
    assert only_loop(recorder).get_turn(0) is found
    assert [only_loop(recorder).get_turn(place) for place in (-1, 1)] == [None, None]
    assert only_loop(recorder).turn_count == 1


def test_a_second_turn_start_and_an_end_of_the_loop_drop_the_open_turn() -> None:
    record = only_loop(fed(start(0), turn(1, 0), user("lost"), turn(3, 1), turn_end(4, 1), turn(5, 2), end(6)))
    assert [found.turn_id.turn_index for found in record.turns] == [1]
    assert record.turns[0].input_messages == ()


def test_a_loop_inherits_the_turn_that_was_opened_before_it_started() -> None:
    record = only_loop(fed(turn(1), user("early"), start(2), turn_end(3), end(4)))
    assert len(record.turns[0].input_messages) == 1
    assert [one.event.__class__.__name__ for one in record.events] == ["AgentStart", "TurnEnd", "AgentEnd"]


def test_a_second_start_of_a_running_loop_replaces_it() -> None:
    recorder = fed(start(0), turn(1), start(2), end(3))
    record = only_loop(recorder)
    assert record.started_at == at(2)
    assert [one.event.__class__.__name__ for one in record.events] == ["AgentStart", "AgentEnd"]
    assert recorder.checkpoint() == 1, "the replaced loop runs no more"


def test_requests_are_captured_only_where_asked_for() -> None:
    events: list[AgentEvent] = [start(0), turn(1), request(2), turn_end(3), end(4)]
    plain = only_loop(fed(*events))
    captured = only_loop(fed(*events, recorder=SessionRecorder(SessionRecorderConfig(capture_turn_requests=True))))
    assert plain.turns[0].request_payload is None
    assert captured.turns[0].request_payload is not None
    assert plain.events == captured.events, "the event itself is stored either way"


def test_deltas_are_stored_only_where_asked_for_and_leave_no_gap() -> None:
    events: list[AgentEvent] = [start(0), MessageUpdate(loop_id=LOOP), end(4)]
    assert [one.sequence for one in only_loop(fed(*events)).events] == [0, 1]
    streaming = SessionRecorder(SessionRecorderConfig(include_streaming_events=True))
    assert len(only_loop(fed(*events, recorder=streaming)).events) == 3


def test_reverts_and_events_without_a_loop_id_are_never_stored() -> None:
    events: list[AgentEvent] = [
        ProgressMessage(loop_id=""),
        InputRejected(loop_id=""),
        RevertApplied(loop_id="", category="failure"),
    ]
    assert len(only_loop(fed(start(0, ""), *events, end(1, ""))).events) == 2


@pytest.mark.parametrize(
    ("loop_id", "config_id"),
    [("s.c.1", "c"), ("s.openai.gpt-4.1.2", "openai.gpt-4.1"), ("s.1", None), ("s", None), ("..", "")],
)
def test_the_first_assistant_message_gives_the_configuration_that_the_start_did_not(
    loop_id: str, config_id: str | None
) -> None:
    record = only_loop(fed(start(0, loop_id), turn(1, 0, loop_id), turn_end(2, 0, loop_id), end(3, loop_id)))
    assert record.config == ConfigSnapshot(model="mock", provider="mock", config_id=config_id)


# --- sessions ------------------------------------------------------------------------------------------------------------


def test_flush_aborts_what_runs_in_the_order_of_starts_and_gives_it_no_end() -> None:
    recorder = fed(start(0), start(1, SECOND), *whole_loop(2, f"{SESSION}.mock.3"))
    recorder.flush()
    (session,) = recorder.drain_completed()
    assert [(record.loop_id[-1], record.status.value, record.ended_at) for record in session.loops] == [
        ("3", "Completed", at(14)),
        ("1", "Aborted", None),
        ("2", "Aborted", None),
    ]
    assert list(recorder.sessions()) == []


def test_checkpoint_completes_what_does_not_run() -> None:
    recorder = fed(*whole_loop(0), start(20, CHILD, session=OTHER))
    assert recorder.checkpoint() == 1
    assert [session.session_id for session in recorder.sessions()] == [SESSION, OTHER]
    assert [session.session_id for session in recorder.drain_completed()] == [SESSION]
    assert recorder.get_session(SESSION) is None
    assert recorder.current_loop(CHILD) is not None


def test_a_session_that_comes_again_is_a_second_one_and_the_older_is_found() -> None:
    recorder = fed(*whole_loop(0))
    recorder.checkpoint()
    fed(*whole_loop(20, SECOND), recorder=recorder)
    first, second = recorder.sessions()
    assert first.session_id == second.session_id
    assert recorder.get_session(SESSION) is first


def test_a_session_keeps_its_first_agent_and_its_newest_start() -> None:
    second = msgspec.structs.replace(start(30, SECOND), agent_id="other")
    session = only_session(fed(*whole_loop(0), second, end(31, SECOND)))
    assert (session.agent_id, session.created_at, session.last_active_at) == ("agent", at(0), at(30))


def test_callbacks_come_at_the_first_start_and_at_flush_alone() -> None:
    seen: list[str] = []

    def before(session: Session) -> bool:
        seen.append(f"before {session.session_id} {session.parent_spawn_ref} {len(session.loops)}")
        return False  # phi-core: changes nothing

    config = SessionRecorderConfig(
        before_task=before, after_task=lambda session: seen.append(f"after {len(session.loops)}")
    )
    recorder = fed(
        *whole_loop(0, parent_loop_id="elsewhere.c.1"), *whole_loop(20, SECOND), recorder=SessionRecorder(config)
    )
    recorder.checkpoint()
    assert seen == [f"before {SESSION} None 0"]
    fed(start(40), recorder=recorder)
    recorder.flush()
    assert seen[1:] == [f"before {SESSION} None 0", "after 1"]


def test_a_callback_that_raises_costs_nothing_but_a_count() -> None:
    def broken(_: Session) -> bool:
        raise ValueError("mine")

    recorder = fed(
        *whole_loop(0), recorder=SessionRecorder(SessionRecorderConfig(before_task=broken, after_task=broken))
    )
    recorder.flush()
    assert len(only_loop(recorder).turns) == 1
    assert recorder.counts["callback_failed"] == 2
    assert isinstance(recorder.callback_error, ValueError)


def test_a_callback_may_use_the_recorder() -> None:
    recorder = SessionRecorder()
    recorder.config = SessionRecorderConfig(before_task=lambda _: recorder.checkpoint() == 0)
    assert len(only_session(fed(*whole_loop(0), recorder=recorder)).loops) == 1


# --- what it cannot take ---------------------------------------------------------------------------------------------------


def test_what_is_no_event_is_counted_by_reason() -> None:
    recorder = SessionRecorder()
    for given in (b"", "{", b"[]", {"type": "AgentStart"}, {"loop_id": "x"}, "\ud800", {"type": object()}):
        recorder.on_event(given)
    recorder.on_event({"type": "Zap", "loop_id": "x"})
    fed(end(1), turn_end(2), recorder=recorder)
    assert recorder.counts == {"undecodable": 7, "unknown_type": 1, "no_open_loop": 2}
    assert list(recorder.sessions()) == []


def test_an_event_that_phi_core_would_refuse_is_mended() -> None:
    given = {
        "type": "AgentStart",
        "session_id": "s",
        "loop_id": "s.c.1",
        "timestamp": "2026-05-25T17:20:00Z",
        "continuation_kind": None,
        "agent_id": None,
    }
    done = {
        "type": "AgentEnd",
        "loop_id": "s.c.1",
        "messages": None,
        "usage": {"input": 3.0, "output": None},
        "timestamp": None,
    }
    recorder = SessionRecorder()
    recorder.on_event(given)
    recorder.on_event(done)
    record = only_loop(recorder)
    assert (record.continuation_kind, record.agent_id, record.messages, record.ended_at) == ("Initial", "", (), None)
    assert record.usage == Usage(input=3)
    assert record.status is LoopStatus.COMPLETED


def test_an_event_is_held_apart_from_the_line_it_came_in() -> None:
    line = bytearray(
        encode_event(
            AgentStart(session_id="s", loop_id="l", timestamp=at(0), metadata=msgspec.Raw(b'{"b": 1, "a": 2}'))
        )
    )
    recorder = SessionRecorder()
    recorder.on_event(bytes(line))
    record = recorder.current_loop("l")
    assert record is not None
    assert bytes(record.metadata) == b'{"a":2,"b":1}'
