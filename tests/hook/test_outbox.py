"""The outbox from the agent's side: nothing is left behind that was sent, nothing lost that was not, and whose files they are."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import ssl
import stat
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

import otel_phi
from otel_phi.delivery.journal.dead_letters import DeadLetters
from otel_phi.delivery.journal.outbox import Outbox
from otel_phi.testing import Receiver
from tests.delivery.accounts import fault
from tests.faults.collectors import Picky, gone
from tests.faults.disks import Disk
from tests.faults.loops import LOOP_SCOPE, give, once
from tests.hook.children import closed, journals, run
from tests.hook.conftest import Install
from tests.hook.stories import arrived, expected, loop_of
from tests.hook.waiting import until
from tests.streams import SESSION

posix = pytest.mark.skipif(sys.platform == "win32", reason="permissions and record locks are POSIX's")
pytestmark = posix
STORY = loop_of("main")


def tell(hook: otel_phi.Hook, name: str = "main") -> None:
    for event in loop_of(name):
        hook(event)


# --- the plain road --------------------------------------------------------------------------------------------------------


def test_what_was_sent_leaves_nothing_behind(install: Install, receiver: Receiver, tmp_path: Path) -> None:
    hook = install()
    names = [f"loop {number}" for number in range(50)]
    for name in names:
        tell(hook, name)
    assert hook.flush(30.0)
    spans = hook.stats().delivery
    whole = expected(*map(loop_of, names))
    assert (spans.accepted, spans.acknowledged, spans.queued) == (whole.total(), whole.total(), 0)
    assert hook.shutdown(10.0)
    assert arrived(receiver) == whole
    assert [path for path in (tmp_path / "state" / "outbox").rglob("*") if path.is_file()] == []


def test_the_counts_balance_at_any_moment(install: Install, receiver: Receiver) -> None:
    receiver.answer(status=503, headers={"Retry-After": "0"})
    receiver.answer(rejected=1)
    hook = install(sampler=0.5)
    unbalanced: list[otel_phi.HookStats] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            if not (stats := hook.stats()).balanced():
                unbalanced.append(stats)

    def agent(which: int) -> None:
        for number in range(25):
            tell(hook, f"{which} {number}")
            hook(b"no event")

    threads = [threading.Thread(target=agent, args=(which,)) for which in range(4)]
    watcher = threading.Thread(target=watch)
    for thread in (watcher, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    assert hook.flush(60.0)
    done.set()
    watcher.join()
    assert unbalanced == []
    stats, spans = hook.stats(), hook.stats().delivery
    assert stats.undecodable == 100
    assert stats.events == 100 * len(STORY) + 100
    assert (spans.accepted, spans.rejected, spans.queued) == (100 * expected(STORY).total(), 1, 0)
    assert 0 < dict(spans.dropped)["sampled_out"] < spans.accepted
    assert len(receiver.spans) == spans.acknowledged


@pytest.mark.parametrize("variable", [("OTEL_TRACES_EXPORTER", "none"), ("OTEL_SDK_DISABLED", "true")])
def test_where_nothing_is_sent_no_file_is_made(
    variable: tuple[str, str], install: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(*variable)
    hook = install(endpoint=None)
    tell(hook)
    assert hook.flush(30.0)
    assert hook.shutdown(10.0)
    assert [path for path in (tmp_path / "state").rglob("*") if path.is_file() and path.parent.name != "state"] == []
    stats = hook.stats()
    dropped = {"exporter_none": expected(STORY).total()} if stats.off == "" else {}
    assert (dict(stats.delivery.dropped), stats.left_out) == (dropped, 0 if dropped else len(STORY))


# --- away ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [{"status": 503, "headers": {"Retry-After": "3600"}}, {"status": 503, "delay_s": 60.0}],
    ids=["away", "hangs"],
)
def test_a_collector_that_is_away_or_hangs_holds_up_no_shutdown_and_the_next_start_delivers(
    answer: dict[str, Any], install: Install, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answer(times=10_000, **answer)
    first = install(timeout_s=60)
    tell(first)
    receiver.wait_for_requests(1, 60.0)
    until(lambda: first.stats().delivery.queued == expected(STORY).total())
    began = time.monotonic()
    assert not first.shutdown(0.3)
    assert time.monotonic() - began < 30.0, "far from an hour, and from the hanging request's minute"
    assert first.stats().delivery.queued == expected(STORY).total()
    closed(tmp_path / "state")
    receiver.forget_script()
    second = install(timeout_s=60)
    assert second.flush(60.0)
    assert second.stats().delivery.adopted == expected(STORY).total()
    assert set(arrived(receiver)) == set(expected(STORY))


def test_what_waited_in_memory_is_in_the_outbox_once_the_disk_takes_it_again(
    install: Install, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector is away all the time; each write was refused for a while."""
    disk = Disk()
    monkeypatch.setattr("otel_phi.delivery.journal.chain.write_for", disk.write_for)
    receiver.answer(times=10_000, status=503, headers={"Retry-After": "3600"})
    first = install(**LOOP_SCOPE)
    numbers = give(first, range(1, 51))
    disk.works = False
    numbers += give(first, range(51, 101))
    disk.works = True
    numbers += give(first, range(101, 151))
    assert not first.shutdown(0.5)
    closed(tmp_path / "state")
    receiver.forget_script()
    second = install(**LOOP_SCOPE)
    assert second.flush(60.0)
    assert once(receiver) == numbers
    assert second.stats().delivery.adopted == 150


def test_the_audit_of_these_tests_sees_what_is_counted_as_waiting_and_lies_nowhere(
    install: Install, tmp_path: Path
) -> None:
    hook = install(endpoint=gone())
    tell(hook)
    assert not hook.shutdown(0.3)
    state, stats = tmp_path / "state", hook.stats()
    assert stats.balanced()
    assert fault(state, [stats]) == ""
    (path,) = journals(state)
    path.rename(tmp_path / "elsewhere")
    assert stats.balanced(), "the counters alone do not tell"
    assert "this process left 0 segments" in fault(state, [stats])
    (tmp_path / "elsewhere").rename(path)


def test_a_child_that_cannot_open_its_destination_says_so_once_keeps_all_and_sends_when_it_can(
    install: Install, tmp_path: Path
) -> None:
    """Its parent could: the file is gone while the child is forked, as one that is being renewed."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    with Receiver(tls=context) as receiver:
        hook = install(endpoint=receiver.endpoint, certificate=str(path))
        pem = path.read_bytes()
        path.unlink()

        def child() -> None:
            tell(hook)
            until(lambda: "authority.pem" in (hook.stats().delivery.trouble or ""))
            assert (hook.stats().failed, hook.stats().recorded) == (0, len(STORY))
            path.write_bytes(pem)
            assert hook.flush(60.0)
            assert sum("authority.pem" in kind for kind in hook.stats().troubles) == 1
            assert hook.shutdown(10.0)

        run(child)
        assert arrived(receiver) == expected(STORY)


# --- what is refused, and odd exporters ------------------------------------------------------------------------------------


def test_a_poison_span_is_a_dead_letter_with_its_reason_and_costs_no_neighbour(
    install: Install, tmp_path: Path
) -> None:
    with Picky() as receiver:
        hook = install(endpoint=receiver.endpoint, **LOOP_SCOPE)
        numbers = give(hook, range(1, 41))
        assert hook.flush(60.0)
        assert hook.shutdown(10.0)
        assert (hook.stats().delivery.dead, hook.stats().delivery.acknowledged) == (1, 39)
        assert once(receiver) == [number for number in numbers if number != 13]
    (folder,) = Outbox(tmp_path / "state").folders()
    (letter,) = DeadLetters(folder.path).read()
    assert (letter.reason, letter.session_id) == ("HTTP 400: unlucky", SESSION)
    assert journals(tmp_path / "state") == []


class Odd(SpanExporter):
    """An exporter that raises whatever Python knows before it takes anything."""

    def __init__(self) -> None:
        self.raises = [ValueError("no"), asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(3), MemoryError()]
        self.spans = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self.raises:
            raise self.raises.pop()
        self.spans += len(spans)
        return SpanExportResult.SUCCESS


def test_an_exporter_that_raises_anything_is_asked_again(install: Install) -> None:
    odd = Odd()
    hook = install(endpoint=None, exporter=odd)
    tell(hook)
    assert hook.flush(60.0)
    assert (odd.raises, odd.spans) == ([], expected(STORY).total())
    assert hook.stats().delivery.acknowledged == odd.spans


# --- its voice -------------------------------------------------------------------------------------------------------------


class Asking(logging.Handler):
    """Asks for the counts while it holds its own lock."""

    def __init__(self, hook: otel_phi.Hook) -> None:
        super().__init__()
        self.hook = hook
        self.said: list[str] = []
        self.others_wait = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.others_wait.wait(30.0)
        self.hook.stats()
        self.hook.flush(0.0)
        self.said.append(record.getMessage())


def test_a_logging_handler_may_ask_for_the_counts_while_others_do(install: Install) -> None:
    """Others hold the handler's lock, as threads that log, and ask too."""
    hook = install(endpoint=gone())
    logger, handler = logging.getLogger("otel_phi"), Asking(hook)
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            handler.others_wait.set()
            with handler.lock:  # type: ignore[union-attr]  # every handler has one
                hook.stats()

    threads = [threading.Thread(target=look, daemon=True) for _ in range(2)]
    logger.addHandler(handler)
    try:
        for thread in threads:
            thread.start()
        tell(hook)
        until(lambda: bool(handler.said))
    finally:
        stop.set()
        logger.removeHandler(handler)
    hook.shutdown(0.1)
    for thread in threads:
        thread.join(30.0)
        assert not thread.is_alive()
    assert "connection refused; spans are kept" in handler.said[0]


def test_the_destination_s_own_words_make_no_new_kind_of_trouble(
    install: Install, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(5):
        receiver.answer(status=503, body=f"request {number} came too early".encode(), headers={"Retry-After": "0"})
    hook = install()
    tell(hook)
    assert hook.flush(60.0)
    assert caplog.text.count("spans are kept and tried again") == 1
    assert hook.stats().delivery.retries == 5


def test_housekeeping_that_fails_each_time_keeps_no_span_from_leaving(
    install: Install, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(13, "no")

    monkeypatch.setattr(Outbox, "keep_within", fail)
    monkeypatch.setattr("otel_phi.hook.housekeeping.BOUNDS_S", 0.0)
    hook = install()
    tell(hook)
    until(lambda: arrived(receiver) == expected(STORY))
    assert hook.flush(60.0)
    assert ["bounds failed: PermissionError" in record.getMessage() for record in caplog.records] == [True]


# --- whose files they are --------------------------------------------------------------------------------------------------


def test_files_are_the_owner_s_alone_and_names_hold_no_secret(install: Install, tmp_path: Path) -> None:
    secret = "hush-hush"
    endpoint = gone().replace("http://", f"http://user:{secret}@") + f"/v1/traces?key={secret}"
    hook = install(endpoint=endpoint, headers={"authorization": f"Bearer {secret}"})
    tell(hook)
    assert not hook.shutdown(0.3)
    state = tmp_path / "state"
    found = [state, *state.rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in found if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in found if path.is_file()} == {0o600}
    assert journals(state)
    assert [path for path in found if secret in path.name] == []
    assert [path for path in found if path.is_file() and secret.encode() in path.read_bytes()] == []


def harm(state: Path, what: str) -> None:
    """Does to a state folder what a private one never shows."""
    key = state / "key"
    match what:
        case "outbox folder":
            (state / "outbox").chmod(0o770)
        case "outbox is a link":
            shutil.move(state / "outbox", state / "elsewhere")
            (state / "outbox").symlink_to(state / "elsewhere")
        case "key is a link":
            key.symlink_to(state / "elsewhere")
        case "key is a pipe":
            os.mkfifo(key, 0o600)
        case "key":
            key.touch()
            key.chmod(0o666)


@pytest.mark.parametrize("what", ["outbox folder", "outbox is a link", "key is a link", "key is a pipe", "key"])
def test_a_folder_or_key_that_others_may_write_is_not_used_and_the_reason_is_said(
    what: str, install: Install, receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "state"
    (state / "outbox").mkdir(parents=True, mode=0o700)
    harm(state, what)
    hook = install()
    tell(hook)
    assert hook.flush(30.0)
    said = "of its own" if "is a" in what else "can be written to by"
    assert said in hook.stats().delivery.in_memory
    assert hook.shutdown(10.0)
    assert caplog.text.count(said) == 1
    assert arrived(receiver) == expected(STORY)
