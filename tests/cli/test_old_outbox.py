"""Outboxes of the format before the journal: read once and sent to where they were for, or set aside and named.

`tests/data/old-outbox.tar.gz` is a state folder of the version before (commit 2c72570): a session that waits, one that a killed
process left open, one with two dead letters, for http://127.0.0.1:44427 without headers.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

import otel_phi
from otel_phi.delivery.journal import filelock
from otel_phi.hook.old_outbox import old_name
from otel_phi.testing import Receiver
from tests.cli.conftest import Run
from tests.cli.lost import Alive

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="record locks and SIGKILL are POSIX's")
DATA = Path(__file__).parents[1] / "data" / "old-outbox.tar.gz"
MADE_FOR = "http://127.0.0.1:44427"
WAIT_S = 20


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Returns the outbox folder of a state folder that the version before left."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    with tarfile.open(DATA) as archive:
        archive.extractall(state)  # our own
    return state / "outbox"


def readdressed(outbox: Path, endpoint: str) -> None:
    """Gives the files the name that the version before would have given them for another collector."""
    was = old_name(otel_phi.resolve(endpoint=MADE_FOR), outbox.parent)
    name = old_name(otel_phi.resolve(endpoint=endpoint), outbox.parent)
    for path in outbox.glob(f"{was}-*"):
        path.rename(path.with_name(path.name.replace(was, name)))
    with closing(sqlite3.connect(outbox / "known.sqlite3", isolation_level=None)) as known:
        known.execute("UPDATE root SET destination = ?, owner = replace(owner, ?, ?)", (name, was, name))


def test_the_name_of_a_destination_is_the_one_the_version_before_gave_it(old: Path) -> None:
    names = {path.name.partition("-")[0] for path in old.glob("*-*-*.sqlite3")}
    assert names == {old_name(otel_phi.resolve(endpoint=MADE_FOR), old.parent)}


def test_what_waits_and_what_is_open_is_sent_once_and_the_files_are_gone(
    run: Run, receiver: Receiver, old: Path
) -> None:
    readdressed(old, receiver.endpoint)
    result = run("flush", "--endpoint", receiver.endpoint)
    assert (result.exit_code, result.stdout) == (3, f"11 spans accepted by {receiver.endpoint}/v1/traces\n")
    assert len({span.span_id for span in receiver.spans}) == len(receiver.spans) == 11
    lost = {
        span.name: span.end_ns - span.start_ns for span in receiver.spans if span.get("error.type") == "process_lost"
    }
    assert lost == {"invoke_agent": 3_000_000_001, "turn": 1}, "a loop ends with its latest child, as it did before"
    roots = [span for span in receiver.spans if span.name == "invoke_workflow phi.session"]
    assert {span.get("session.id") for span in roots} == {"waits", "open"}
    assert list(old.glob("*-*-*.sqlite3*")) == []
    again = run("flush", "--endpoint", receiver.endpoint)
    assert (again.exit_code, len(receiver.spans)) == (3, 11), "two dead letters lie there"


def test_its_dead_letters_can_be_sent_again(run: Run, receiver: Receiver, old: Path) -> None:
    readdressed(old, receiver.endpoint)
    run("flush", "--endpoint", receiver.endpoint)
    letters = json.loads(run("status", "--json").stdout)["destinations"][0]["dead_letters"]
    assert [(letter["reason"], letter["session_id"]) for letter in letters] == [("HTTP 400: bad span", "refused")] * 2
    run("status", "--retry")
    assert run("flush", "--endpoint", receiver.endpoint).exit_code == 0
    assert {f"{span.span_id:016x}" for span in receiver.spans} >= {letter["span_id"] for letter in letters}


def test_an_agent_of_this_version_sends_it_too(receiver: Receiver, old: Path, alive: Alive) -> None:
    readdressed(old, receiver.endpoint)
    alive(receiver.endpoint)
    receiver.wait_for(5 + 11, WAIT_S)
    assert len({span.span_id for span in receiver.spans}) == 16


def test_a_refused_span_of_it_is_a_dead_letter(run: Run, receiver: Receiver, old: Path) -> None:
    readdressed(old, receiver.endpoint)
    receiver.answer(status=400, body=b"worse", times=5)
    result = run("flush", "--endpoint", receiver.endpoint)
    assert (result.exit_code, "refused for good" in result.stdout) == (3, True)
    reasons = {
        letter["reason"] for letter in json.loads(run("status", "--json").stdout)["destinations"][0]["dead_letters"]
    }
    assert reasons == {"HTTP 400: bad span", "HTTP 400: worse"}


def test_one_for_another_collector_is_left_and_named_with_the_command_that_sends_it(
    run: Run, receiver: Receiver, old: Path
) -> None:
    before = sorted(path.name for path in old.glob("*.sqlite3"))
    assert run("flush", "--endpoint", receiver.endpoint).exit_code == 0
    assert (sorted(path.name for path in old.glob("*.sqlite3")), len(receiver.spans)) == (before, 0)
    alone = [one["reason"] for one in json.loads(run("status", "--json").stdout)["left_alone"]]
    assert len(alone) == 4
    assert all(f"otel-phi flush --endpoint {MADE_FOR}/v1/traces`" in reason for reason in alone)
    assert any("5 spans" in reason for reason in alone)
    assert sum(reason.count("1 dead letter") for reason in alone) == 2


def test_where_its_collector_is_away_flush_never_says_0(run: Run, old: Path) -> None:
    result = run("flush", "--endpoint", MADE_FOR, "--give-up-after", "0.3")
    assert (result.exit_code, "stayed: of an older otel-phi" in result.stdout) == (4, True)


def test_with_any_credentials_it_is_sent_to_the_same_collector(run: Run, receiver: Receiver, old: Path) -> None:
    readdressed(old, receiver.endpoint)
    for path in old.glob("*-*-*.sqlite3"):
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(
                "UPDATE about SET value = ? WHERE name = 'endpoint'", (f"{receiver.endpoint}/v1/traces",)
            )
    flags = ("--endpoint", receiver.endpoint, "--header", "x-api-key=new")
    assert (run("flush", *flags).exit_code, len(receiver.spans)) == (0, 0)
    run("flush", *flags, "--any-credentials")
    assert len(receiver.spans) >= 9  # two session roots are in a table that does not say for which collector


def test_a_damaged_one_is_set_aside_said_once_and_named(run: Run, receiver: Receiver, old: Path) -> None:
    readdressed(old, receiver.endpoint)
    largest = max(old.glob("*-*-*.sqlite3"), key=lambda path: path.name)
    largest.write_bytes(b"no database at all" * 4000)
    result = run("flush", "--endpoint", receiver.endpoint)
    assert (result.exit_code, len(receiver.spans) >= 5) == (4, True)
    assert (f"{largest.name}.set-aside" in result.stderr, "damaged" in result.stderr) == (True, True)
    assert "set aside" in " ".join(run("status").stdout.split())
    assert "set aside" not in run("flush", "--endpoint", receiver.endpoint).stderr


def test_retry_reads_one_again_that_was_set_aside_and_can_be_read_now(run: Run, receiver: Receiver, old: Path) -> None:
    readdressed(old, receiver.endpoint)
    for version in (9, 2):
        for path in old.glob("*-*-*.sqlite3*"):
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                connection.execute(f"PRAGMA user_version={version}")
        run("status", "--retry")
        result = run("flush", "--endpoint", receiver.endpoint)
        assert ("written by another version of otel-phi (schema 9" in result.stderr) == (version == 9)
    assert len({span.span_id for span in receiver.spans}) == 11


def test_one_that_a_process_of_the_version_before_still_holds_is_left_to_it(
    run: Run, receiver: Receiver, old: Path, tmp_path: Path
) -> None:
    readdressed(old, receiver.endpoint)
    locks = [filelock.acquire(path.with_suffix(".lock")) for path in old.glob("*-*-*.sqlite3")]
    try:
        result = run("flush", "--endpoint", receiver.endpoint)
    finally:
        for lock in locks:
            assert lock is not None
            lock.release()
    assert result.exit_code == 4
    assert len(list(old.glob("*-*-*.sqlite3"))) == 4


def test_purge_reaches_it(run: Run, old: Path) -> None:
    assert json.loads(run("status", "--purge", "refused", "--json").stdout)["purged"] == 2
    assert json.loads(run("status", "--purge", "waits", "--json").stdout)["purged"] == 5
    run("status", "--purge", "--yes")
    assert list(old.glob("*-*-*.sqlite3*")) == []
