"""With contents on, what may be said arrives, and a secret comes out of no door: not in requests, journals, letters, logs or status."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import otel_phi
from otel_phi.cli import main
from otel_phi.cli.outlets import outlet
from otel_phi.events import AgentEvent, encode_event
from otel_phi.testing import Receiver
from tests.policy.capture.stories import TOKEN, asks, content_story, words
from tests.streams import LOOP, end, start, turn
from tests.watch.following import Following, append, log_lines

MARKER = "planted words that may be seen"
PASSWORD = "hunter2x"
STORY: list[AgentEvent] = [
    *content_story(),
    start(50, f"{LOOP}.3"),
    turn(51, 0, f"{LOOP}.3"),
    asks(words(MARKER), 52, f"{LOOP}.3"),
    end(60, f"{LOOP}.3"),
]
LINES = [encode_event(event) for event in STORY]


def _hook(folder: Path, forms: list[list[Any]]) -> str:
    with Receiver() as receiver:
        hook = otel_phi.install(
            endpoint=receiver.endpoint, state_dir=folder / "state", flush_on_sigterm=False, capture_content=True
        )
        for form in forms:
            for event in form:
                hook(event)
        assert hook.shutdown(10.0)
        return repr(list(receiver.spans))


def through_the_hook(folder: Path) -> str:
    return _hook(folder, [list(STORY), [*LINES], [line.decode() for line in LINES]])


def through_the_front(folder: Path) -> str:
    with Receiver() as receiver:
        hook = otel_phi.install(
            endpoint=receiver.endpoint, state_dir=folder / "state", flush_on_sigterm=False, capture_content=True
        )
        with otel_phi.loop(session="s", model="m") as loop:
            with loop.model_call() as call:
                for piece in (f"{MARKER} {TOKEN[:9]}", TOKEN[9:]):
                    call.response({"choices": [{"delta": {"content": piece}}]})
            with loop.tool("deploy", arguments={"key": TOKEN, "password": PASSWORD}) as tool:
                tool.result(f"{MARKER}: {TOKEN}")
        assert hook.shutdown(10.0)
        return repr(list(receiver.spans))


def through_pipe(folder: Path) -> str:
    with Receiver() as receiver:
        config = otel_phi.resolve(endpoint=receiver.endpoint, state_dir=folder / "state", capture_content=True)
        opened = outlet(config, None, lambda _: None)
        opened.feed(STORY)
        assert opened.finish(10.0) == ""
        opened.close(whole=True)
        return repr(list(receiver.spans))


def through_a_watch(folder: Path) -> str:
    (folder / "logs").mkdir()
    with Following(folder / "logs", folder / "state", capture_content=True) as following:
        append(folder / "logs" / "a.jsonl", b"".join(log_lines(STORY)))
        following.round()
        return repr(list(following.backend.spans))


def through_an_export(folder: Path) -> str:
    (folder / "logs").mkdir()
    (folder / "logs" / "a.jsonl").write_bytes(b"\n".join(LINES))
    out = folder / "out.jsonl"
    result = CliRunner().invoke(main, ["export", "--content", str(folder / "logs"), "--file", str(out), "--final"])
    assert result.exit_code == 0, result.output
    return out.read_text(encoding="utf-8") + result.output


DOORS: list[Callable[[Path], str]] = [
    through_the_hook,
    through_the_front,
    through_pipe,
    through_a_watch,
    through_an_export,
]


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_what_may_be_said_arrives_and_no_secret_does(
    door: Callable[[Path], str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        arrived = door(tmp_path)
    assert MARKER in arrived
    for secret in (TOKEN, PASSWORD):
        assert secret not in arrived
        assert secret not in caplog.text
        kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "logs"]
        assert [path for path in kept if secret.encode() in path.read_bytes()] == []
    assert MARKER not in caplog.text


def tell_nobody(folder: Path) -> None:
    """Tells the story to a hook whose collector does not answer; it writes a record, too."""
    hook = otel_phi.install(
        endpoint="http://127.0.0.1:9",
        state_dir=folder / "state",
        flush_on_sigterm=False,
        capture_content=True,
        record=folder / "record.jsonl",
    )
    for event in STORY:
        hook(event)
    hook.shutdown(0.0)


def test_of_a_silent_collector_the_journal_holds_what_may_be_said_and_status_says_none_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        tell_nobody(tmp_path)
    journal = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    record = (tmp_path / "record.jsonl").read_bytes()
    assert MARKER.encode() in journal
    assert MARKER.encode() in record
    status = CliRunner().invoke(main, ["status", "--json", "--state-dir", str(tmp_path / "state")])
    for secret in (TOKEN, PASSWORD):
        assert secret.encode() not in journal + record
    assert MARKER not in status.output + caplog.text
    assert TOKEN not in status.output + caplog.text


def test_a_record_of_contents_draws_the_very_spans_that_the_hook_sends(tmp_path: Path) -> None:
    tell_nobody(tmp_path)
    config = otel_phi.resolve(capture_content=True)
    recorded = list(otel_phi.spans((tmp_path / "record.jsonl").read_bytes().splitlines(), config))
    assert recorded == list(otel_phi.spans(STORY, config))


def test_dead_letters_hold_what_may_be_said_and_no_secret(tmp_path: Path) -> None:
    with Receiver() as receiver:
        receiver.answer(times=1_000, status=400)
        hook = otel_phi.install(
            endpoint=receiver.endpoint, state_dir=tmp_path / "state", flush_on_sigterm=False, capture_content=True
        )
        for event in STORY:
            hook(event)
        hook.shutdown(5.0)
        asked = b"".join(request.body for request in receiver.requests)
    assert asked
    kept = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    for secret in (TOKEN, PASSWORD):
        assert secret.encode() not in kept + asked
