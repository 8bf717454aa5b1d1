"""Live delivery: committed is committed, the agent is never hurt, and the counts balance at the end of every test."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from otel_phi.delivery.live import LiveDelivery
from otel_phi.delivery.upkeep import Limits

from otel_phi.delivery import store as stores
from otel_phi.delivery.exporters.exporter import Accepted, ExportResult, Refused
from otel_phi.delivery.exporters.open import resource_of
from otel_phi.delivery.sending.stats import LiveStats
from otel_phi.testing import Receiver
from tests.delivery.live_agent import config_for, delivery_for, gone, opened, work

Open = Callable[..., LiveDelivery]
posix = pytest.mark.skipif(sys.platform == "win32", reason="record locks, signals and forks are POSIX's")
pytestmark = posix


@pytest.fixture
def open_live(receiver: Receiver, tmp_path: Path) -> Iterator[Open]:
    """Gives live deliveries to the receiver; whatever a test does to one, its counts balance in the end."""
    opened_ones: list[LiveDelivery] = []

    def open_one(endpoint: str | None = None, **options: Any) -> LiveDelivery:
        delivery = delivery_for(endpoint or receiver.endpoint, tmp_path, **options)
        opened_ones.append(delivery)
        return delivery

    yield open_one
    for delivery in opened_ones:
        assert delivery.stats().balanced()
        delivery.shutdown(1.0)
        assert delivery.stats().balanced()
        assert delivery.stats().queued >= 0


def run(receiver: Receiver | str, state: Path, *words: object) -> subprocess.Popen[str]:
    endpoint = receiver if isinstance(receiver, str) else receiver.endpoint
    command = [sys.executable, "-m", "tests.delivery.live_agent", endpoint, str(state), *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def ids(receiver: Receiver) -> list[int]:
    return sorted(span.span_id for span in receiver.spans)


def files(state: Path, suffix: str = ".sqlite3") -> list[Path]:
    return [path for path in (state / "outbox").glob(f"*{suffix}") if path.name != "known.sqlite3"]


# --- the plain road --------------------------------------------------------------------------------------------------


def test_every_span_arrives_once_and_nothing_is_left_behind(
    receiver: Receiver, open_live: Open, tmp_path: Path
) -> None:
    delivery = open_live()
    for number in range(1, 501):
        delivery.commit([work(number)])
    assert delivery.flush(5)
    stats = delivery.stats()
    assert (stats.accepted, stats.acknowledged, stats.queued, stats.deferred) == (500, 500, 0, 0)
    assert delivery.shutdown(2)
    assert ids(receiver) == list(range(1, 501))
    assert files(tmp_path) == files(tmp_path, ".lock") == []


def test_the_counts_balance_at_any_moment(receiver: Receiver, open_live: Open) -> None:
    receiver.answer(status=503)
    receiver.answer(rejected=2)
    delivery = open_live()
    seen: list[LiveStats] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            stats = delivery.stats()
            if not stats.balanced():
                seen.append(stats)

    watcher = threading.Thread(target=watch)
    watcher.start()

    def agent(first: int) -> None:
        for number in range(first, first + 100):
            delivery.commit([work(number)])

    threads = [threading.Thread(target=agent, args=(first * 1000,)) for first in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    delivery.drop("sampled_out", 7)
    assert delivery.flush(10)
    done.set()
    watcher.join()
    assert seen == []
    stats = delivery.stats()
    assert (stats.accepted, stats.rejected, dict(stats.dropped)) == (407, 2, {"sampled_out": 7})


def test_a_poison_span_costs_no_neighbour_and_is_kept_with_its_reason(open_live: Open, tmp_path: Path) -> None:
    arrived: list[int] = []

    class Picky:
        max_in_flight = 4

        def send(self, body: bytes, timeout_s: float) -> ExportResult:
            from otel_phi.delivery.otlp.decode import decode_spans

            numbers = [span.span_id for span in decode_spans(body)]
            if 13 in numbers:
                return Refused("unlucky")
            arrived.extend(numbers)
            return Accepted()

        def close(self, *, whole: bool = True) -> None:
            """Holds nothing."""

    delivery = open_live(transport=Picky())
    for number in range(1, 41):
        delivery.commit([work(number)])
    assert delivery.flush(10)
    assert delivery.stats().dead == 1
    assert sorted(arrived) == [n for n in range(1, 41) if n != 13]
    delivery.shutdown(1)
    assert len(files(tmp_path)) == 1, "the dead letter is kept"


def test_where_nothing_is_sent_everything_counts_as_dropped_and_no_file_is_made(tmp_path: Path) -> None:
    config = config_for("http://localhost:1", tmp_path / "none", exporter="none")
    delivery = LiveDelivery(config, resource_of(config))
    delivery.commit([work(1)], [opened(2)])
    assert delivery.claim_root(work(3))
    assert delivery.flush(1)
    assert delivery.shutdown(1)
    assert dict(delivery.stats().dropped) == {"exporter_none": 2}
    assert delivery.stats().balanced()
    assert not (tmp_path / "none" / "outbox").exists()


def test_what_comes_after_shutdown_is_counted(open_live: Open) -> None:
    delivery = open_live()
    delivery.commit([work(1)])
    assert delivery.shutdown(2)
    delivery.commit([work(2)])
    assert dict(delivery.stats().dropped) == {"shut_down": 1}


# --- however the process ends ----------------------------------------------------------------------------------------


def test_sigkill_at_random_points_loses_no_committed_span(receiver: Receiver, tmp_path: Path) -> None:
    """20 kills, two agents at a time, the collector refusing half of the time. What comes twice is byte-identical."""
    committed = killed_at_random(receiver, tmp_path, random.Random(5), kills=20)
    assert adopt(receiver, tmp_path)
    arrived = {span.span_id: span for span in receiver.spans}
    assert committed - set(arrived) == set()
    assert all(arrived[span.span_id] == span for span in receiver.spans)
    assert files(tmp_path) == files(tmp_path, ".lock") == []


def killed_at_random(receiver: Receiver, state: Path, chance: random.Random, *, kills: int) -> set[int]:
    """Kills agents that commit, two at a time, beside a collector that refuses now and then; returns what was committed."""
    committed: set[int] = set()
    for round_ in range(kills // 2):
        receiver.answer(status=503, times=chance.randrange(40))
        agents = [run(receiver, state, "for-ever", 1 + (2 * round_ + which) * 10**6) for which in (0, 1)]
        for agent in agents:
            assert agent.stdout is not None
            committed.add(int(agent.stdout.readline()))
        time.sleep(chance.uniform(0.0, 0.15))
        for agent in agents:
            agent.send_signal(signal.SIGKILL)
            out, _ = agent.communicate()
            committed.update(int(line) for line in out.splitlines())
    receiver.forget_script()
    return committed


def adopt(receiver: Receiver, state: Path, within_s: float = 10.0) -> str:
    with run(receiver, state, "adopt", within_s) as agent:
        out, _ = agent.communicate(timeout=within_s + 20)
    assert out.startswith("True ")
    assert out.endswith(" True\n")
    return out


def test_os_exit_right_after_the_commit_loses_nothing(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answer(status=503, times=1000)
    with run(receiver, tmp_path, "commit", 1, 300) as agent:
        out, _ = agent.communicate()
    deferred = int(out.removeprefix("committed "))  # not 0 on a disk that is busy; those were not promised
    receiver.forget_script()
    adopt(receiver, tmp_path)
    assert set(ids(receiver)) >= set(range(1, 301 - deferred))
    assert files(tmp_path) == files(tmp_path, ".lock") == []


def test_shutdown_with_the_collector_down_is_bounded_and_the_next_start_delivers(
    receiver: Receiver, open_live: Open, tmp_path: Path
) -> None:
    receiver.answer(status=503, headers={"Retry-After": "3600"}, times=1000)
    first = open_live()
    for number in range(1, 101):
        first.commit([work(number)])
    started = time.monotonic()
    assert not first.shutdown(1.0)
    assert time.monotonic() - started < 1.5
    assert first.stats().queued == 100
    receiver.forget_script()
    second = open_live()
    assert second.flush(5)
    assert second.stats().adopted == 100
    assert ids(receiver) == list(range(1, 101))


def test_a_collector_that_hangs_cannot_hold_up_shutdown(receiver: Receiver, open_live: Open) -> None:
    receiver.answer(delay_s=3, times=10)
    delivery = open_live()
    delivery.commit([work(1)])
    receiver.wait_for_requests(1)
    started = time.monotonic()
    assert not delivery.shutdown(0.5)
    assert time.monotonic() - started < 1.0


# --- fork ------------------------------------------------------------------------------------------------------------


def test_forked_children_deliver_their_own_spans_and_none_leaves_twice(
    receiver: Receiver, open_live: Open, tmp_path: Path
) -> None:
    delivery = open_live()
    stop = threading.Event()
    numbers = iter(range(1, 10**6))
    made: list[int] = []

    def busy() -> None:
        while not stop.is_set():
            made.append(next(numbers))
            delivery.commit([work(made[-1])])

    agent = threading.Thread(target=busy)
    agent.start()
    children = []
    try:
        for child in range(1, 6):
            time.sleep(0.05)
            children.append(fork(lambda child=child: in_child(delivery, child * 10**6)))  # type: ignore[misc]  # a default binds
    finally:
        stop.set()
        agent.join()
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 5
    assert delivery.flush(10)
    expected = [*made, *(child * 10**6 + i for child in range(1, 6) for i in range(50))]
    assert set(ids(receiver)) == set(expected)
    # A child that ends by `os._exit` with a request under way cannot note that it was acknowledged: its parent sends those
    # spans again, the same bytes. Of all others none leaves twice.
    doubles = Counter(ids(receiver)) - Counter(expected)
    assert {number // 10**6 for number in doubles} <= {2, 4}
    first = {span.span_id: span for span in reversed(receiver.spans)}
    assert all(first[span.span_id] == span for span in receiver.spans)
    delivery.shutdown(2)
    assert files(tmp_path) == []


def in_child(delivery: LiveDelivery, first: int) -> None:
    for number in range(first, first + 50):
        delivery.commit([work(number)])
    stats = delivery.stats()
    assert stats.accepted - stats.adopted == 50  # a sibling's may be among them
    if first % 2_000_000:
        assert delivery.shutdown(5)  # the others leave it to their parent


def fork(do: Callable[[], None]) -> int:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads; they are the point
        pid = os.fork()
    if pid:
        return pid
    try:
        do()
        os._exit(0)
    except BaseException:  # noqa: BLE001  # a failed assertion must not run the parent's tests on
        import traceback

        traceback.print_exc()
        os._exit(1)


# --- memory and disk -------------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_means_memory_and_one_warning(
    receiver: Receiver, open_live: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "outbox").write_text("a file in the way")
    delivery = open_live()
    for number in range(1, 101):
        delivery.commit([work(number)], [opened(1000 + number)])
    assert delivery.claim_root(work(500))
    assert not delivery.claim_root(work(500))
    assert delivery.flush(5)
    assert (delivery.stats().acknowledged, delivery.stats().deferred) == (101, 0)
    assert delivery.stats().in_memory
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert len(ids(receiver)) == 101


def test_a_folder_everyone_may_write_to_is_refused_with_the_reason(open_live: Open, tmp_path: Path) -> None:
    (tmp_path / "outbox").mkdir()
    (tmp_path / "outbox").chmod(0o777)
    delivery = open_live()
    delivery.commit([work(1)])
    assert "can be written to by everyone" in delivery.stats().in_memory
    assert delivery.flush(5)


def test_memory_is_bounded_oldest_out_and_counted(
    open_live: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_phi.delivery.store.Place.spill_bytes", 0, raising=False)
    (tmp_path / "outbox").write_text("a file in the way")
    delivery = open_live(gone())
    delivery._store.spill._max_bytes = 10_000
    for number in range(1, 1001):
        delivery.commit([work(number)])
    stats = delivery.stats()
    assert stats.balanced()
    assert dict(stats.dropped)[stores.BUFFER_FULL] > 800


def test_a_full_disk_costs_nothing_and_heals(receiver: Receiver, open_live: Open) -> None:
    """The error is injected in SQLite itself: the file may have no more pages."""
    receiver.answer(status=503, headers={"Retry-After": "1"}, times=2)
    delivery = open_live()
    outbox = delivery._store.outbox
    assert outbox is not None
    with outbox.lock:
        outbox._connection.execute("PRAGMA max_page_count=40")
    for number in range(1, 401):
        delivery.commit([work(number, text="x" * 1000)])
    assert delivery.stats().deferred > 200
    assert delivery.stats().balanced()
    with outbox.lock:
        outbox._connection.execute("PRAGMA max_page_count=1000000")
    delivery.commit([work(401)])
    assert delivery.flush(10)
    assert (delivery.stats().acknowledged, delivery.stats().deferred) == (401, 0)
    assert ids(receiver) == list(range(1, 402))


def test_a_disk_that_stays_full_does_not_keep_spans_from_leaving(receiver: Receiver, open_live: Open) -> None:
    delivery = open_live()
    outbox = delivery._store.outbox
    assert outbox is not None
    with outbox.lock:
        outbox._connection.execute("PRAGMA max_page_count=30")
    for number in range(1, 201):
        delivery.commit([work(number, text="x" * 1000)])
    assert receiver.wait_for(200, 10)
    assert set(ids(receiver)) == set(range(1, 201))


def test_a_slow_disk_is_left_alone_for_a_while(
    receiver: Receiver, open_live: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = open_live()
    outbox = delivery._store.outbox
    assert outbox is not None
    write = outbox.write_locked

    def slow(change: Any) -> bool:
        time.sleep(0.06)
        return write(change)

    monkeypatch.setattr(outbox, "write_locked", slow)
    delivery.commit([work(1)])
    started = time.monotonic()
    delivery.commit([work(2)])
    assert time.monotonic() - started < 0.05
    assert delivery.stats().deferrals == 1
    assert delivery.flush(5)
    assert ids(receiver) == [1, 2]


def test_bounds_of_the_folder_evict_the_oldest_and_count_them(open_live: Open, tmp_path: Path) -> None:
    delivery = open_live(gone(), limits=Limits(bytes=3 << 20))
    for number in range(1, 3001):
        delivery.commit([work(number, text="x" * 2000)])
    deadline = time.monotonic() + 30
    outbox = delivery._store.outbox
    assert outbox is not None
    while (outbox.used_bytes() > 3 << 20 or delivery.stats().deferred) and time.monotonic() < deadline:
        time.sleep(0.05)
    stats = delivery.stats()
    assert stats.balanced()
    assert dict(stats.dropped)["outbox_full"] > 500
    assert stats.queued > 200
    with outbox.lock:
        (last,) = outbox._connection.execute("SELECT max(id) FROM span").fetchone()
    assert last == 3000, "the newest stay"


def test_old_spans_go_and_are_counted(open_live: Open) -> None:
    delivery = open_live(gone(), limits=Limits(age_s=0.5))
    for number in range(1, 6001):
        delivery.commit([work(number, text="x" * 1000)])
    deadline = time.monotonic() + 10
    while dict(delivery.stats().dropped).get("too_old", 0) <= 100 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert dict(delivery.stats().dropped)["too_old"] > 100


def test_the_log_stays_small_and_commits_quick_while_spans_are_sent(
    receiver: Receiver, open_live: Open, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    delivery = open_live()
    took = []
    largest = 0
    for number in range(1, 5_001):
        started = time.perf_counter()
        delivery.commit([work(number, text="x" * 1500)])
        took.append(time.perf_counter() - started)
        time.sleep(0.0002)  # some 2,000 commits a second, a hundred times what an agent does
        if number % 100 == 0:
            largest = max([largest, *(path.stat().st_size for path in (tmp_path / "outbox").glob("*-wal"))])
    assert delivery.flush(20)
    took.sort()
    with capsys.disabled():
        print(  # noqa: T201  # figures to look at, not to fail on: machines are noisy
            f"\ncommit of 1.7 kB beside the sender: median {took[2500] * 1e6:.0f} us, p99 {took[4950] * 1e6:.0f},"
            f" p99.9 {took[4995] * 1e6:.0f}, longest {took[-1] * 1e3:.1f} ms; deferred {delivery.stats().deferrals};"
            f" largest log {largest >> 10} KiB"
        )
    assert largest < 32 << 20, "16 on a machine that does much else; some 100 without checkpoints"
    assert delivery.stats().acknowledged == 5_000
