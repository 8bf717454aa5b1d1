"""What an independent reader of the delivery found: each cost spans, or stopped all of them."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from otel_phi.delivery.folder import folder_status
from otel_phi.delivery.live import LiveDelivery, place_of
from otel_phi.delivery.upkeep import Limits

import otel_phi
from otel_phi.delivery.exporters.exporter import Accepted, ExportResult
from otel_phi.delivery.exporters.open import resource_of
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.testing import Receiver
from tests.delivery.live_agent import TRACE, delivery_for, gone, opened, work
from tests.delivery.test_adoption import lost_agent
from tests.delivery.test_live import adopt, files, fork, ids

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="record locks and forks are POSIX's")
Open = Callable[..., LiveDelivery]


@pytest.fixture
def open_live(receiver: Receiver, tmp_path: Path) -> Iterator[Open]:
    """Gives live deliveries whose counts balance in the end."""
    made: list[LiveDelivery] = []

    def open_one(endpoint: str | None = None, **options: Any) -> LiveDelivery:
        made.append(delivery_for(endpoint or receiver.endpoint, tmp_path, **options))
        return made[-1]

    yield open_one
    for delivery in made:
        delivery.shutdown(1.0)
        assert delivery.stats().balanced()


def wait(until: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- damage --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", [b"", b"\xff", None, "text"])
def test_a_damaged_open_row_costs_itself_and_is_kept_as_a_dead_letter(
    entry: object, receiver: Receiver, tmp_path: Path
) -> None:
    for _ in range(2):
        lost_agent(receiver.endpoint, tmp_path)
    damaged, _ = files(tmp_path)
    connection = sqlite3.connect(damaged)
    connection.execute("UPDATE open SET entry = ? WHERE substr(key, 17) = x'000000000000000a'", (entry,))
    connection.commit()
    connection.close()
    assert adopt(receiver, tmp_path) == "True 11 True\n"
    assert ids(receiver) == sorted([1, 2, 3, 4, 20] * 2 + [10])
    (letter,) = folder_status(tmp_path).destinations[0].letters
    assert letter.reason == "damaged"


def test_a_file_without_its_table_is_set_aside_and_named(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        lost_agent(receiver.endpoint, tmp_path)
    broken, _ = files(tmp_path)
    connection = sqlite3.connect(broken)
    connection.execute("DROP TABLE open")
    connection.commit()
    connection.close()
    delivery = delivery_for(receiver.endpoint, tmp_path)
    assert delivery.flush(10)
    assert delivery.stats().acknowledged == 6
    assert delivery.shutdown(1)
    assert f"{broken} is set aside" in caplog.text


# --- the folder ------------------------------------------------------------------------------------------------------------


def test_what_is_open_when_the_folder_is_removed_leaves_as_aborted_after_a_kill(
    receiver: Receiver, tmp_path: Path
) -> None:
    def die() -> None:
        delivery = delivery_for(receiver.endpoint, tmp_path)
        delivery.commit([], [opened(1), opened(5, 1)])
        delivery.commit([work(2, 1), work(5, 1)], [], [(work(5).trace_id, 5)])
        shutil.rmtree(tmp_path / "outbox")
        assert delivery.flush(30)
        delivery.commit([work(3, 1)])
        assert delivery.flush(30)
        os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(fork(die), 0)
    assert ids(receiver) == [2, 3, 5]
    assert adopt(receiver, tmp_path) == "True 1 True\n"
    (lost,) = (span for span in receiver.spans if span.span_id == 1)
    assert (sorted(ids(receiver)), lost.end_ns) == ([1, 2, 3, 5], work(5).end_ns)


def test_a_folder_that_is_removed_is_made_anew_and_stops_nothing(
    receiver: Receiver, open_live: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    delivery = open_live()
    delivery.commit([work(1)])
    assert delivery.flush(10)
    shutil.rmtree(tmp_path / "outbox")
    for number in range(2, 30):
        delivery.commit([work(number)])
        time.sleep(0.05)
    assert delivery.flush(10)
    assert ids(receiver) == list(range(1, 30))
    delivery._upkeep.hurry()
    delivery.commit([work(30)])
    wait(lambda: len(files(tmp_path)) == 1)
    assert "was removed; spans go to a new file" in caplog.text
    assert delivery.flush(10)
    assert delivery.shutdown(2)


def test_upkeep_that_fails_each_time_keeps_no_span_from_leaving(
    receiver: Receiver, open_live: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    delivery = open_live()

    def fail() -> None:
        raise PermissionError(13, "no")

    monkeypatch.setattr(delivery._upkeep, "_enforce", fail)
    for number in range(1, 40):
        delivery.commit([work(number)])
        time.sleep(0.1)
    assert receiver.wait_for(39, 10)
    assert caplog.text.count("could not be looked after") == 1


# --- memory and back -------------------------------------------------------------------------------------------------------


def test_what_was_in_memory_and_under_way_is_on_disk_at_a_clean_exit(
    receiver: Receiver, open_live: Open, tmp_path: Path
) -> None:
    """The error is injected in SQLite; the collector is away all the time, and the disk heals."""
    receiver.answer(status=503, times=100_000)
    delivery = open_live()
    outbox = delivery._store.outbox
    assert outbox is not None
    with outbox.lock:
        outbox._connection.execute("PRAGMA query_only=1")
    for number in range(1, 51):
        delivery.commit([work(number)])
    wait(lambda: bool(delivery._store.spill._under_way))
    with outbox.lock:
        outbox._connection.execute("PRAGMA query_only=0")
    delivery.commit([work(100)])
    assert not delivery.shutdown(1.0)
    receiver.forget_script()
    assert adopt(receiver, tmp_path) == "True 51 True\n"
    assert sorted(set(ids(receiver))) == [*range(1, 51), 100]


def test_what_is_open_is_written_before_its_children_when_memory_goes_to_disk(
    receiver: Receiver, tmp_path: Path
) -> None:
    def die() -> None:
        agent = delivery_for(receiver.endpoint, tmp_path)
        agent._courier.wake = lambda: None  # type: ignore[method-assign]  # it dies before anything is sent
        outbox = agent._store.outbox
        assert outbox is not None
        with outbox.lock:
            agent.commit([], [opened(1)])
            for number in range(100, 200):
                agent.commit([work(number, 1)])
        assert agent._store.move_spill()  # the first slice, then it dies

    os.waitpid(fork(die), 0)
    adopt(receiver, tmp_path)
    known = {span.span_id for span in receiver.spans}
    assert len(known) > 5
    assert [span.span_id for span in receiver.spans if span.parent_span_id and span.parent_span_id not in known] == []


# --- interrupts and odd exporters ------------------------------------------------------------------------------------------


def test_an_interrupt_in_mid_commit_passes_and_costs_no_span(
    receiver: Receiver, open_live: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Raised where SQLite is asked to commit, as a signal's handler would."""
    delivery = open_live()
    outbox = delivery._store.outbox
    assert outbox is not None
    held, real = outbox, outbox._connection

    class Interrupted:
        def execute(self, statement: str, *values: Any) -> Any:
            if statement == "COMMIT":
                held._connection = real
                raise KeyboardInterrupt
            return real.execute(statement, *values)

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    with outbox.lock:
        outbox._connection = Interrupted()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        delivery.commit([work(1), work(2)], [opened(3)])
    assert delivery.stats().balanced()
    delivery.commit([work(4)], closed=[(TRACE, 3)])
    assert delivery.flush(10)
    assert (delivery.stats().acknowledged, delivery.stats().queued, delivery.stats().deferred) == (3, 0, 0)
    assert ids(receiver) == [1, 2, 4]


def test_an_exporter_that_raises_anything_is_asked_again(open_live: Open) -> None:
    import asyncio

    class Odd:
        max_in_flight = 1
        asked = 0

        def send(self, body: bytes, timeout_s: float) -> ExportResult:
            self.asked += 1
            if self.asked < 4:
                raise [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(3)][self.asked - 1]
            return Accepted()

        def close(self, *, whole: bool = True) -> None:
            """Holds nothing."""

    delivery = open_live(transport=Odd())
    delivery.commit([work(1)])
    assert delivery.flush(20)
    assert delivery.stats().acknowledged == 1


def test_a_destination_that_cannot_be_opened_now_is_opened_later(
    receiver: Receiver, open_live: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    from otel_phi.errors import ConfigError

    delivery = open_live()
    real, tries = delivery._make_sender, []

    def fails_once(settled: Any) -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise ConfigError("client certificate: not there now")
        return real(settled)

    monkeypatch.setattr(delivery._courier, "_make_sender", fails_once)
    delivery.commit([work(1)])
    assert delivery.flush(20)
    assert ids(receiver) == [1]


class Asking(logging.Handler):
    """Asks for the counts while it holds its own lock."""

    def __init__(self, delivery: LiveDelivery) -> None:
        super().__init__()
        self.delivery = delivery
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        time.sleep(0.2)  # so that others wait for the lock meanwhile
        self.delivery.stats()
        self.said.append(record.getMessage())


def test_a_logging_handler_may_ask_for_the_counts(open_live: Open) -> None:
    delivery = open_live(gone())
    logger, handler = logging.getLogger("otel_phi"), Asking(delivery)
    logger.addHandler(handler)
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            with handler.lock:  # type: ignore[union-attr]  # as another thread that logs
                delivery.stats()

    threads = [threading.Thread(target=look, daemon=True) for _ in range(2)]
    try:
        for thread in threads:
            thread.start()
        delivery.commit([work(1)])
        wait(lambda: bool(handler.said))
    finally:
        stop.set()
        logger.removeHandler(handler)
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert "connection refused; spans are kept" in handler.said[0]


def test_the_server_s_own_words_make_no_new_kind_of_trouble(
    receiver: Receiver, open_live: Open, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(5):
        receiver.answer(status=503, body=f"request {number} came too early".encode(), headers={"Retry-After": "0"})
    delivery = open_live()
    delivery.commit([work(1)])
    assert delivery.flush(20)
    assert caplog.text.count("spans are kept and tried again") == 1


# --- whose folder it is ----------------------------------------------------------------------------------------------------


def harmed(state: Path, harm: str) -> None:
    """Does to a state folder what a private one never shows."""
    key = state / "key"
    match harm:
        case "state folder":
            state.chmod(0o777)
        case "outbox folder":
            (state / "outbox").chmod(0o770)
        case "key is a link":
            key.rename(state / "elsewhere")
            key.symlink_to(state / "elsewhere")
        case "key is a pipe":
            key.unlink()
            os.mkfifo(key, 0o600)
        case "key":
            key.chmod(0o666)


@pytest.mark.parametrize("harm", ["state folder", "outbox folder", "key is a link", "key is a pipe", "key"])
def test_a_folder_or_key_that_others_may_write_is_refused_with_the_reason(
    harm: str, receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "state"
    delivery = delivery_for(receiver.endpoint, state)
    delivery.commit([work(1)])
    assert delivery.shutdown(5)
    harmed(state, harm)
    again = delivery_for(receiver.endpoint, state)
    again.commit([work(2)])
    assert again.flush(5)
    said = "is no file of its own" if "is a" in harm else "can be written to by"
    assert said in again.stats().in_memory
    assert caplog.text.count(said) == 1
    assert again.shutdown(1)
    assert ids(receiver) == [1, 2]


@pytest.mark.parametrize("which", ["known.sqlite3", "*-*.sqlite3"])
def test_a_file_that_others_may_write_is_set_aside(
    which: str, receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lost_agent(receiver.endpoint, tmp_path)
    delivery_for(receiver.endpoint, tmp_path / "other").shutdown(1)
    delivery = delivery_for(receiver.endpoint, tmp_path)
    assert delivery.claim_root(work(50))
    assert delivery.flush(10)
    assert delivery.shutdown(1)
    lost_agent(receiver.endpoint, tmp_path)
    (path,) = (tmp_path / "outbox").glob(which)
    path.chmod(0o666)
    again = delivery_for(receiver.endpoint, tmp_path)
    assert again.claim_root(work(51))
    assert again.flush(10)
    assert again.shutdown(1)
    assert "can be written to by everyone (mode 666)" in caplog.text
    assert path.with_name(path.name + ".set-aside").exists()
    assert {50, 51} <= set(ids(receiver))


# --- whose spans they are --------------------------------------------------------------------------------------------------


def test_what_tells_senders_apart_that_nobody_can_look_into(tmp_path: Path) -> None:
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter

    def named(**options: Any) -> str:
        service = options.pop("service_name", "one")
        config = otel_phi.resolve(state_dir=str(tmp_path), service_name=service, **options)
        return place_of(config, Encoder(resource_of(config))).destination

    asked: dict[str, Any] = {"headers": lambda: {"authorization": "Bearer of this tenant"}}
    own: dict[str, Any] = {"exporter": ConsoleSpanExporter()}
    for options in (asked, own):
        assert named(**options) == named(**options)
        assert named(**options) != named(**options, service_name="two")
    assert named() == named(service_name="two"), "the same collector and headers: any process may send"
    pem = str(tmp_path / "client.pem")
    assert named(endpoint="https://c", client_certificate=pem) != named(endpoint="https://c")


# --- several living processes at the bound ---------------------------------------------------------------------------------


def test_a_file_whose_rows_have_gone_gives_its_pages_back(open_live: Open) -> None:
    delivery = open_live(gone())
    delivery._courier.wake = lambda: None  # type: ignore[method-assign]  # nothing is under way
    for number in range(1, 2_001):
        delivery.commit([work(number, text="x" * 2_000)])
    outbox = delivery._store.outbox
    assert outbox is not None
    assert delivery._store.move_spill() or not delivery.stats().deferred
    while outbox.rows > 100 and (evicted := outbox.evict()):
        delivery._counts.drop("outbox_full", evicted, queued=-evicted)
    for _ in range(40):
        outbox.checkpoint(0)
    assert outbox.path.stat().st_size < 2 << 20


def test_two_living_processes_at_the_folder_s_bound_drop_what_must_go_and_little_more(
    open_live: Open, tmp_path: Path
) -> None:
    bound = 12 << 20
    one, two = (open_live(gone(), limits=Limits(bytes=bound)) for _ in range(2))
    for number in range(1, 4_001):
        one.commit([work(number, text="x" * 2_000)])
        two.commit([work(10_000 + number, text="x" * 2_000)])

    def held() -> int:
        return sum(file.stat().st_size for file in (tmp_path / "outbox").iterdir())

    wait(lambda: one.stats().deferred + two.stats().deferred == 0 and held() <= bound + (4 << 20), 60)
    time.sleep(3)  # three rounds in which nobody has to give more
    for delivery in (one, two):
        assert delivery.stats().balanced()
        assert delivery.stats().queued > 1_000, "half of what the bound allows, had each given all of it"
