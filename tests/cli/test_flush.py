"""`flush`: what killed agents left goes to a real collector; what stays is said, with why, and stays."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from otel_phi.testing import Receiver
from tests.cli.conftest import Run, Start
from tests.cli.lost import Alive, lose
from tests.cli.streams import SESSION, a_session

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="record locks and SIGKILL are POSIX's")
NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there
WAIT_S = 20
SECRET = "hunter2-pa55w0rd"


def destinations(run: Run) -> list[dict[str, Any]]:
    """Returns what `status --json` says of each destination."""
    found: list[dict[str, Any]] = json.loads(run("status", "--json").stdout)["destinations"]
    return found


def segments() -> list[Path]:
    """Returns the files of all journals of the state folder that the environment names."""
    return sorted(Path(os.environ["OTEL_PHI_STATE_DIR"]).glob("outbox/*/*/*.journal"))


def away(receiver: Receiver) -> None:
    """Makes the collector refuse all for now, until `forget_script`."""
    receiver.answer(status=503, times=10_000)


def test_what_a_killed_agent_left_is_shown_sent_and_gone(run: Run, receiver: Receiver) -> None:
    away(receiver)
    lose(receiver.endpoint, a_session(turns=2, ended=False)[:-1])
    receiver.forget_script()
    (before,) = destinations(run)
    assert (before["waiting"], before["processes"]) == (12, [])
    assert before["open"] == {"loops": 1, "turns": 1, "groups": 0}
    result = run("flush", "--endpoint", receiver.endpoint)
    assert (result.exit_code, result.stdout) == (0, f"8 spans accepted by {receiver.endpoint}/v1/traces\n")
    lost = [span.name for span in receiver.spans if span.get("error.type") == "process_lost"]
    assert (len(receiver.spans), sorted(lost)) == (8, ["invoke_agent", "turn"])
    (after,) = destinations(run)
    assert (after["waiting"], sum(after["open"].values()), after["acknowledged"], after["bytes"]) == (0, 0, 8, 0)
    again = run("flush", "--endpoint", receiver.endpoint)
    assert (again.exit_code, again.stdout) == (0, f"nothing waits for {receiver.endpoint}/v1/traces\n")
    assert len(receiver.spans) == 8


def test_without_an_outbox_nothing_waits_and_no_folder_is_made(run: Run, tmp_path: Path) -> None:
    result = run("flush", "--state-dir", tmp_path / "none")
    assert (result.exit_code, result.stdout) == (0, "nothing waits for http://localhost:4318/v1/traces\n")
    assert not (tmp_path / "none").exists()


def test_a_collector_that_is_away_is_exit_4_in_time_and_all_stays(run: Run) -> None:
    lose(NOWHERE, a_session())
    began = time.monotonic()
    result = run("flush", "--endpoint", NOWHERE, "--give-up-after", "0.5")
    assert time.monotonic() - began < 5
    assert (result.exit_code, "8 facts stayed in the outbox: connection refused" in result.stdout) == (4, True)
    assert "is a collector running at http://127.0.0.1:9?" in result.stderr
    (left,) = destinations(run)
    assert (left["waiting"], left["last_error"]) == (8, "connection refused")


def test_a_collector_that_hangs_does_not_hold_it(run: Run, receiver: Receiver) -> None:
    away(receiver)
    lose(receiver.endpoint, a_session())
    receiver.forget_script()
    receiver.answer(delay_s=3, times=20)
    flags = ("--timeout", "0.3", "--give-up-after", "2")
    result = run("flush", "--endpoint", receiver.endpoint, *flags)
    assert (result.exit_code, "8 facts stayed in the outbox: " in result.stdout) == (4, True)
    assert "timed out" in result.stdout or "no answer within 0.3 s" in result.stdout


def test_spans_that_a_partial_success_rejects_are_exit_3(run: Run, receiver: Receiver) -> None:
    away(receiver)
    lose(receiver.endpoint, a_session())
    receiver.forget_script()
    receiver.answer(rejected=1, message="too \x1b[31mold\u202e")
    result = run("flush", "--endpoint", receiver.endpoint)
    assert result.exit_code == 3
    assert result.stdout.splitlines()[0].startswith("4 spans accepted by ")
    assert result.stdout.splitlines()[1] == "1 span rejected: too [31mold"
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
    assert (retried.exit_code, "to be sent again" in retried.stderr) == (0, True)
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
    assert f"8 facts stayed in the outbox: held by 1 living process ({process.pid}), to be sent there" in result.stdout


def test_what_has_other_headers_stays_and_it_says_so(run: Run, receiver: Receiver) -> None:
    away(receiver)
    lose(receiver.endpoint, a_session(session_id="blue"), x_tenant="blue")
    lose(receiver.endpoint, a_session(session_id="red"), x_tenant="red")
    receiver.forget_script()
    result = run("flush", "--endpoint", receiver.endpoint)
    assert (result.exit_code, "nothing waits for " in result.stdout, "with these headers" in result.stdout) == (
        4,
        True,
        True,
    )
    assert f"16 more facts for {receiver.endpoint}/v1/traces, with other headers" in result.stderr
    result = run("flush", "--endpoint", receiver.endpoint, "--header", "x_tenant=blue")
    assert (result.exit_code, len(receiver.spans)) == (4, 5)
    assert {span.get("session.id") for span in receiver.spans} == {"blue"}
    assert f"8 more facts for {receiver.endpoint}/v1/traces, with other headers" in result.stderr
    shown = run("status").output + run("status", "--json").output
    assert "red" not in shown


def test_after_a_key_was_rotated_it_is_sent_with_any_credentials(run: Run, receiver: Receiver) -> None:
    away(receiver)
    lose(receiver.endpoint, a_session(), **{"x-api-key": SECRET})
    receiver.forget_script()
    flags = ("--endpoint", receiver.endpoint, "--header", "x-api-key=new")
    assert run("flush", *flags).exit_code == 4
    result = run("flush", *flags, "--any-credentials")
    assert (result.exit_code, len(receiver.spans)) == (0, 5)
    assert {request.headers["x-api-key"] for request in receiver.requests[-1:]} == {"new"}


def test_another_destination_is_named_and_costs_nothing(run: Run, receiver: Receiver) -> None:
    lose(NOWHERE, a_session())
    result = run("flush", "--endpoint", receiver.endpoint)
    assert (result.exit_code, result.stdout) == (0, f"nothing waits for {receiver.endpoint}/v1/traces\n")
    assert f"8 more facts for another destination: {NOWHERE}/v1/traces (http/protobuf)" in result.stderr


def test_a_damaged_line_costs_that_line_is_counted_and_no_exit_0(run: Run, receiver: Receiver) -> None:
    away(receiver)
    lose(receiver.endpoint, a_session(session_id="first"))
    (damaged,) = segments()
    lose(receiver.endpoint, a_session(session_id="second"))
    receiver.forget_script()
    content = damaged.read_bytes()
    damaged.write_bytes(content.replace(b'"tool_name":"bash"', b'"tool_name":"ba\0h"', 1))
    (before,) = destinations(run)
    assert before["damaged_lines"] == 1
    assert "1 line, lost; all others are sent" in run("status").stdout
    result = run("flush", "--endpoint", receiver.endpoint)
    assert (result.exit_code, "1 line could not be read any more" in result.stdout) == (1, True)
    assert "a line that was changed" in result.stderr
    assert len(receiver.spans) >= 9
    again = run("flush", "--endpoint", receiver.endpoint)
    assert (again.exit_code, again.stdout.startswith("nothing waits")) == (0, True)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [(b"otel-phi journal 9\n", "format 9 is not ours (1)"), (b"no head at all " * 6000, "its head is damaged")],
)
def test_what_nobody_can_read_is_left_alone_and_never_exit_0(
    run: Run, receiver: Receiver, broken: bytes, reason: str
) -> None:
    away(receiver)
    lose(receiver.endpoint, a_session(session_id="first"))
    (path,) = segments()
    for number in path.parent.glob("*.reserve"):
        number.unlink()
    content = path.read_bytes()
    path.write_bytes(
        broken + (content if len(broken) > 100 else content[len(broken) :].replace(b'"Head"', b'"Kopf"', 1))
    )
    lose(receiver.endpoint, a_session(session_id="second"))
    receiver.forget_script()
    for _ in range(2):
        result = run("flush", "--endpoint", receiver.endpoint)
        assert (result.exit_code, reason in result.stdout, len(receiver.spans)) == (4, True, 5)
    assert "left alone" in run("status").stdout
    assert reason in json.loads(run("status", "--json").stdout)["left_alone"][0]["reason"]
    assert path.exists()


def test_a_folder_that_only_lost_its_lock_is_waited_for(run: Run, receiver: Receiver) -> None:
    away(receiver)
    lose(receiver.endpoint, a_session())
    receiver.forget_script()
    (path,) = segments()
    (path.parent / "lock").unlink()
    result = run("flush", "--endpoint", receiver.endpoint, "--give-up-after", "0.5")
    assert (result.exit_code, len(receiver.spans)) == (0, 5)


def test_it_waits_for_what_a_living_process_held_and_not_for_what_comes_after(
    run: Run, receiver: Receiver, alive: Alive
) -> None:
    alive(receiver.endpoint, talks=True)
    receiver.wait_for(5, WAIT_S)
    result = run("flush", "--endpoint", receiver.endpoint, "--give-up-after", "20")
    assert result.exit_code == 0


def test_a_process_that_dies_while_it_is_waited_for_is_adopted(run: Run, receiver: Receiver, alive: Alive) -> None:
    away(receiver)
    process = alive(receiver.endpoint)
    timer = threading.Timer(0.5, process.kill)
    timer.start()
    threading.Timer(1.0, receiver.forget_script).start()
    result = run("flush", "--endpoint", receiver.endpoint, "--give-up-after", "20")
    timer.join()
    assert (result.exit_code, len({span.span_id for span in receiver.spans})) == (0, 5)


def test_a_name_finds_what_an_agent_with_headers_that_are_asked_for_left(run: Run, receiver: Receiver) -> None:
    away(receiver)
    lose(receiver.endpoint, a_session(), asks="tenant-7")
    receiver.forget_script()
    assert run("flush", "--endpoint", receiver.endpoint).exit_code == 0
    assert len(receiver.spans) == 0
    flags = ("--endpoint", receiver.endpoint, "--destination-name", "tenant-7", "--header", "x-api-key=asked")
    result = run("flush", *flags)
    assert (result.exit_code, len(receiver.spans)) == (0, 5)


def test_ctrl_c_ends_it_and_all_stays(run: Run, start: Start) -> None:
    lose(NOWHERE, a_session())
    process = start("flush", "--endpoint", NOWHERE)
    assert process.stderr is not None
    assert b"connection refused" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=WAIT_S)
    assert (process.returncode, out.splitlines()[-1]) == (4, b"8 facts stayed in the outbox: interrupted")
    assert b"Traceback" not in error
    (left,) = destinations(run)
    assert left["waiting"] == 8


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
