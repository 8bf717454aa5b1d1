"""The ledger remembers across runs, forgets when told to, and never stops an export."""

from __future__ import annotations

import os
import stat
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from otel_phi.delivery.exporters.http import HttpExporter
from otel_phi.delivery.journal.ledger import FOLDER, KEPT_DAYS, Ledger, ledger_name
from otel_phi.delivery.sending.batch import Batch
from otel_phi.delivery.sending.sender import Sender
from otel_phi.errors import DeliveryError
from otel_phi.testing import Receiver
from tests.delivery.samples import plain_batches

KEYS = [number.to_bytes(24, "big") for number in range(2500)]
posix = pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX's")


def test_what_was_acknowledged_is_seen_by_the_next_run(tmp_path: Path) -> None:
    first = Ledger(tmp_path, "one")
    assert not first.resumes
    assert first, "an empty ledger is a ledger"
    first.acknowledge(KEYS[:1200])
    first.acknowledge(KEYS[1000:1500])
    first.close()
    second = Ledger(tmp_path, "one")
    assert second.resumes
    assert second.seen(KEYS) == set(KEYS[:1500])
    assert len(second) == 1500
    second.close()


def test_a_finished_export_starts_anew(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "one")
    ledger.acknowledge(KEYS)
    ledger.finish()
    assert not list((tmp_path / FOLDER).iterdir())
    again = Ledger(tmp_path, "one")
    assert not again.resumes
    again.close()


def test_exports_do_not_see_each_other(tmp_path: Path) -> None:
    one, other = Ledger(tmp_path, "one"), Ledger(tmp_path, "other")
    one.acknowledge(KEYS[:3])
    assert not other.seen(KEYS[:3])
    one.close()
    other.close()


@posix
def test_folder_and_file_are_the_owner_s_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    ledger = Ledger(state, ledger_name(state, "http://x", []))
    ledger.acknowledge(KEYS[:1])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (state / FOLDER).iterdir()}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((state / FOLDER).stat().st_mode) == 0o700
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert stat.S_IMODE((state / "key").stat().st_mode) == 0o600
    ledger.close()


def test_where_sqlite_cannot_live_the_export_goes_on_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    ledger = Ledger(tmp_path / "file", "one")
    ledger.acknowledge(KEYS)
    assert ledger.seen(KEYS) == set()
    assert ledger.broken
    ledger.finish()
    assert len(caplog.records) == 1
    assert "start over" in caplog.text


def test_a_file_that_is_no_database_is_no_reason_to_stop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "one.sqlite3").write_bytes(b"not a database at all" * 100)
    ledger = Ledger(tmp_path, "one")
    ledger.acknowledge(KEYS)
    assert not ledger.resumes
    assert len(caplog.records) == 1
    ledger.finish()


def test_the_name_tells_destinations_tenants_and_inputs_apart_and_is_stable(tmp_path: Path) -> None:
    names = [
        ledger_name(tmp_path, "http://a", []),
        ledger_name(tmp_path, "http://b", []),
        ledger_name(tmp_path, "http://a", [("x-scope", "1")]),
        ledger_name(tmp_path, "http://a", [("x-scope", "2")]),
        ledger_name(tmp_path, "http://a", [], "mapping", "/in"),
        ledger_name(tmp_path, "http://a", [], "mapping/", "in"),
        ledger_name(tmp_path / "other", "http://a", []),
    ]
    assert len(set(names)) == len(names)
    assert ledger_name(tmp_path, "http://a", []) == names[0]


def test_ledgers_nobody_resumed_are_removed_after_a_month(tmp_path: Path) -> None:
    Ledger(tmp_path, "old").close()
    Ledger(tmp_path, "fresh").close()
    long_ago = time.time() - (KEPT_DAYS + 1) * 86_400
    os.utime(tmp_path / FOLDER / "old.sqlite3", (long_ago, long_ago))
    Ledger(tmp_path, "current").close()
    assert {path.name for path in (tmp_path / FOLDER).iterdir()} == {"fresh.sqlite3", "current.sqlite3"}


def test_threads_may_acknowledge_while_another_asks(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "one")
    threads = [threading.Thread(target=ledger.acknowledge, args=(KEYS[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        ledger.seen(KEYS)
    assert len(ledger) == len(KEYS)
    ledger.close()


def test_an_interrupted_export_resumes_without_sending_again_what_was_acknowledged(
    tmp_path: Path, receiver: Receiver
) -> None:
    def export(stop_after: int | None) -> None:
        ledger = Ledger(tmp_path, "one")
        if stop_after is not None:
            receiver.answer(times=stop_after)
            receiver.answer(status=503, times=1000)
        whole = plain_batches(200)

        def acknowledged(batch: Batch) -> None:
            ledger.acknowledge(batch.keys)

        exporter = HttpExporter(receiver.endpoint + "/v1/traces")
        with closing(ledger), Sender(exporter, give_up_after_s=0.1, on_acknowledged=acknowledged) as sender:
            sender.run(batch for batch in whole if not ledger.seen(batch.keys))
            ledger.finish()

    with pytest.raises(DeliveryError):
        export(stop_after=7)
    before = len(receiver.spans)
    assert before == 70
    receiver.forget_script()
    export(stop_after=None)
    arrived = sorted(span.span_id for span in receiver.spans)
    assert arrived == list(range(1, 201))
