"""Adoption: what dead processes left arrives, once, and no trace keeps an orphan."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
import time
from pathlib import Path

import msgspec
import pytest
from otel_phi.delivery.outbox import Outbox
from otel_phi.delivery.outbox_recovery import with_end

from otel_phi.delivery.otlp.decode import decode_spans
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.mapping.span import Span, SpanKind
from otel_phi.testing import Receiver
from tests.delivery.live_agent import START, TRACE, delivery_for, opened, work
from tests.delivery.samples import RESOURCE, full_span
from tests.delivery.test_live import adopt, files, fork, ids, run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="record locks and forks are POSIX's")


def lost_agent(endpoint: str, state: Path) -> None:
    """Leaves loop 1 with turns 2 (closed) and 3 (open), loop 10 without anything, and loop 20 closed."""

    def die() -> None:
        agent = delivery_for(endpoint, state)
        agent._courier.wake = lambda: None  # type: ignore[method-assign]  # it dies before anything is sent
        agent.commit([], [opened(1)])
        agent.commit([], [opened(2, 1)])
        agent.commit([work(2, 1), work(4, 2)], closed=[(TRACE, 2)])
        agent.commit([], [opened(3, 1)])
        agent.commit([], [opened(10), opened(20)])
        agent.commit([work(20, name="invoke_agent")], closed=[(TRACE, 20)])

    os.waitpid(fork(die), 0)


def test_what_a_lost_process_held_open_leaves_as_aborted_with_its_own_ids(receiver: Receiver, tmp_path: Path) -> None:
    lost_agent(receiver.endpoint, tmp_path)
    adopt(receiver, tmp_path)
    spans = {span.span_id: span for span in receiver.spans}
    assert sorted(spans) == [1, 2, 3, 4, 10, 20]
    assert len(receiver.spans) == 6
    assert {number for number, span in spans.items() if span.get("error.type") == "process_lost"} == {1, 3, 10}
    ends = {number: span.end_ns - START for number, span in spans.items()}
    assert ends == {1: 7, 2: 7, 3: 4, 4: 9, 10: 11, 20: 25}, "at its latest committed child, else 1 ns after its start"
    assert spans[3].parent_span_id == 1
    assert files(tmp_path) == []


def test_what_opened_and_closed_while_the_disk_was_busy_is_written_in_order(receiver: Receiver, tmp_path: Path) -> None:
    def die() -> None:
        agent = delivery_for(receiver.endpoint, tmp_path)
        agent._courier.wake = lambda: None  # type: ignore[method-assign]  # it dies before anything is sent
        outbox = agent._store.outbox
        assert outbox is not None
        with outbox.lock:
            agent.commit([], [opened(1), opened(20)])
            agent.commit([work(2, 1)])
            agent.commit([work(20)], closed=[(TRACE, 20)])
        assert agent.stats().deferred == 2
        agent.commit([work(3, 1)], [opened(30)])
        assert agent.stats().deferred == 0

    os.waitpid(fork(die), 0)
    adopt(receiver, tmp_path)
    ends = {span.span_id: span.end_ns - START for span in receiver.spans}
    assert ends == {1: 8, 2: 7, 3: 8, 20: 25, 30: 31}
    assert len(receiver.spans) == 5


def test_a_forked_child_leaves_its_dead_parent_s_file_to_others(receiver: Receiver, tmp_path: Path) -> None:
    """What SQLite remembers of the parent's files came along with the fork."""
    read, write = os.pipe()

    def parent() -> None:
        agent = delivery_for(receiver.endpoint, tmp_path)
        agent._courier.wake = lambda: None  # type: ignore[method-assign]  # it dies before anything is sent
        agent.commit([work(1)])
        family = os.getpid()

        def child() -> None:
            while os.getppid() == family:
                time.sleep(0.01)
            agent.commit([work(2)])
            assert agent.flush(5)
            assert agent.stats().adopted == 0
            assert agent.shutdown(2)
            os.write(write, b"done")

        fork(child)

    os.waitpid(fork(parent), 0)
    assert os.read(read, 4) == b"done"
    os.close(read)
    os.close(write)
    assert ids(receiver) == [2]
    assert adopt(receiver, tmp_path) == "True 1 True\n"
    assert ids(receiver) == [1, 2]


def test_two_processes_that_adopt_at_once_send_everything_once(receiver: Receiver, tmp_path: Path) -> None:
    for _ in range(3):
        lost_agent(receiver.endpoint, tmp_path)
    agents = [run(receiver, tmp_path, "adopt", 10) for _ in range(2)]
    outs = [agent.communicate(timeout=30)[0].split() for agent in agents]
    assert sum(int(out[1]) for out in outs) == 18
    assert [out[2] for out in outs] == ["True", "True"]
    assert ids(receiver) == sorted([1, 2, 3, 4, 10, 20] * 3)


def test_a_lost_loop_ends_no_earlier_than_what_was_open_below_it(receiver: Receiver, tmp_path: Path) -> None:
    def die() -> None:
        agent = delivery_for(receiver.endpoint, tmp_path)
        agent._courier.wake = lambda: None  # type: ignore[method-assign]  # it dies before anything is sent
        agent.commit([], [opened(1)])
        agent.commit([], [opened(2, 1)])
        agent.commit([], [opened(3, 2)])
        agent.commit([work(500, 3)])

    os.waitpid(fork(die), 0)
    adopt(receiver, tmp_path)
    ends = {span.span_id: span.end_ns - START for span in receiver.spans}
    assert ends == {1: 505, 2: 505, 3: 505, 500: 505}


def test_hundreds_of_dead_files_cost_few_descriptors_at_once_and_all_are_sent(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(8):
        lost_agent(receiver.endpoint, tmp_path)
    for number, path in enumerate(files(tmp_path)):
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        for copy in range(12):
            shutil.copy(path, path.with_name(f"{path.name.split('-')[0]}-{number}-{copy:08x}.sqlite3"))
    assert len(files(tmp_path)) == 104
    receiver.answer(status=503, times=2)
    delivery = delivery_for(receiver.endpoint, tmp_path)
    most: list[int] = []
    adopt_one = delivery._shelves.adopt

    def counted(outbox: Outbox) -> None:
        adopt_one(outbox)
        most.append(len(delivery._shelves.adopted))

    monkeypatch.setattr(delivery._shelves, "adopt", counted)
    assert delivery.flush(60)
    stats = delivery.stats()
    assert (stats.adopted, stats.acknowledged, stats.queued, max(most)) == (104 * 6, 104 * 6, 0, 8)
    assert stats.balanced()
    assert delivery.shutdown(2)
    assert files(tmp_path) == []


def test_a_living_process_is_left_alone(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answer(status=503, headers={"Retry-After": "3600"}, times=1)
    with run(receiver, tmp_path, "wait", 7) as agent:
        assert agent.stdout is not None
        assert agent.stdout.readline() == "ready\n"
        receiver.wait_for_requests(1)
        assert adopt(receiver, tmp_path) == "True 0 True\n"
        agent.send_signal(signal.SIGKILL)
        agent.communicate()
    assert adopt(receiver, tmp_path) == "True 1 True\n"
    assert ids(receiver) == [7]


def test_another_destination_s_spans_are_left_alone(receiver: Receiver, tmp_path: Path) -> None:
    with Receiver() as other:
        lost_agent(other.endpoint, tmp_path)
        assert adopt(receiver, tmp_path) == "True 0 True\n"
        assert receiver.spans == ()
        assert adopt(other, tmp_path) == "True 6 True\n"


def test_damaged_and_newer_files_are_set_aside_and_named_and_the_rest_arrives(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        lost_agent(receiver.endpoint, tmp_path)
    damaged, newer, whole = files(tmp_path)
    for suffix in ("-wal", "-shm"):
        damaged.with_name(damaged.name + suffix).unlink(missing_ok=True)
    damaged.write_bytes(b"no database at all, but long enough to be taken for one" * 100)
    connection = sqlite3.connect(newer)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    delivery = delivery_for(receiver.endpoint, tmp_path)
    assert delivery.flush(10)
    assert (delivery.stats().adopted, delivery.stats().acknowledged) == (6, 6)
    assert delivery.stats().balanced()
    assert delivery.shutdown(1)
    assert sorted(files(tmp_path, ".set-aside")) == sorted(Path(f"{path}.set-aside") for path in (damaged, newer))
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 2
    assert any(damaged.name in text and "damaged" in text for text in warnings)
    assert any(newer.name in text and "newer otel-phi (schema 99" in text for text in warnings)
    assert not whole.exists()


def test_our_own_file_damaged_while_we_work_is_replaced(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is injected: SQLite says so, the file itself is whole."""
    receiver.answer(status=503, headers={"Retry-After": "1"})
    delivery = delivery_for(receiver.endpoint, tmp_path)
    delivery.commit([work(1)])
    receiver.wait_for_requests(1)
    outbox = delivery._store.outbox
    assert outbox is not None
    for number in (2, 3):
        delivery.commit([work(number)])
    with outbox.lock:
        outbox.failed(sqlite3.DatabaseError("database disk image is malformed"))
    assert delivery.flush(10)
    delivery.commit([work(4)])
    assert delivery.flush(10)
    stats = delivery.stats()
    assert stats.balanced()
    assert set(ids(receiver)) >= {1, 4}
    assert stats.acknowledged + dict(stats.dropped).get("damaged", 0) == 4
    assert "set aside" in caplog.text
    assert delivery.shutdown(1)


def test_an_end_is_set_in_the_encoded_bytes_and_nothing_else_changes() -> None:
    encoder = Encoder(RESOURCE)
    tricky = Span("A" + "\x41" * 60, TRACE, 5, 6, SpanKind.INTERNAL, START, START + 1, (("A", "A" * 300),))
    for span in (full_span(), tricky):
        (found,) = decode_spans(encoder.request([with_end(encoder.span(span), START + 77)]))
        (before,) = decode_spans(encoder.request([encoder.span(span)]))
        assert found.end_ns == START + 77
        assert found == msgspec.structs.replace(before, end_ns=START + 77)
