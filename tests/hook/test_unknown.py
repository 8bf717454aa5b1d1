"""What nobody understands of what an agent tells: counted by name, said once a kind with event and loop, raised where it is strict."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import otel_phi
from otel_phi.errors import StrictError
from otel_phi.events import AgentEnd, ToolExecutionStart, TurnStart, encode_event
from otel_phi.hook import Hook
from otel_phi.hook.complaints import MAX_NAMES
from tests.streams import LOOP, SESSION, end, start, turn, whole_loop

Made = Callable[..., Hook]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    hooks: list[Hook] = []

    def make(**options: Any) -> Hook:
        hooks.append(otel_phi.install(exporter="none", state_dir=tmp_path / "state", **options))
        return hooks[-1]

    yield make
    for hook in hooks:
        hook.shutdown()


def answer(**fields: Any) -> dict[str, Any]:
    return {"type": "MessageEnd", "loop_id": LOOP, "message": {"role": "assistant", **fields}}


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "otel_phi"]


STRANGE: list[tuple[Any, str, str]] = [
    (
        answer(stopReson="stop"),
        "unknown_key assistant.stopReson",
        f"MessageEnd of loop '{LOOP}' has a key that nobody knows: 'assistant.stopReson'; did you mean 'stopReason'?",
    ),
    (
        {"type": "AgentEnded", "loopId": LOOP},
        "unknown_type AgentEnded",
        f"AgentEnded of loop '{LOOP}' is an event of a type that nobody knows; did you mean 'AgentEnd'?",
    ),
    (
        {"type": "MessageEnd", "loop_id": LOOP, "message": {"role": "asistant"}},
        "unknown_role",
        f"MessageEnd of loop '{LOOP}' has a message of a role that nobody knows",
    ),
    (
        turn(1, loop="chat.2"),
        "loop_not_open",
        "TurnStart of loop 'chat.2' belongs to no open loop: tell its AgentStart first, and nothing after its AgentEnd",
    ),
]
IDS = ["key", "type", "role", "loop"]


@pytest.mark.parametrize(("event", "name", "text"), STRANGE, ids=IDS)
@pytest.mark.parametrize("form", ["dict", "text", "bytes"])
def test_it_is_counted_by_name_and_said_once_a_kind(
    form: str, event: Any, name: str, text: str, made: Made, caplog: pytest.LogCaptureFixture
) -> None:
    line = json.dumps(event) if isinstance(event, dict) else encode_event(event).decode()
    given = {"dict": json.loads(line), "text": line, "bytes": line.encode()}[form]
    hook = made()
    hook(start(0))
    for _ in range(3):
        hook(given)
    hook(end(9))
    hook.shutdown()
    found = hook.stats()
    assert (found.recorded, found.undecodable, found.failed) == (5, 0, 0)
    assert found.unknown == {name: 3}
    assert not found.troubles
    assert len(said(caplog)) == 1
    assert said(caplog)[0].startswith(text)


def test_a_good_agent_costs_no_second_look_and_hears_nothing(
    made: Made, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("otel_phi.wire.spellings.respelled")
    hook = made()
    for event in whole_loop(0):
        hook(encode_event(event))
    for event in whole_loop(0):
        hook(json.loads(encode_event(event).replace(LOOP.encode(), b"another")))
    with otel_phi.loop(session="chat", model="m") as loop, loop.model_call(), loop.tool("t", "c"):
        pass
    hook.shutdown()
    found = hook.stats()
    assert (found.undecodable, found.failed, dict(found.unknown)) == (0, 0, {})
    assert said(caplog) == []


def test_names_are_bounded_and_hold_no_text(made: Made, caplog: pytest.LogCaptureFixture) -> None:
    hook = made()
    hook(start(0))
    hook(answer(**{"what the user said": 1}))
    for number in range(MAX_NAMES + 10):
        hook({"type": f"Zap{number}", "loop_id": LOOP})
    hook.shutdown()
    found = hook.stats().unknown
    assert len(found) == MAX_NAMES + 1
    assert (found["unknown_key assistant._other"], found["more"]) == (1, 11)
    assert "user" not in " ".join(said(caplog))


def test_strict_counts_too_and_says_nothing_twice(made: Made, caplog: pytest.LogCaptureFixture) -> None:
    hook = made(strict="log")
    hook(start(0))
    for event, _, _ in STRANGE:
        hook(event)
    hook.shutdown()
    assert len(said(caplog)) == len(STRANGE)
    assert sum(hook.stats().unknown.values()) == len(STRANGE)


# --- what is no event at all ---------------------------------------------------------------------------------------------------

NO_EVENTS: list[tuple[Any, list[str]]] = [
    (
        {"type": "AgentEnd", "loop": LOOP},
        ["AgentEnd cannot be read", "missing required field `loop_id`", "'AgentEnd.loop'", "did you mean 'loop_id'"],
    ),
    (
        {"type": "TurnStart", "loopId": LOOP, "turnIndex": "first"},
        [f"TurnStart of loop '{LOOP}' cannot be read", "Expected `int`, got `str`", "$.turn_index"],
    ),
    (answer(usage={"input": "many"}), [f"MessageEnd of loop '{LOOP}'", "$.message.usage.input"]),
    ({"typ": "AgentEnd", "loop_id": LOOP}, ["no `type`", "'typ'", "did you mean 'type'"]),
    ({"loop_id": LOOP}, [f"what was given of loop '{LOOP}' cannot be read: no `type`"]),
    (b"AgentEnd", ["what was given cannot be read"]),
    (b"[]", ["not a JSON object"]),
    (7, ["a int is no event"]),
    (AgentEnd(loop_id=7), ["AgentEnd", "Expected `str`, got `int`", "$.loop_id"]),  # type: ignore[arg-type]
    (TurnStart(loop_id=LOOP, turn_index="x"), ["TurnStart", LOOP, "$.turn_index"]),  # type: ignore[arg-type]
    ({"type": "AgentEnd", "loop_id": LOOP, "usage": object()}, ["AgentEnd", "cannot be written as JSON"]),
]


@pytest.mark.parametrize(("given", "texts"), NO_EVENTS)
def test_strict_raises_for_what_cannot_be_read(given: Any, texts: list[str], made: Made) -> None:
    hook = made(strict=True)
    hook(start(0))
    with pytest.raises(StrictError) as raised:
        hook(given)
    assert [text for text in texts if text not in str(raised.value)] == []
    assert "first" not in str(raised.value)
    assert (hook.stats().recorded, hook.stats().undecodable) == (1, 1)
    hook(turn(1))  # the hook works on


@pytest.mark.parametrize(("given", "texts"), NO_EVENTS)
def test_else_the_first_is_a_warning_that_says_the_same(
    given: Any, texts: list[str], made: Made, caplog: pytest.LogCaptureFixture
) -> None:
    hook = made()
    for _ in range(2):
        hook(given)
    hook.shutdown()
    assert (hook.stats().undecodable, dict(hook.stats().unknown)) == (2, {})
    assert len(said(caplog)) == 1
    assert [text for text in texts if text not in said(caplog)[0]] == []


def test_a_tool_that_is_told_by_hand_in_the_other_spelling_is_the_same_tool(made: Made, tmp_path: Path) -> None:
    lines: list[str] = []
    hook = made(record=lines.append)
    hook({"type": "AgentStart", "sessionId": SESSION, "loop_id": LOOP, "timestamp": "2026-05-26T09:14:02Z"})
    hook({"type": "ToolExecutionStart", "loop_id": LOOP, "toolCallId": "c", "tool_name": "t"})
    assert lines[1] == encode_event(ToolExecutionStart(loop_id=LOOP, tool_call_id="c", tool_name="t")).decode()
