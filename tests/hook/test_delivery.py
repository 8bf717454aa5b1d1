"""What the hook makes leaves once; counts balance at any moment; a shutdown is bounded; nothing is left behind."""

from __future__ import annotations

import logging
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

import otel_phi
from otel_phi.delivery.journal.journal import Journal
from otel_phi.testing import Receiver
from tests.hook.conftest import Install
from tests.hook.stories import arrived, expected, loop_of
from tests.hook.test_processes import adopt
from tests.hook.waiting import until

STORY = loop_of("one")


def give(hook: otel_phi.Hook, *names: str) -> None:
    for name in names:
        for event in loop_of(name):
            hook(event)


def test_every_span_arrives_once_and_nothing_is_left_behind(
    install: Install, receiver: Receiver, tmp_path: Path
) -> None:
    hook = install()
    names = [f"loop {number}" for number in range(60)]
    give(hook, *names)
    assert hook.flush(10.0)
    spans = expected(*map(loop_of, names))
    stats = hook.stats().delivery
    assert (stats.accepted, stats.acknowledged, stats.queued) == (spans.total(), spans.total(), 0)
    assert hook.shutdown(5.0)
    assert arrived(receiver) == spans
    assert [path for path in (tmp_path / "state" / "outbox").rglob("*") if path.is_file()] == []


def test_the_counts_balance_at_any_moment(install: Install, receiver: Receiver) -> None:
    receiver.answer(status=503)
    receiver.answer(rejected=1)
    hook = install()
    seen, done = list[otel_phi.HookStats](), threading.Event()

    def watch() -> None:
        while not done.is_set():
            stats = hook.stats()
            if not stats.balanced() or stats.events != stats.recorded:
                seen.append(stats)

    def agent(first: str) -> None:
        give(hook, *(f"{first} {number}" for number in range(30)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    threads = [threading.Thread(target=agent, args=(str(first),)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    flushed = hook.flush(30.0)
    done.set()
    watcher.join()
    assert (flushed, seen, hook.stats().delivery.rejected) == (True, [], 1)


def test_files_and_folders_are_the_owners_alone_and_names_hold_no_secret(
    install: Install, receiver: Receiver, tmp_path: Path
) -> None:
    hook = install(headers={"x-token": "s3cret"}, insecure=True)
    give(hook, "one")
    assert hook.flush(10.0)
    found = list((tmp_path / "state" / "outbox").rglob("*"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in found if path.is_file()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in found if path.is_dir()} == {0o700}
    assert [path for path in found if "s3cret" in str(path)] == []
    assert b"s3cret" not in b"".join(path.read_bytes() for path in found if path.is_file())


def test_where_nothing_is_sent_no_file_is_made(
    install: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    hook = install(endpoint=None)
    give(hook, "one")
    assert hook.shutdown(5.0)
    assert not (tmp_path / "state" / "outbox").exists()


# --- the end -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer", [{"status": 503, "headers": {"Retry-After": "3600"}}, {"delay_s": 30.0, "status": 503}]
)
def test_a_shutdown_is_bounded_and_the_next_process_delivers(
    answer: dict[str, Any], install: Install, receiver: Receiver, tmp_path: Path
) -> None:
    """With the collector away for an hour, or hanging."""
    receiver.answer(times=1_000, **answer)
    hook = install()
    give(hook, "one")
    receiver.wait_for_requests(1)
    began = time.monotonic()
    assert not hook.shutdown(1.0)
    assert time.monotonic() - began < 2.5
    assert hook.stats().delivery.queued == 8
    receiver.forget_script()
    until(lambda: adopted(tmp_path / "state", receiver))
    assert arrived(receiver) == expected(STORY)


def adopted(state: Path, receiver: Receiver) -> bool:
    adopt(state, receiver)
    return len(receiver.spans) == 8  # a request that hangs on holds the journal until it is given up


# --- exporters of somebody else's -----------------------------------------------------------------------------------------


class Odd(SpanExporter):
    """Raises, three times, what no exporter should."""

    def __init__(self) -> None:
        self.asked = 0
        self.names: list[str] = []

    def export(self, spans: Any) -> SpanExportResult:
        self.asked += 1
        if self.asked < 4:
            raise [KeyboardInterrupt(), SystemExit(3), ValueError()][self.asked - 1]
        self.names += [span.name for span in spans if isinstance(span, ReadableSpan)]
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Holds nothing."""


def test_an_exporter_that_raises_anything_is_asked_again(install: Install) -> None:
    exporter = Odd()
    hook = install(exporter=exporter, endpoint=None)
    give(hook, "one")
    assert hook.flush(30.0)
    assert sorted(exporter.names)[-3:] == ["invoke_workflow phi.session", "turn", "turn"]
    assert hook.stats().delivery.acknowledged == 8


# --- its voice ---------------------------------------------------------------------------------------------------------------


class Asking(logging.Handler):
    """Asks for the counts and records while it holds its own lock."""

    def __init__(self, hook: otel_phi.Hook) -> None:
        super().__init__()
        self.hook = hook
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        time.sleep(0.2)  # so that others wait for the lock meanwhile
        self.hook.stats()
        give(self.hook, "from the handler")
        self.said.append(record.getMessage())


def test_a_logging_handler_may_ask_for_the_counts_and_record(install: Install) -> None:
    hook = install(endpoint="http://127.0.0.1:9")
    logger, handler = logging.getLogger("otel_phi"), Asking(hook)
    logger.addHandler(handler)
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            with handler.lock:  # type: ignore[union-attr]  # as another thread that logs
                hook.stats()

    threads = [threading.Thread(target=look, daemon=True) for _ in range(2)]
    try:
        for thread in threads:
            thread.start()
        give(hook, "one")
        until(lambda: bool(handler.said))
    finally:
        stop.set()
        logger.removeHandler(handler)
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert "connection refused; spans are kept" in handler.said[0]


def test_the_servers_own_words_make_no_new_kind_of_trouble(
    install: Install, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(5):
        receiver.answer(status=503, body=f"request {number} came too early".encode(), headers={"Retry-After": "0"})
    hook = install()
    give(hook, "one")
    assert hook.flush(30.0)
    assert caplog.text.count("spans are kept and tried again") == 1


def test_housekeeping_that_fails_each_time_keeps_no_span_from_leaving(
    install: Install, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(13, "no")

    monkeypatch.setattr("otel_phi.hook.housekeeping.BOUNDS_S", 0.0)
    monkeypatch.setattr("otel_phi.delivery.journal.outbox.Outbox.keep_within", fail)
    hook = install()
    for number in range(5):
        give(hook, f"loop {number}")
        receiver.wait_for(8 * (number + 1), 30)
    assert caplog.text.count("bounds failed") == 1
    assert hook.flush(30.0)


# --- many segments -----------------------------------------------------------------------------------------------------------


def test_segments_come_and_go_and_lose_nothing(
    install: Install, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With small ones, and a loop that is open across all of them."""
    small_segments(monkeypatch, 20_000)
    hook = install()
    long = loop_of("long", turns=200)
    seen: set[str] = set()
    for at in range(0, len(long), 50):
        for event in long[at : at + 50]:
            hook(event)
        give(hook, f"beside {at}")
        until(lambda: hook.stats().waiting == 0)
        seen |= {path.name for path in tmp_path.rglob("*.journal")}
    assert hook.flush(30.0)
    assert arrived(receiver) == expected(long, *(loop_of(f"beside {at}") for at in range(0, len(long), 50)))
    assert len(seen) > 3
    assert len(list(tmp_path.rglob("*.journal"))) <= 2


def small_segments(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Has journals roll after so many bytes, as soon as they are looked at."""
    real = Journal.create
    monkeypatch.setattr(Journal, "create", lambda place, head: real(place, head, segment_bytes=size))
    monkeypatch.setattr("otel_phi.hook.housekeeping.SYNC_S", 0.0)
