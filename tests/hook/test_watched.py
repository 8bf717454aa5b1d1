"""A hook with `strict` and `record`: what is raised, what is written down, in which order; and that it costs nothing without."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import otel_phi
from otel_phi.errors import ConfigError, StrictError
from otel_phi.events import decode_event, encode_event
from otel_phi.hook import Hook
from otel_phi.hook.recording import Recording
from otel_phi.pipeline import spans
from otel_phi.sources.reader import read_events
from tests.streams import LOOP, OWN_CASES, SESSION, end, start, turn, whole_loop

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


STRANGE = [
    (b'{"type":"AgentStarted","loop_id":"x"}', "did you mean 'AgentStart'"),
    (encode_event(end(3)).replace(b'"timestamp"', b'"timestmp"'), "AgentEnd.timestmp'; did you mean 'timestamp'"),
    (turn(1, 0, "never"), "belongs to no open loop"),
    (json.loads(encode_event(turn(1, 0, "never"))), "belongs to no open loop"),
]


@pytest.mark.parametrize(("event", "says"), STRANGE)
def test_what_nobody_understands_is_raised_from_the_hook_and_its_taps(made: Made, event: Any, says: str) -> None:
    hook = made(strict=True)
    hook(start(0))
    with pytest.raises(StrictError, match=says):
        hook(event)
    with pytest.raises(StrictError, match=says):
        list(hook.tap([event]))
    found = hook.stats()
    assert (found.recorded, found.failed) == (3, 0)


def test_the_environment_asks_for_it_and_log_logs_each(
    made: Made, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_PHI_STRICT", "1")
    hook = made()
    with pytest.raises(StrictError):
        hook(turn(1))
    hook.shutdown()
    hook = made(strict="log")
    for _ in range(3):
        hook(turn(1))
    assert len([record for record in caplog.records if "belongs to no open loop" in record.getMessage()]) == 3
    with pytest.raises(ConfigError, match="strict"):
        otel_phi.resolve(strict="sometimes")


def test_a_good_agent_does_not_notice(made: Made) -> None:
    hook = made(strict=True)
    for event in [*whole_loop(0), *OWN_CASES["own agent"]]:
        hook(encode_event(event))
    with otel_phi.loop(session="chat", model="m") as loop, loop.model_call(), loop.tool("t", "c"):
        pass


def test_a_record_gives_the_same_spans_again_without_content(made: Made, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    hook = made(record=path)
    said = (
        b'{"type":"MessageEnd","loop_id":"%s","message":{"role":"user","content":"secret","timestamp":1}}'
        % LOOP.encode()
    )
    story: list[Any] = [start(0), said, *OWN_CASES["own agent"][1:]]
    for event in story:
        hook(event, traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    hook.shutdown()
    assert b"secret" not in path.read_bytes()
    again = list(read_events(str(path)))
    assert len(again) == len(story)
    kinds = [type(event).__name__ for event in again]
    assert kinds[0] == "AgentStart"
    loops = [span for span in spans(again) if span.links]
    assert any(dict(link.attributes).get("phi.link.kind") == "caller" for span in loops for link in span.links)


def test_a_record_is_in_the_order_of_the_journal_whoever_calls(made: Made) -> None:
    lines: list[str] = []
    hook = made(record=lines.append)
    hook(start(0))

    def tell(number: int) -> None:
        for index in range(50):
            hook(turn(index, number * 50 + index))

    threads = [threading.Thread(target=tell, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    hook(end(99))
    found = [decode_event(line) for line in lines]
    assert len(found) == 202 == hook.stats().recorded
    assert [type(found[0]).__name__, type(found[-1]).__name__] == ["AgentStart", "AgentEnd"]
    assert SESSION in lines[0]


def test_a_tap_s_own_end_is_in_it(made: Made) -> None:
    lines: list[str] = []
    tap = made(record=lines.append).tap(iter([start(0), turn(1)]))
    next(tap)
    tap.close()  # type: ignore[attr-defined]  # a generator
    assert [json.loads(line)["type"] for line in lines] == ["AgentStart", "AgentEnd"]
    assert json.loads(lines[-1])["outcome"] == "cancelled"


def test_without_them_nothing_of_it_is_loaded(made: Made) -> None:
    watched = sys.modules.pop("otel_phi.hook.watched", None)
    try:
        hook: Any = made()
        assert type(hook.shutdown.__self__) is Recording
        assert "otel_phi.hook.watched" not in sys.modules
    finally:
        if watched is not None:
            sys.modules["otel_phi.hook.watched"] = watched
