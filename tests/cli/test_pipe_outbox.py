"""`pipe` cannot read its input again: what the collector does not take waits on disk, however the process ends."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otel_phi.mapping.options import MappingOptions
from otel_phi.pipeline import spans
from otel_phi.testing import Receiver
from tests.cli.conftest import Run, Start
from tests.cli.streams import Event, a_session, lines_of
from tests.cli.test_flush import NOWHERE, away
from tests.cli.test_pipe import WAIT_S, wrote
from tests.laws import links, times

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="record locks and SIGKILL are POSIX's")
OPTIONS = MappingOptions(service_name="test")


def waiting(run: Run) -> int:
    """Returns how many facts wait."""
    found: int = json.loads(run("status", "--json").stdout)["waiting"]
    return found


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def as_count(found: Any) -> Counter[str]:
    return Counter(map(repr, found))


def expected(events: list[Event]) -> Counter[str]:
    return as_count(spans(events, OPTIONS))


def piped(start: Start, receiver: Receiver, *flags: str) -> subprocess.Popen[bytes]:
    return start("pipe", "--service-name", "test", "--endpoint", receiver.endpoint, *flags)


def test_killed_with_the_collector_down_all_arrives_once_from_the_next(
    run: Run, start: Start, receiver: Receiver
) -> None:
    away(receiver)
    process = piped(start, receiver)
    whole, broken = a_session(turns=3, session_id="first"), a_session(turns=2, session_id="second", ended=False)[:-1]
    wrote(process, lines_of([*whole, *broken]))
    wait(lambda: waiting(run) == len(whole) + len(broken))
    process.send_signal(signal.SIGKILL)
    assert process.wait(WAIT_S) == -signal.SIGKILL
    receiver.forget_script()
    after = piped(start, receiver)
    _, error = after.communicate(lines_of(a_session(session_id="third")), timeout=WAIT_S)
    assert after.returncode == 0, error
    assert b"24 spans accepted" in error
    assert b"19 spans of them left by processes that had ended" in error
    lost = [span for span in receiver.spans if span.get("error.type") == "process_lost"]
    assert sorted(span.name for span in lost) == ["invoke_agent", "turn"]
    lost_too = ("invoke_agent", "turn")  # with their calls, which had ended
    closed = as_count(span for span in spans(broken, OPTIONS) if span.name not in lost_too)
    closed += as_count(span for span in spans(broken[:7], OPTIONS) if span.name == "turn")
    sound = as_count(span for span in receiver.spans if span not in lost)
    assert sound == expected(whole) + closed + expected(a_session(session_id="third"))
    assert [*times(list(receiver.spans)), *links(list(receiver.spans))] == []
    assert waiting(run) == 0


def test_killed_at_any_moment_nothing_that_it_had_passed_on_is_lost(run: Run, start: Start, receiver: Receiver) -> None:
    """What --tee has passed on was read, and a chunk is journalled before the next is read."""
    away(receiver)
    process = piped(start, receiver, "--tee")
    assert process.stdin is not None
    assert process.stdout is not None
    passed, events = 0, [event for number in range(40) for event in a_session(session_id=f"session-{number}")]
    for event in events:
        line = lines_of([event])
        wrote(process, line)
        assert process.stdout.read(len(line)) == line
        passed += 1
    process.send_signal(signal.SIGKILL)
    process.wait(WAIT_S)
    assert passed - 1 <= waiting(run) <= passed  # the last one may have been between the two
    receiver.forget_script()
    assert run("flush", "--service-name", "test", "--endpoint", receiver.endpoint).exit_code in (0, 2)


def test_the_line_it_leaves_with_says_what_waits_and_the_command_in_it_sends_that(
    run: Run, start: Start, receiver: Receiver
) -> None:
    away(receiver)
    process = piped(start, receiver, "--header", "x-tenant=blue", "--give-up-after", "0.5")
    begin = time.monotonic()
    _, error = process.communicate(lines_of(a_session()), timeout=WAIT_S)
    assert (process.returncode, time.monotonic() - begin < 15) == (4, True)
    (line,) = [line for line in error.decode().splitlines() if "wait in the outbox" in line]
    assert line.startswith("otel-phi: 5 spans wait in the outbox; `otel-phi flush --endpoint ")
    assert "`, with the same headers, or the next agent" in line
    receiver.forget_script()
    command = shlex.split(line.split("`")[1])[1:]
    result = run(*command, "--header", "x-tenant=blue")
    assert (result.exit_code, result.stdout) == (0, f"5 spans accepted by {receiver.endpoint}/v1/traces\n")
    assert as_count(receiver.spans) == expected(a_session())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_with_a_collector_that_hangs_it_ends_in_time_and_all_stays(
    run: Run, start: Start, receiver: Receiver, number: signal.Signals
) -> None:
    receiver.answer(delay_s=30, times=100)
    process, events = piped(start, receiver), a_session(turns=2, ended=False)
    wrote(process, lines_of(events))
    receiver.wait_for_requests(1)
    begin = time.monotonic()
    process.send_signal(number)
    assert process.wait(WAIT_S) == 4
    assert (
        time.monotonic() - begin < 12
    )  # half a second for last words, 5 for the last spans, the rest is the machine's
    assert waiting(run) == len(events)


def test_it_works_beside_status_and_a_hook_s_leftovers(run: Run, start: Start, receiver: Receiver) -> None:
    process = piped(start, receiver)
    wrote(process, lines_of(a_session(turns=2, ended=False)))
    receiver.wait_for(7, WAIT_S)
    (one,) = json.loads(run("status", "--json").stdout)["destinations"]
    assert (one["processes"], one["open"]["loops"]) == ([process.pid], 1)
    assert one["destination"] == f"{receiver.endpoint}/v1/traces (http/protobuf)"
    process.communicate(lines_of(a_session(turns=2)[-1:]), timeout=WAIT_S)
    assert (process.returncode, len(receiver.spans)) == (0, 8)


def test_two_pipes_of_one_session_send_its_root_once(start: Start, receiver: Receiver) -> None:
    for first_s in (0.0, 100.0):
        process = piped(start, receiver)
        process.communicate(lines_of(a_session(first_s=first_s)), timeout=WAIT_S)
        assert process.returncode == 0
    assert Counter(span.name for span in receiver.spans)["invoke_workflow phi.session"] == 1


def test_a_file_needs_no_outbox(start: Start, tmp_path: Path) -> None:
    process = start("pipe", "--file", str(tmp_path / "out.jsonl"))
    process.communicate(lines_of(a_session()), timeout=WAIT_S)
    assert (process.returncode, (tmp_path / "out.jsonl").exists()) == (0, True)
    assert not (tmp_path / "state" / "outbox").exists()


def test_where_no_outbox_can_be_it_says_so_and_what_is_lost(start: Start, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "outbox").write_text("a file in the way")
    process = start("pipe", "--endpoint", NOWHERE, "--give-up-after", "0.2")
    _, error = process.communicate(lines_of(a_session()), timeout=WAIT_S)
    assert process.returncode == 4
    assert b"spans wait in memory, and are lost with the process: " in error
    assert b"5 spans not sent, and lost: " in error


def test_another_state_folder_can_be_named(run: Run, start: Start, tmp_path: Path) -> None:
    process = start("pipe", "--endpoint", NOWHERE, "--give-up-after", "0.2", "--state-dir", str(tmp_path / "own"))
    process.communicate(lines_of(a_session()), timeout=WAIT_S)
    assert (process.returncode, waiting(run)) == (4, 0)
    shown = json.loads(run("status", "--json", "--state-dir", str(tmp_path / "own")).stdout)
    assert shown["waiting"] == 8
