"""The record: lines that give the same spans again, from a file and from a function; and what goes wrong with it."""

from __future__ import annotations

import json
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from otel_phi.events import AgentEvent, AgentStart, GenericEvent
from otel_phi.hook.record import Record, Target, with_caller
from otel_phi.pipeline import spans
from otel_phi.sources.reader import read_events
from tests import golden
from tests.laws import as_bytes
from tests.streams import OWN_CASES, SMALL_CASES, start, whole_loop

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STREAMS = {"demo": golden.demo(), **SMALL_CASES, **OWN_CASES}


def recorded(target: Target, events: Sequence[AgentEvent]) -> Record:
    record = Record(target)
    for event in events:
        record.write(event)
    record.close()
    return record


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_file_gives_the_same_spans(name: str, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    events = [event for event in STREAMS[name] if not isinstance(event, GenericEvent)]
    record = recorded(path, events)
    assert (record.lines, record.failed) == (len(events), 0)
    assert as_bytes(spans(read_events(str(path)))) == as_bytes(spans(events))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_function_gets_each_line() -> None:
    lines: list[str] = []
    recorded(lines.append, whole_loop(0))
    assert [json.loads(line)["type"] for line in lines][:2] == ["AgentStart", "TurnStart"]
    assert as_bytes(spans(lines)) == as_bytes(spans(whole_loop(0)))


def test_the_caller_is_part_of_it() -> None:
    lines: list[str] = []
    Record(lines.append).write(start(0), CALLER)
    told = start(0, metadata=msgspec.Raw(b'{"traceparent":"%s"}' % CALLER.encode()))
    assert as_bytes(spans(lines)) == as_bytes(spans([told]))
    (loop,) = [span for span in spans(lines) if span.links]
    assert dict(loop.links[0].attributes)["phi.link.kind"] == "caller"


@pytest.mark.parametrize("metadata", [b"null", b"7", b"[1]", b'{"a":{"b":[1]}}', b'{"traceparent":"00-x"}', b"{"])
def test_a_caller_goes_into_any_metadata(metadata: bytes) -> None:
    found = with_caller(start(0, metadata=msgspec.Raw(metadata)), CALLER)
    assert isinstance(found, AgentStart)
    read = json.loads(bytes(found.metadata))
    assert read["traceparent"] == CALLER
    assert ("a" in read) == (b'"a"' in metadata)


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    recorded(path, whole_loop(0))
    recorded(str(path), whole_loop(20, "s.2"))
    assert len(path.read_bytes().splitlines()) == 2 * len(whole_loop(0))


def test_what_goes_wrong_is_counted_and_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken(line: str) -> None:
        raise RuntimeError(line)

    for target in (tmp_path / "no" / "such" / "folder", broken):
        caplog.clear()
        record = recorded(target, whole_loop(0))
        assert (record.lines, record.failed) == (0, len(whole_loop(0)))
        assert len(caplog.records) == 1
        assert "AgentStart" not in caplog.text
