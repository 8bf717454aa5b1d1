"""The outbox folder as `status` sees it, with and without processes that live."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest
from otel_phi.delivery.folder import folder_status, purge, retry_dead

from otel_phi.delivery import outbox_schema
from otel_phi.testing import Receiver
from tests.delivery.live_agent import SESSION, delivery_for, gone, opened, work
from tests.delivery.test_adoption import lost_agent
from tests.delivery.test_known_bounds import wait
from tests.delivery.test_live import adopt, files, ids

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="record locks and forks are POSIX's")


def test_a_folder_that_does_not_exist_holds_nothing(tmp_path: Path) -> None:
    status = folder_status(tmp_path)
    assert (status.queued, status.dead, status.bytes, status.destinations) == (0, 0, 0, ())
    assert (retry_dead(tmp_path), purge(tmp_path)) == (0, 0)


def test_files_and_folder_are_the_owner_s_alone_and_names_hold_no_secret(tmp_path: Path) -> None:
    delivery = delivery_for(gone(), tmp_path)
    delivery.commit([work(1)])
    assert delivery.claim_root(work(2))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "outbox").iterdir()}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "outbox").stat().st_mode) == 0o700
    delivery.shutdown(0.2)


def test_status_counts_what_waits_beside_a_process_that_lives(tmp_path: Path) -> None:
    endpoint = gone()
    delivery = delivery_for(endpoint, tmp_path)
    assert delivery.claim_root(work(4))
    delivery.commit([work(1), work(2)], [opened(3)])
    wait(lambda: folder_status(tmp_path).destinations[0].roots == 1 and not delivery.stats().deferred)  # late, perhaps
    (one,) = folder_status(tmp_path).destinations
    assert (one.queued, one.open, one.roots, one.dead, len(one.processes)) == (2, 1, 1, 0, 1)
    assert one.endpoint == endpoint + "/v1/traces"
    assert one.bytes > 0
    assert one.oldest_ns is not None
    assert not delivery.flush(0.3)
    assert not delivery.shutdown(0.5)
    wait(lambda: folder_status(tmp_path).destinations[0].processes == ())  # its files are closed, in time or later
    status = folder_status(tmp_path)
    assert status.queued == 3
    assert status.destinations[0].last_error == "connection refused"


def test_dead_letters_are_shown_with_their_reason_and_can_be_sent_again(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answer(status=400, body=b"bad span")
    delivery = delivery_for(receiver.endpoint, tmp_path)
    delivery.commit([work(1)])
    assert delivery.flush(5)
    assert delivery.stats().dead == 1
    assert delivery.shutdown(1)
    (letter,) = folder_status(tmp_path).destinations[0].letters
    assert (letter.span_id, letter.session, letter.reason) == (1, SESSION, "HTTP 400: bad span")
    assert retry_dead(tmp_path, "another session") == 0
    assert adopt(receiver, tmp_path) == "True 0 True\n"
    assert retry_dead(tmp_path) == 1
    assert adopt(receiver, tmp_path) == "True 1 True\n"
    assert ids(receiver) == [1]
    assert files(tmp_path) == []


def test_purge_leaves_no_byte_of_a_span(tmp_path: Path) -> None:
    delivery = delivery_for(gone(), tmp_path)
    delivery.commit([work(1, text="TOP-SECRET" * 50)], [opened(2)])
    assert delivery.claim_root(work(3, text="TOP-SECRET"))
    delivery.shutdown(0.3)
    assert purge(tmp_path, "another session") == 0
    assert b"TOP-SECRET" in b"".join(path.read_bytes() for path in (tmp_path / "outbox").iterdir())
    assert purge(tmp_path, SESSION) == 3
    assert folder_status(tmp_path).queued == 0
    assert b"TOP-SECRET" not in b"".join(path.read_bytes() for path in (tmp_path / "outbox").iterdir())
    assert purge(tmp_path) == 0
    assert files(tmp_path) == files(tmp_path, ".lock") == []


def test_what_is_purged_under_a_living_process_is_counted_by_it(tmp_path: Path) -> None:
    delivery = delivery_for(gone(), tmp_path)
    delivery._courier.wake = lambda: None  # type: ignore[method-assign]  # it has not come to read them
    delivery.commit([work(1), work(2)])
    assert purge(tmp_path, SESSION) == 2
    delivery._shelves.tidy()
    delivery._shelves.recount()
    assert dict(delivery.stats().dropped) == {"purged": 2}
    assert delivery.stats().balanced()
    delivery.shutdown(0.2)


def test_a_file_of_an_older_schema_is_set_aside_and_named(receiver: Receiver, tmp_path: Path) -> None:
    import sqlite3

    lost_agent(receiver.endpoint, tmp_path)
    (path,) = files(tmp_path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version={outbox_schema.VERSION - 1}")
    connection.close()
    ((name, reason),) = folder_status(tmp_path).unreadable
    assert (name, "older" in reason) == (path.name, True)
    assert adopt(receiver, tmp_path) == "True 0 True\n"
    assert folder_status(tmp_path).set_aside == (path.name + outbox_schema.SET_ASIDE,)


def test_retry_reads_a_file_again_that_was_set_aside(receiver: Receiver, tmp_path: Path) -> None:
    import sqlite3

    lost_agent(receiver.endpoint, tmp_path)
    (path,) = files(tmp_path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    assert adopt(receiver, tmp_path) == "True 0 True\n"
    (aside,) = folder_status(tmp_path).set_aside
    connection = sqlite3.connect(tmp_path / "outbox" / aside)
    connection.execute(f"PRAGMA user_version={outbox_schema.VERSION}")  # as if a newer otel-phi looked
    connection.close()
    retry_dead(tmp_path)
    assert adopt(receiver, tmp_path) == "True 6 True\n"
