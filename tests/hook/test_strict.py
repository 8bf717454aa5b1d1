"""Strict mode: an event that nobody understands is raised or logged at once, with its loop, its key and the nearest known name."""

from __future__ import annotations

import pytest

from otel_phi.errors import StrictError
from otel_phi.events import AgentEvent, GenericEvent, ProgressMessage
from otel_phi.hook.strict import MAX_NAMES, MAX_OPEN, Strictness
from otel_phi.wire.spellings import UnknownKey
from tests import golden
from tests.streams import LOOP, OWN_CASES, SMALL_CASES, end, start, turn, whole_loop

STRANGE: list[tuple[AgentEvent, list[UnknownKey], str]] = [
    (
        GenericEvent(type="AgentStarted", loop_id=LOOP),
        [],
        f"AgentStarted of loop '{LOOP}' is an event of a type that nobody knows; did you mean 'AgentStart'?",
    ),
    (
        end(9),
        [UnknownKey("AgentEnd", "outcom", "outcome")],
        f"AgentEnd of loop '{LOOP}' has a key that nobody knows: 'AgentEnd.outcom'; did you mean 'outcome'?",
    ),
    (
        turn(1, loop="chat.2"),
        [],
        "TurnStart of loop 'chat.2' belongs to no open loop: tell its AgentStart first, and nothing after its AgentEnd; did you mean 'chat.1'?",
    ),
]


@pytest.mark.parametrize(("event", "unknown", "text"), STRANGE, ids=["type", "key", "loop"])
def test_it_raises_logs_each_or_warns_once_a_kind(
    event: AgentEvent, unknown: list[UnknownKey], text: str, caplog: pytest.LogCaptureFixture
) -> None:
    for mode, records in (("raise", 0), ("log", 2), ("off", 1)):
        caplog.clear()
        strict = Strictness(mode)  # type: ignore[arg-type]
        for _ in range(2):
            strict.look(start(0))
            strict.look(start(0, "chat.1"))
            if mode == "raise":
                with pytest.raises(StrictError) as raised:
                    strict.look(event, unknown)
                assert str(raised.value) == text
            else:
                strict.look(event, unknown)
        assert len(caplog.records) == records
        assert all(record.getMessage().startswith(text) for record in caplog.records)
        assert list(strict.counts.values()) == [2]


def test_good_streams_are_understood() -> None:
    strict = Strictness("raise")
    strange = {"own context"}  # holds a type of a newer version
    streams = [stream for name, stream in {**SMALL_CASES, **OWN_CASES}.items() if name not in strange]
    for stream in [golden.demo(), whole_loop(0), *streams]:
        for event in stream:
            strict.look(event)
    assert not strict.counts


def test_an_event_after_the_end_of_its_loop_belongs_to_none() -> None:
    strict = Strictness("raise")
    for event in whole_loop(0):
        strict.look(event)
    with pytest.raises(StrictError, match="belongs to no open loop"):
        strict.look(turn(99))


def test_an_event_without_a_loop_needs_none() -> None:
    Strictness("raise").look(ProgressMessage(text="x"))


def test_what_it_keeps_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    strict = Strictness()
    for number in range(MAX_OPEN + 10):
        strict.look(start(0, f"s.{number}"))
    for number in range(MAX_NAMES + 10):
        strict.look(GenericEvent(type=f"x{number}"))
    strict.look(turn(1, loop="s.0"))  # forgotten
    assert len(strict.counts) <= MAX_NAMES + 2
    assert (strict.counts["more"], len(caplog.records)) == (11, 2)
