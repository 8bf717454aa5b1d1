"""`flush`: what killed agents left goes to a real collector; what stays is said, with why, and stays."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otel_phi.testing import Receiver
from tests.cli.conftest import Run, Start
from tests.cli.lost import ROOT, lose
from tests.cli.streams import SESSION, a_session, lines_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="record locks and SIGKILL are POSIX's")
NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there
WAIT_S = 20
SECRET = "hunter2-pa55w0rd"
Alive = Callable[..., "subprocess.Popen[bytes]"]


def destinations(run: Run) -> list[dict[str, Any]]:
    """Returns what `status --json` says of each destination."""
    found: list[dict[str, Any]] = json.loads(run("status", "--json").stdout)["destinations"]
    return found


def away(receiver: Receiver) -> None:
    """Makes the collector refuse all for now, until `forget_script`."""
    receiver.answer(status=503, times=10_000)


@pytest.fixture
def alive(start: Start, request: pytest.FixtureRequest) -> Alive:
    """Starts an agent that has recorded a session and lives on."""

    def alive(endpoint: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.cli.lost", "live", endpoint]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        request.addfinalizer(process.communicate)
        request.addfinalizer(process.kill)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(lines_of(a_session(session_id="living")))
        process.stdin.close()
        process.stdin = None
        assert process.stdout.readline() == b"ready\n"
        return process

    return alive


def test_what_a_killed_agent_left_is_shown_sent_and_gone(run: Run, receiver: Receiver) -> None:
    away(receiver)
    lose(receiver.endpoint, a_session(turns=2, ended=False)[:-1])
    receiver.forget_script()
    (before,) = destinations(run)
    assert (before["queued"] + before["roots"], before["open"], before["processes"]) == (4, 2, [])
    result = run("flush", "--endpoint", receiver.endpoint)
    assert (result.exit_code, result.stdout) == (0, f"6 spans accepted by {receiver.endpoint}/v1/traces\n")
    lost = [span.name for span in receiver.spans if span.get("error.type") == "process_lost"]
    assert (len(receiver.spans), sorted(lost)) == (6, ["invoke_agent", "turn"])
    (after,) = destinations(run)
    assert (after["queued"], after["open"], after["acknowledged"], after["bytes"]) == (0, 0, 6, 0)
    again = run("flush", "--endpoint", receiver.endpoint)
    assert (again.exit_code, again.stdout) == (0, f"nothing waits for {receiver.endpoint}/v1/traces\n")
    assert len(receiver.spans) == 6


def test_without_an_outbox_nothing_waits_and_no_folder_is_made(run: Run, tmp_path: Path) -> None:
    result = run("flush", "--state-dir", tmp_path / "none")
    assert (result.exit_code, result.stdout) == (0, "nothing waits for http://localhost:4318/v1/traces\n")
    assert not (tmp_path / "none").exists()


def test_a_collector_that_is_away_is_exit_4_in_time_and_all_stays(run: Run) -> None:
    lose(NOWHERE, a_session())
    began = time.monotonic()
    result = run("flush", "--endpoint", NOWHERE, "--give-up-after", "0.5")
    assert time.monotonic() - began < 5
    assert (result.exit_code, "5 spans stayed in the outbox: connection refused" in result.stdout) == (4, True)
    assert "is a collector running at http://127.0.0.1:9?" in result.stderr
    (left,) = destinations(run)
    assert (left["queued"] + left["roots"], left["last_error"]) == (5, "connection refused")


def test_a_collector_that_hangs_does_not_hold_it(run: Run, receiver: Receiver) -> None:
    away(receiver)
    lose(receiver.endpoint, a_session())
    receiver.forget_script()
    receiver.answer(delay_s=3, times=20)
    flags = ("--timeout", "0.3", "--give-up-after", "0.3")
    result = run("flush", "--endpoint", receiver.endpoint, *flags)
    assert (result.exit_code, "5 spans stayed in the outbox: " in result.stdout) == (4, True)
    assert "timed out" in result.stdout or "no answer within 0.3 s" in result.stdout


def test_spans_that_a_partial_success_rejects_are_exit_3(run: Run, receiver: Receiver) -> None:
    away(receiver)
    lose(receiver.endpoint, a_session())
    receiver.forget_script()
    receiver.answer(rejected=2, message="too \x1b[31mold\u202e")
    result = run("flush", "--endpoint", receiver.endpoint)
    assert result.exit_code == 3
    assert result.stdout.splitlines()[0].startswith("3 spans accepted by ")
    assert result.stdout.splitlines()[1] == "2 spans rejected: too [31mold"
    assert {"\x1b", "\u202e"}.isdisjoint(result.output)


def test_a_refused_span_is_a_dead_letter_that_retry_lets_be_sent_again(run: Run, receiver: Receiver) -> None:
    away(receiver)
    lose(receiver.endpoint, a_session())
    receiver.forget_script()
    receiver.answer(status=400, body=b"bad span", times=4)  # all five, the first three, one of them, and it alone
    result = run("flush", "--endpoint", receiver.endpoint)
    assert (result.exit_code, "refused for good:" in result.stdout) == (3, True)
    dead = destinations(run)[0]["dead_letters"]
    assert 1 <= len(dead) < 5
    assert all(letter["reason"] == "HTTP 400: bad span" and letter["span_id"] in result.stdout for letter in dead)
    assert "`otel-phi status --retry` lets them be sent again" in result.stderr
    retried = run("status", "--retry")
    assert (retried.exit_code, "queued again" in retried.stderr) == (0, True)
    result = run("flush", "--endpoint", receiver.endpoint)
    assert (result.exit_code, len(receiver.spans)) == (0, 5)
    assert len({span.span_id for span in receiver.spans}) == 5


def test_a_living_process_sends_its_own_and_is_waited_for(run: Run, receiver: Receiver, alive: Alive) -> None:
    away(receiver)
    alive(receiver.endpoint)
    threading.Timer(0.5, receiver.forget_script).start()
    result = run("flush", "--endpoint", receiver.endpoint, "--give-up-after", "20")
    assert result.exit_code == 0
    assert len(receiver.spans) == 5


def test_what_a_living_process_cannot_send_stayed_with_its_reason(run: Run, receiver: Receiver, alive: Alive) -> None:
    away(receiver)
    process = alive(receiver.endpoint)
    result = run("flush", "--endpoint", receiver.endpoint, "--give-up-after", "0.5")
    assert result.exit_code == 4
    assert f"5 spans stayed in the outbox: held by 1 living process ({process.pid}), to be sent there" in result.stdout


def test_other_headers_are_another_destination_and_it_says_so(run: Run, receiver: Receiver) -> None:
    lose(NOWHERE, a_session(), x_tenant="blue")
    result = run("flush", "--endpoint", NOWHERE)
    assert (result.exit_code, result.stdout) == (0, f"nothing waits for {NOWHERE}/v1/traces\n")
    assert f"5 more spans for {NOWHERE}/v1/traces, with other headers or protocol" in result.stderr
    result = run("flush", "--endpoint", receiver.endpoint)
    assert f"5 more spans for another collector: {NOWHERE}/v1/traces" in result.stderr


def test_a_damaged_file_costs_no_other_and_is_exit_4_once(run: Run, receiver: Receiver, tmp_path: Path) -> None:
    away(receiver)
    lose(receiver.endpoint, a_session(session_id="first"))
    (damaged,) = (tmp_path / "state" / "outbox").glob("*-*-*.sqlite3")
    lose(receiver.endpoint, a_session(session_id="second"))
    receiver.forget_script()
    damaged.write_bytes(b"no database at all" * 100)
    damaged.with_name(damaged.name + "-wal").unlink(missing_ok=True)
    result = run("flush", "--endpoint", receiver.endpoint)
    assert (result.exit_code, len(receiver.spans) >= 5) == (4, True)
    assert f"{damaged.name}" in result.stdout
    assert "cannot be read; its spans stayed" in result.stdout
    assert "set aside" in run("status").stdout
    again = run("flush", "--endpoint", receiver.endpoint)
    assert (again.exit_code, again.stdout.startswith("nothing waits")) == (0, True)


def test_ctrl_c_ends_it_and_all_stays(run: Run, start: Start) -> None:
    lose(NOWHERE, a_session())
    process = start("flush", "--endpoint", NOWHERE)
    assert process.stderr is not None
    assert b"connection refused" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=WAIT_S)
    assert (process.returncode, out.splitlines()[-1]) == (4, b"5 spans stayed in the outbox: interrupted")
    assert b"Traceback" not in error
    (left,) = destinations(run)
    assert left["queued"] + left["roots"] == 5


def test_two_at_once_send_nothing_twice(start: Start, receiver: Receiver) -> None:
    away(receiver)
    for number in range(3):
        lose(receiver.endpoint, a_session(session_id=f"session-{number}"))
    receiver.forget_script()
    processes = [start("flush", "--endpoint", receiver.endpoint) for _ in range(2)]
    for process in processes:
        process.communicate(timeout=WAIT_S)
    assert [process.returncode for process in processes] == [0, 0]
    assert len(receiver.spans) == len({span.span_id for span in receiver.spans}) == 15


def test_no_secret_is_ever_shown(run: Run, receiver: Receiver) -> None:
    events = json.loads(json.dumps(a_session()).replace("exit status 1", SECRET))
    endpoint = receiver.endpoint.replace("//", f"//user:{SECRET}@")
    away(receiver)
    lose(endpoint, events, **{"x-api-key": SECRET})
    receiver.forget_script()
    flags = ("--endpoint", endpoint, "--header", f"x-api-key={SECRET}", "--give-up-after", "0.2")
    receiver.answer(status=401, body=f"bad key {SECRET}".encode(), times=10_000)
    shown = [run("flush", *flags), run("status"), run("status", "--json")]
    receiver.forget_script()
    receiver.answer(status=400, body=f"bad key {SECRET}".encode(), times=4)
    shown += [run("flush", *flags), run("status"), run("status", "--json"), run("status", "--retry")]
    shown += [run("flush", *flags), run("flush")]
    assert [result.exit_code for result in shown] == [4, 0, 0, 3, 0, 0, 0, 0, 0]
    assert "HTTP 400: bad key" in shown[4].stdout
    assert [SECRET in result.output for result in shown] == [False] * len(shown)
    assert len(receiver.spans) == 5


def test_no_secret_of_a_url_is_ever_shown(run: Run) -> None:
    endpoint = f"http://{SECRET}@127.0.0.1:9/{'x' * 9}?token={SECRET}"
    lose(endpoint, a_session())
    shown = [run("flush", "--endpoint", endpoint, "--give-up-after", "0"), run("status"), run("status", "--json")]
    assert [(result.exit_code, SECRET in result.output) for result in shown] == [(4, False), (0, False), (0, False)]


def test_where_nothing_is_to_leave_it_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    result = run("flush")
    assert (result.exit_code, result.stderr) == (0, "otel-phi: OTEL_SDK_DISABLED is true: nothing is sent\n")


def test_a_bad_flag_is_exit_2_with_the_fix(run: Run) -> None:
    result = run("flush", "--endpoint", "localhost:4318")
    assert (result.exit_code, result.stdout, "write 'http://localhost:4318'" in result.stderr) == (2, "", True)


def test_the_session_s_trace_is_whole(run: Run, receiver: Receiver) -> None:
    away(receiver)
    lose(receiver.endpoint, a_session())
    receiver.forget_script()
    run("flush", "--endpoint", receiver.endpoint)
    assert {span.trace_id for span in receiver.spans} == {int(SESSION.replace("-", ""), 16)}
    parents = {span.parent_span_id for span in receiver.spans} - {0}
    assert parents <= {span.span_id for span in receiver.spans}
