"""`status`: the outbox in words and as JSON; dead letters, retry and purge, beside real processes."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from otel_phi.testing import Receiver
from tests.cli.conftest import Run, Start
from tests.cli.lost import lose
from tests.cli.streams import SESSION, a_session
from tests.delivery.live_agent import delivery_for, work

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


def refuse_one(receiver: Receiver, state: Path, body: bytes) -> None:
    """Makes a dead letter."""
    receiver.answer(status=400, body=body)
    delivery = delivery_for(receiver.endpoint, state)
    delivery.commit([work(1)])
    assert delivery.flush(5)
    assert delivery.shutdown(1)


def test_nothing_is_said_in_words(run: Run, tmp_path: Path) -> None:
    result = run("status", "--state-dir", tmp_path / "none")
    first, second = result.stdout.splitlines()
    assert (result.exit_code, first) == (0, "Nothing waits, nothing is open, no dead letters.")
    assert second.split() == ["outbox", str(tmp_path / "none" / "outbox")]
    assert not (tmp_path / "none").exists()


def test_what_a_killed_agent_left_is_shown(run: Run, state: Path) -> None:
    lose(NOWHERE, a_session(turns=2, ended=False)[:-1])
    result = run("status")
    lines = [line.split(maxsplit=1) for line in result.stdout.splitlines() if line]
    assert (result.exit_code, result.stderr, lines[2]) == (0, "", [f"{NOWHERE}/v1/traces"])
    rows = dict(lines[3:])
    assert rows["queued"].startswith("4 spans, the oldest for ")
    assert rows["open"] == "2 loops, turns and groups"
    assert rows["processes"] == "none lives: `otel-phi flush`, or the next agent, sends it"
    assert rows["so"] == "far        0 acknowledged, 0 rejected, 0 dropped"
    assert widest(result.stdout) <= 80
    assert "\x1b" not in result.output


def test_a_living_process_is_counted_and_json_says_the_same(run: Run, state: Path) -> None:
    delivery = delivery_for(NOWHERE, state)
    delivery.commit([work(1), work(2)])
    assert not delivery.flush(0.3)
    report = json.loads(run("status", "--json").stdout)
    (one,) = report["destinations"]
    assert (report["folder"], report["queued"], report["dead"]) == (str(state / "outbox"), 2, 0)
    assert (one["endpoint"], one["queued"], one["processes"]) == (f"{NOWHERE}/v1/traces", 2, [os.getpid()])
    assert f"1 lives: {os.getpid()}" in run("status").stdout
    delivery.shutdown(0.5)


def test_dead_letters_are_named_with_their_reason_within_80_columns(run: Run, receiver: Receiver, state: Path) -> None:
    refuse_one(receiver, state, ("schema of 漢字 " * 20 + "\x1b]0;title\x07\u202eevil").encode())
    result = run("status")
    assert "dead letters  1; `otel-phi status --retry` lets them be sent again" in result.stdout
    assert "1 x HTTP 400: schema of 漢字" in result.stdout
    assert f"span {1:016x} of session 6f1c5a52-7c1e-4f0e-9a51-0d3f5d1f8a01" in result.stdout
    assert widest(result.stdout) <= 80
    assert {"\x1b", "\x07", "\u202e"}.isdisjoint(result.output)
    raw = run("status", "--json").stdout
    assert (raw.isascii(), raw.rstrip("\n").isprintable()) == (True, True)
    (letter,) = json.loads(raw)["destinations"][0]["dead_letters"]
    assert (letter["span_id"], letter["session_id"]) == (f"{1:016x}", "6f1c5a52-7c1e-4f0e-9a51-0d3f5d1f8a01")


def test_retry_queues_dead_letters_again(run: Run, receiver: Receiver, state: Path) -> None:
    refuse_one(receiver, state, b"bad span")
    result = run("status", "--retry", "--json")
    report = json.loads(result.stdout)
    assert (report["retried"], report["queued"], report["dead"]) == (1, 1, 0)
    assert "1 dead letter queued again" in result.stderr
    assert run("flush", "--endpoint", receiver.endpoint).exit_code == 0
    assert [span.span_id for span in receiver.spans] == [1]


def test_purge_of_a_session_deletes_that_one_s_spans_alone(run: Run) -> None:
    lose(NOWHERE, [*a_session(), *a_session(session_id="other")])
    result = run("status", "--purge", SESSION, "--json")
    assert (result.exit_code, f"5 spans of session {SESSION} deleted" in result.stderr) == (0, True)
    assert (json.loads(result.stdout)["queued"], json.loads(result.stdout)["purged"]) == (5, 5)
    assert run("status", "--purge", "nobody").stderr == "otel-phi: 0 spans of session nobody deleted\n"


def test_purge_of_all_needs_a_yes(run: Run, state: Path) -> None:
    lose(NOWHERE, a_session())
    refused = run("status", "--purge")
    assert (refused.exit_code, refused.stdout, "add --yes" in refused.stderr) == (2, "", True)
    unset = run("status", "--purge", "")
    assert (unset.exit_code, "names no session" in unset.stderr) == (2, True)
    assert json.loads(run("status", "--json").stdout)["queued"] == 5
    done = run("status", "--purge", "--yes")
    assert (done.exit_code, done.stderr) == (0, "otel-phi: 5 spans deleted\n")
    assert done.stdout.startswith("Nothing waits")
    assert [path.name for path in (state / "outbox").iterdir() if "-" in path.name and "known" not in path.name] == []


@pytest.mark.parametrize(("answer", "left"), [(b"n\n", 5), (b"y\n", 0)])
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
    assert b"Delete 5 spans that wait and 0 dead letters, unsent? [y/N]" in error
    assert json.loads(run("status", "--json").stdout)["queued"] == left


def test_retry_and_purge_exclude_each_other(run: Run) -> None:
    result = run("status", "--retry", "--purge", "--yes")
    assert (result.exit_code, "use one of them" in result.stderr) == (2, True)


def test_files_that_cannot_be_read_are_named(run: Run, state: Path) -> None:
    lose(NOWHERE, a_session())
    (path,) = (state / "outbox").glob("*-*-*.sqlite3")
    path.write_bytes(b"no database at all" * 100)
    path.with_name(path.name + "-wal").unlink(missing_ok=True)
    result = run("status")
    assert (result.exit_code, "not read" in result.stdout) == (0, True)
    assert path.name[:20] in result.stdout
    assert widest(result.stdout) <= 80


def test_a_collector_with_two_tenants_is_two_destinations_told_apart(run: Run) -> None:
    lose(NOWHERE, a_session(), x_tenant="blue")
    lose(NOWHERE, a_session(), x_tenant="red")
    heads = [line for line in run("status").stdout.splitlines() if line.startswith("http")]
    assert len(set(heads)) == 2
    assert all("blue" not in head and "red" not in head for head in heads)
