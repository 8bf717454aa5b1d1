"""Every door asks policy before its recorder: nothing that was written reaches one, nor what any door keeps or says."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import otel_phi
from otel_phi.cli.outlets import outlet
from otel_phi.errors import DecodeError
from otel_phi.events import (
    AgentEvent,
    GenericEvent,
    InputRejected,
    PrunApplied,
    RevertApplied,
    ToolExecutionEnd,
    ToolExecutionStart,
    ToolResult,
    TurnEnd,
    encode_event,
)
from otel_phi.recorder.core import RecorderCore
from otel_phi.testing import Receiver
from tests.policy.test_markers import printed
from tests.streams import LOOP, at, end, request, said, start, text, tool_end, turn, turn_end, user
from tests.watch.following import Following, append, log_lines

SECRET = "planted words that nobody may see"
BODY = text(SECRET)
STORY: list[AgentEvent] = [
    start(0, metadata=msgspec.Raw(json.dumps({"traceparent": SECRET, "user": SECRET}).encode())),
    user(SECRET),
    turn(1),
    request(2, messages=BODY, system_prompt=msgspec.Raw(json.dumps(SECRET).encode()), tools=BODY),
    said(3, content=BODY, error_message=SECRET, stop_reason="error"),
    ToolExecutionStart(loop_id=LOOP, tool_call_id="c1", tool_name="bash", args=BODY),
    ToolExecutionEnd(
        loop_id=LOOP,
        tool_call_id="c1",
        tool_name="bash",
        is_error=True,
        result=ToolResult(content=BODY, details=BODY),
    ),
    tool_end("c2", SECRET, error=SECRET),
    PrunApplied(loop_id=LOOP, memo=SECRET, timestamp=at(4)),
    RevertApplied(loop_id=LOOP, category=SECRET, summary=SECRET, reason=SECRET, timestamp=at(4)),
    InputRejected(loop_id=LOOP, reason=SECRET),
    turn_end(5),
    end(6, messages=BODY, rejection=SECRET),
]
LINES = [encode_event(event) for event in STORY]
LINES.insert(4, json.dumps({"type": "Newer", "loop_id": LOOP, "more": SECRET}).encode())


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[AgentEvent]:
    """Collects every event that a recorder is given."""
    found: list[AgentEvent] = []
    taken = RecorderCore.on_event

    def on_event(core: RecorderCore, event: AgentEvent, caller: str | None = None) -> Any:
        found.append(event)
        return taken(core, event, caller)

    monkeypatch.setattr(RecorderCore, "on_event", on_event)
    return found


def through_spans(_: Path) -> None:
    assert list(otel_phi.spans(STORY))
    assert list(otel_phi.spans(LINES))
    assert list(otel_phi.spans(json.loads(line) for line in LINES))


def through_a_bridge(folder: Path) -> None:
    for live in (False, True):
        with otel_phi.Bridge(live=live, file=str(folder / f"{live}.jsonl")) as bridge:
            bridge.feed(STORY)
            bridge.feed(LINES)


def through_the_hook(folder: Path) -> None:
    forms: list[list[Any]] = [
        list(STORY),
        [*LINES],
        [json.loads(line) for line in LINES],
        [bytearray(one) for one in LINES],
    ]
    with Receiver() as receiver:
        hook = otel_phi.install(endpoint=receiver.endpoint, state_dir=folder / "state", flush_on_sigterm=False)
        for form in forms:
            for event in form:
                hook(event)
        assert hook.shutdown(10.0)
        assert SECRET not in repr(list(receiver.spans))


def through_pipe(folder: Path) -> None:
    with Receiver() as receiver:
        opened = outlet(otel_phi.resolve(endpoint=receiver.endpoint, state_dir=folder / "state"), None, lambda _: None)
        opened.feed(STORY)
        assert opened.finish(10.0) == ""
        opened.close(whole=True)
        assert SECRET not in repr(list(receiver.spans))


def through_a_watch(folder: Path) -> None:
    (folder / "logs").mkdir()
    with Following(folder / "logs", folder / "state") as following:
        append(folder / "logs" / "a.jsonl", b"".join(log_lines(STORY)))
        following.round()
        assert SECRET not in repr(following.backend.spans)


DOORS: list[Callable[[Path], None]] = [
    through_spans,
    through_a_bridge,
    through_the_hook,
    through_pipe,
    through_a_watch,
]


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_no_content_reaches_a_recorder_a_file_or_a_log(
    door: Callable[[Path], None], tmp_path: Path, recorded: list[AgentEvent], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        door(tmp_path)
    assert len(recorded) >= len(STORY)
    assert [event for event in recorded if not isinstance(event, GenericEvent) and SECRET in printed(event)] == []
    assert SECRET not in repr([event.type for event in recorded if isinstance(event, GenericEvent)])
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "logs"]
    assert [path for path in kept if SECRET.encode() in path.read_bytes()] == []
    assert SECRET not in caplog.text


def test_what_no_event_can_hold_is_counted_or_told_of_and_costs_no_other(tmp_path: Path) -> None:
    wrong: Any = SECRET
    broken = TurnEnd(loop_id=LOOP, usage=wrong)
    with pytest.raises(DecodeError) as raised:
        list(otel_phi.spans([*STORY[:3], broken]))
    assert SECRET not in str(raised.value)
    with otel_phi.Bridge(file=str(tmp_path / "out.jsonl")) as bridge:
        bridge.feed([*STORY[:3], broken, *STORY[3:]])
    stats = bridge.stats()
    assert (stats.undecodable, stats.events, stats.open_loops) == (1, len(STORY) + 1, 0)


def _unknown(events: list[AgentEvent]) -> Iterator[bytes]:
    yield from (bytes(event.raw) for event in events if isinstance(event, GenericEvent))


def test_an_unknown_events_body_is_let_go_at_the_door(recorded: list[AgentEvent]) -> None:
    list(otel_phi.spans(LINES))
    assert list(_unknown(recorded)) == [b"null"]
