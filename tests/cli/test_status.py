"""`status`: the outbox in words and as JSON; dead letters, retry and purge, beside real processes."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from otel_phi.cli.outbox.view import settled_to, view_of
from otel_phi.testing import Receiver
from tests.cli.conftest import Run, Start
from tests.cli.lost import Alive, lose
from tests.cli.streams import SESSION, a_session
from tests.cli.test_flush import segments

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="record locks and SIGKILL are POSIX's")
NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there
WAIT_S = 20


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Returns the state folder that the environment names."""
    return tmp_path / "state"


def widest(shown: str) -> int:
    """Returns the columns of the widest line; the path of the outbox stays whole."""
    return max(cell_len(line) for line in shown.splitlines() if not line.startswith("outbox"))


def report(run: Run) -> dict[str, Any]:
    """Returns what `status --json` says."""
    found: dict[str, Any] = json.loads(run("status", "--json").stdout)
    return found


def refuse(run: Run, receiver: Receiver, body: bytes, **headers: str) -> tuple[str, ...]:
    """Makes two dead letters, a session's root and its loop, however they were cut into requests; returns flush's flags."""
    receiver.answer(status=503, times=10_000)
    lose(receiver.endpoint, a_session(turns=0, ended=False), **headers)
    receiver.forget_script()
    receiver.answer(status=400, body=body, times=10_000)
    flags = [flag for name, value in headers.items() for flag in ("--header", f"{name}={value}")]
    assert run("flush", "--endpoint", receiver.endpoint, *flags).exit_code == 3
    receiver.forget_script()
    assert receiver.spans == ()
    return ("--endpoint", receiver.endpoint, *flags)


def test_nothing_is_said_in_words(run: Run, tmp_path: Path) -> None:
    result = run("status", "--state-dir", tmp_path / "none")
    first, second = result.stdout.splitlines()
    assert (result.exit_code, first) == (0, "Nothing waits, nothing is open, no dead letters.")
    assert second.split() == ["outbox", str(tmp_path / "none" / "outbox")]
    assert not (tmp_path / "none").exists()


def test_what_a_killed_agent_left_is_shown(run: Run) -> None:
    lose(NOWHERE, a_session(turns=2, ended=False)[:-1])
    result = run("status")
    lines = [line.split(maxsplit=1) for line in result.stdout.splitlines() if line]
    assert (result.exit_code, result.stderr, lines[2]) == (0, "", [f"{NOWHERE}/v1/traces", "(http/protobuf)"])
    rows = dict(lines[3:])
    assert rows["waits"].startswith("12 facts, the oldest for ")
    assert rows["open"] == "1 loop, 1 turn"
    assert rows["processes"] == "none lives: `otel-phi flush`, or the next agent, sends it"
    assert rows["so"] == "far        0 acknowledged, 0 rejected, 0 dropped"
    assert widest(result.stdout) <= 80
    assert "\x1b" not in result.output


def test_a_living_process_is_counted_and_json_says_the_same(run: Run, alive: Alive, state: Path) -> None:
    process = alive(NOWHERE)
    found = report(run)
    (one,) = found["destinations"]
    assert (found["folder"], found["waiting"], found["dead"]) == (str(state / "outbox"), 8, 0)
    assert (one["destination"], one["waiting"]) == (f"{NOWHERE}/v1/traces (http/protobuf)", 8)
    assert (one["processes"], one["damaged_lines"]) == ([process.pid], 0)
    words = run("status").stdout
    assert f"1 lives: {process.pid}" in words
    assert "8 facts, the oldest for " in words


def test_the_words_and_the_json_are_of_the_same_numbers(run: Run, receiver: Receiver) -> None:
    flags = refuse(run, receiver, b"bad span")
    receiver.answer(status=503, times=10_000)
    lose(receiver.endpoint, a_session())
    receiver.forget_script()
    assert run("flush", *flags).exit_code == 3
    receiver.answer(status=503, times=10_000)
    lose(receiver.endpoint, a_session(session_id="other", turns=3, ended=False)[:-1])
    words, (one,) = run("status").stdout, report(run)["destinations"]
    assert (one["waiting"], one["open"]["loops"], one["dead"]) == (18, 1, 2)
    assert (
        4 <= one["acknowledged"] <= 5
    )  # the session's root was refused before; who claimed it is in a folder that is gone
    for text in (
        f"{one['waiting']} facts, the oldest",
        f"{one['open']['loops']} loop, {one['open']['turns']} turn",
        f"{one['acknowledged']} acknowledged, {one['rejected']} rejected, {one['dropped']} dropped",
        f"dead letters  {one['dead']};",
    ):
        assert text in words


def test_a_destination_with_nothing_to_say_is_one_line(run: Run, receiver: Receiver) -> None:
    receiver.answer(status=503, times=10_000)
    lose(receiver.endpoint, a_session())
    receiver.forget_script()
    assert run("flush", "--endpoint", receiver.endpoint).exit_code == 0
    shown = run("status").stdout.splitlines()
    assert shown[0] == "Nothing waits, nothing is open, no dead letters."
    where = f"{receiver.endpoint}/v1/traces (http/protobuf)"
    assert " ".join(shown[3:]) == f"{where}: nothing waits; 5 acknowledged, 0 rejected, 0 dropped so far"
    assert len(shown) <= 5  # wrapped within 80 columns
    lose(NOWHERE, a_session())
    heads = [line for line in run("status").stdout.splitlines() if line.startswith("http")]
    assert heads[0].startswith(NOWHERE + "/")  # what has something to say stands first


def test_the_last_error_of_a_living_process_is_told_within_seconds(run: Run, alive: Alive) -> None:
    alive(NOWHERE)
    until = time.monotonic() + WAIT_S
    while not (one := report(run)["destinations"][0])["last_error"] and time.monotonic() < until:
        time.sleep(0.1)
    assert one["last_error"] == "connection refused"
    assert "last error    connection refused, " in run("status").stdout


def test_dead_letters_are_named_with_their_reason_within_80_columns(run: Run, receiver: Receiver) -> None:
    refuse(run, receiver, ("schema of 漢字 " * 20 + "\x1b]0;title\x07\u202eevil").encode())
    result = run("status")
    assert "dead letters  2; `otel-phi status --retry` lets them be sent again" in result.stdout
    assert "2 x HTTP 400: schema of 漢字" in result.stdout
    assert f"of session {SESSION}" in result.stdout
    assert widest(result.stdout) <= 80
    assert {"\x1b", "\x07", "\u202e"}.isdisjoint(result.output)
    raw = run("status", "--json").stdout
    assert (raw.isascii(), raw.rstrip("\n").isprintable()) == (True, True)
    for letter in json.loads(raw)["destinations"][0]["dead_letters"]:
        assert f"span {letter['span_id']} of session" in result.stdout
        assert (letter["session_id"], letter["trace_id"]) == (SESSION, SESSION.replace("-", ""))


def test_retry_lets_dead_letters_be_sent_again(run: Run, receiver: Receiver, state: Path) -> None:
    flags = refuse(run, receiver, b"bad span")
    result = run("status", "--retry", "--json")
    found = json.loads(result.stdout)
    (one,) = found["destinations"]
    assert (found["retried"], found["dead"], one["retried"], one["dead"]) == (2, 0, 2, 0)
    assert "2 dead letters are to be sent again" in result.stderr
    assert "to be retried 2 dead letters" in run("status").stdout
    result = run("flush", *flags)
    assert (result.exit_code, result.stdout) == (0, f"2 spans accepted by {receiver.endpoint}/v1/traces\n")
    assert len({span.span_id for span in receiver.spans}) == 2
    assert list((state / "outbox").glob("*/*")) == []


def test_a_letter_that_is_refused_again_is_a_dead_letter_again(run: Run, receiver: Receiver) -> None:
    flags = refuse(run, receiver, b"bad span")
    run("status", "--retry")
    receiver.answer(status=400, body=b"still bad", times=10_000)
    result = run("flush", *flags)
    assert (result.exit_code, "2 spans refused for good" in result.stdout) == (3, True)
    (one,) = report(run)["destinations"]
    assert ([letter["reason"] for letter in one["dead_letters"]], one["retried"]) == (["HTTP 400: still bad"] * 2, 0)


def test_a_flush_that_cannot_send_them_keeps_them(run: Run, receiver: Receiver) -> None:
    flags = refuse(run, receiver, b"bad span")
    run("status", "--retry")
    receiver.answer(status=503, times=10_000)
    result = run("flush", *flags, "--give-up-after", "0.3")
    assert (result.exit_code, "2 letters to be retried stayed in the outbox: " in result.stdout) == (4, True)
    receiver.forget_script()
    assert (run("flush", *flags).exit_code, len(receiver.spans)) == (0, 2)


def test_a_living_process_sends_dead_letters_again(run: Run, receiver: Receiver, alive: Alive) -> None:
    refuse(run, receiver, b"bad span")
    alive(receiver.endpoint)
    run("status", "--retry")
    receiver.wait_for(2 + 5, WAIT_S)
    assert len({span.span_id for span in receiver.spans}) == 7


def test_letters_are_sent_again_by_who_has_their_credentials(run: Run, receiver: Receiver) -> None:
    blue = refuse(run, receiver, b"bad span", x_tenant="blue")
    run("status", "--retry")
    assert run("flush", "--endpoint", receiver.endpoint, "--header", "x_tenant=red").exit_code == 4
    assert receiver.spans == ()
    assert (run("flush", *blue).exit_code, len(receiver.spans)) == (0, 2)


def test_purge_of_a_session_deletes_that_one_alone(run: Run) -> None:
    lose(NOWHERE, [*a_session(), *a_session(session_id="other")])
    result = run("status", "--purge", SESSION, "--json")
    assert (result.exit_code, f"8 facts and letters of session {SESSION} deleted" in result.stderr) == (0, True)
    assert (json.loads(result.stdout)["waiting"], json.loads(result.stdout)["purged"]) == (8, 8)
    assert run("status", "--purge", "nobody").stderr == "otel-phi: 0 facts and letters of session nobody deleted\n"


def test_purge_of_a_session_takes_what_is_open_of_it(run: Run, receiver: Receiver) -> None:
    receiver.answer(status=503, times=10_000)
    lose(receiver.endpoint, [*a_session(ended=False), *a_session(session_id="other")])
    receiver.forget_script()
    run("status", "--purge", SESSION)
    (one,) = report(run)["destinations"]
    assert sum(one["open"].values()) == 0
    run("flush", "--endpoint", receiver.endpoint)
    assert {"other"} == {span.get("session.id") for span in receiver.spans}


def test_what_is_purged_under_a_living_process_never_leaves(run: Run, receiver: Receiver, alive: Alive) -> None:
    receiver.answer(status=503, times=10_000)
    alive(receiver.endpoint)
    receiver.wait_for_requests(1)
    (path,) = segments()
    assert run("status", "--purge", "living").exit_code == 0
    assert report(run)["waiting"] == 0
    end, until = view_of(path.parent, living=True).end, time.monotonic() + WAIT_S
    while (settled_to(path.parent) or end) < end and time.monotonic() < until:
        time.sleep(0.05)
    assert settled_to(path.parent) == end  # its thread has read that, and dropped what it held
    receiver.forget_script()
    assert run("flush", "--endpoint", receiver.endpoint, "--give-up-after", "20").exit_code == 0
    assert receiver.spans == ()


def test_purge_leaves_no_byte_of_a_session(run: Run, state: Path) -> None:
    lose(NOWHERE, [*a_session(tool="zebra"), *a_session(tool="zebra", session_id="other", ended=False)])
    assert any(b"zebra" in path.read_bytes() for path in segments())
    run("status", "--purge", SESSION)
    assert b"".join(path.read_bytes() for path in segments()).count(b"zebra") >= 1
    run("status", "--purge", "other")
    for path in state.rglob("*"):
        if path.is_file():
            assert b"zebra" not in path.read_bytes(), path


def test_purge_of_a_session_deletes_its_dead_letters(run: Run, receiver: Receiver) -> None:
    refuse(run, receiver, b"bad span")
    assert json.loads(run("status", "--purge", SESSION, "--json").stdout)["purged"] == 2
    assert report(run)["dead"] == 0


def test_purge_of_a_session_deletes_those_that_are_to_be_sent_again(run: Run, receiver: Receiver) -> None:
    flags = refuse(run, receiver, b"bad span")
    run("status", "--retry")
    assert json.loads(run("status", "--purge", SESSION, "--json").stdout)["purged"] == 2
    assert (report(run)["destinations"][0]["retried"], run("flush", *flags).exit_code) == (0, 0)
    assert receiver.spans == ()


def test_purge_of_all_needs_a_yes(run: Run, state: Path) -> None:
    lose(NOWHERE, a_session())
    refused = run("status", "--purge")
    assert (refused.exit_code, refused.stdout, "add --yes" in refused.stderr) == (2, "", True)
    unset = run("status", "--purge", "")
    assert (unset.exit_code, "names no session" in unset.stderr) == (2, True)
    assert report(run)["waiting"] == 8
    done = run("status", "--purge", "--yes")
    assert (done.exit_code, done.stderr) == (0, "otel-phi: 8 facts and letters deleted\n")
    assert done.stdout.startswith("Nothing waits")
    assert list((state / "outbox").glob("*/*")) == []


@pytest.mark.parametrize(("answer", "left"), [(b"n\n", 8), (b"y\n", 0)])
def test_on_a_terminal_it_asks_before_all_is_deleted(run: Run, start: Start, answer: bytes, left: int) -> None:
    lose(NOWHERE, a_session())
    ours, theirs = os.openpty()
    try:
        process = start("status", "--purge", stdin=theirs)
        os.write(ours, answer)
        _, error = process.communicate(timeout=WAIT_S)
    finally:
        os.close(ours)
        os.close(theirs)
    assert b"Delete 8 facts that wait, what is open, and 0 dead letters, unsent? [y/N]" in error
    assert report(run)["waiting"] == left


def test_retry_and_purge_exclude_each_other(run: Run) -> None:
    result = run("status", "--retry", "--purge", "--yes")
    assert (result.exit_code, "use one of them" in result.stderr) == (2, True)


def test_what_cannot_be_read_is_named(run: Run, state: Path) -> None:
    lose(NOWHERE, a_session())
    (path,) = state.glob("outbox/*/*/*.journal")
    for reserve in path.parent.glob("*.reserve"):
        reserve.unlink()
    path.write_bytes(b"no journal at all" * 100)
    result = run("status")
    assert (result.exit_code, "left alone" in result.stdout, path.parent.name[:8] in result.stdout) == (0, True, True)
    assert widest(result.stdout) <= 80
    (alone,) = report(run)["left_alone"]
    assert (alone["path"].endswith(path.parent.name), alone["reason"]) == (True, "its head is damaged")
    assert run("status", "--purge", "--yes").exit_code == 0
    assert list((state / "outbox").glob("*/*")) == []


@pytest.mark.parametrize("command", [("status",), ("flush",), ("status", "--retry"), ("status", "--purge", "--yes")])
def test_without_a_state_folder_it_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr("otel_phi.config.state_folder._platforms", lambda: None)
    monkeypatch.delenv("OTEL_PHI_STATE_DIR")
    result = run(*command)
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    assert "no state folder can be named" in result.stderr
