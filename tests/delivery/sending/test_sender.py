"""The sender loses nothing it does not say: every test ends with the counts balanced."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from otel_phi.delivery.exporters.exporter import Accepted, Exporter, ExportResult, Nowhere, Refused, Retry
from otel_phi.delivery.exporters.grpc import GrpcExporter
from otel_phi.delivery.exporters.http import HttpExporter
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.delivery.sending.batch import Batch, batches, span_key
from otel_phi.delivery.sending.sender import Sender
from otel_phi.delivery.sending.stats import DeadLetter, Progress, Stats
from otel_phi.errors import DeliveryError
from otel_phi.mapping.span import Span
from otel_phi.testing import Receiver
from tests.delivery.samples import RESOURCE, TRACE, plain_batches, plain_span

Open = Callable[..., Sender]


@pytest.fixture
def open_sender(receiver: Receiver) -> Iterator[Open]:
    """Gives senders to the receiver; whatever a test does to one, its counts balance in the end."""
    opened: list[Sender] = []

    def open_one(exporter: Exporter | None = None, **options: Any) -> Sender:
        sender = Sender(exporter or HttpExporter(receiver.endpoint + "/v1/traces"), **options)
        opened.append(sender)
        return sender

    yield open_one
    for sender in opened:
        assert sender.stats().balanced()
        sender.close()
        assert sender.stats().balanced()


def ids(receiver: Receiver) -> list[int]:
    return sorted(span.span_id for span in receiver.spans)


def test_every_span_arrives_once(receiver: Receiver, open_sender: Open) -> None:
    stats = open_sender().run(plain_batches(1000))
    assert (stats.accepted, stats.acknowledged, stats.queued) == (1000, 1000, 0)
    assert ids(receiver) == list(range(1, 1001))


def test_every_span_arrives_once_over_grpc(receiver: Receiver, open_sender: Open) -> None:
    assert open_sender(GrpcExporter(receiver.grpc_endpoint)).run(plain_batches(1000)).acknowledged == 1000
    assert ids(receiver) == list(range(1, 1001))


def test_nothing_to_send_is_no_trouble(open_sender: Open) -> None:
    assert open_sender().run([]) == Stats()


def test_outages_cost_time_but_no_span(receiver: Receiver, open_sender: Open) -> None:
    """A retried batch may arrive twice, where the answer was lost and not the request; then it is byte-identical."""
    receiver.answer(status=503)
    receiver.answer(reset=True)
    receiver.answer(status=429, headers={"Retry-After": "0"})
    receiver.answer(times=5)
    receiver.answer(raw=b"", times=2)
    stats = open_sender().run(plain_batches(200))
    assert stats.acknowledged == 200
    assert stats.retries == 5
    assert set(ids(receiver)) == set(range(1, 201))


def test_never_more_requests_at_once_than_the_exporter_allows(open_sender: Open) -> None:
    class Counting:
        max_in_flight = 4
        now = peak = 0
        lock = threading.Lock()

        def send(self, body: bytes, timeout_s: float) -> ExportResult:
            with self.lock:
                self.now += 1
                self.peak = max(self.peak, self.now)
            time.sleep(0.005)
            with self.lock:
                self.now -= 1
            return Accepted()

        def close(self, *, whole: bool = True) -> None:
            """Holds nothing."""

    exporter = Counting()
    open_sender(exporter).run(plain_batches(500))
    assert exporter.peak == 4


def test_submit_blocks_while_the_window_is_full(receiver: Receiver, open_sender: Open) -> None:
    receiver.answer(delay_s=0.3, times=4)
    sender = open_sender()
    started = time.monotonic()
    for batch in plain_batches(50):
        sender.submit(batch)
    assert time.monotonic() - started > 0.25
    sender.drain()


@pytest.mark.parametrize(("answer", "wait_s"), [({"status": 503, "headers": {"Retry-After": "1"}}, 1.0)])
def test_retry_after_holds_all_requests(
    receiver: Receiver, open_sender: Open, answer: Mapping[str, Any], wait_s: float
) -> None:
    receiver.answer(**answer)
    open_sender(give_up_after_s=0.1).run(plain_batches(10))
    first, second = receiver.requests
    assert wait_s <= second.time_s - first.time_s < wait_s * 1.1 + 0.1


@pytest.mark.parametrize("answer", [{"status": 400}, {"status": 413}, {"status": 500}])
def test_halving_isolates_the_culprits_and_delivers_all_others(
    receiver: Receiver, open_sender: Open, answer: Mapping[str, Any]
) -> None:
    culprits = {17, 18, 60}
    letters: list[DeadLetter] = []

    class Picky(HttpExporter):
        def send(self, body: bytes, timeout_s: float) -> ExportResult:
            from otel_phi.delivery.otlp.decode import decode_spans

            if culprits & {span.span_id for span in decode_spans(body)}:
                receiver.answer(**answer)
            return super().send(body, timeout_s)

    class OneByOne(Picky):
        max_in_flight = 1  # so that the scripted answer goes to its request

    sender = open_sender(OneByOne(receiver.endpoint + "/v1/traces"), on_dead=letters.append)
    stats = sender.run(plain_batches(100, per_batch=50))
    assert (stats.acknowledged, stats.dead) == (97, 3)
    assert {letter.span_id for letter in letters} == culprits
    assert letters[0] == DeadLetter(TRACE, letters[0].span_id, "turn", f"HTTP {answer['status']}")
    assert tuple(sender.dead_letters) == tuple(letters)
    assert ids(receiver) == sorted(set(range(1, 101)) - culprits)


def test_a_lone_span_that_is_refused_is_a_dead_letter(receiver: Receiver, open_sender: Open) -> None:
    receiver.answer(status=400)
    assert open_sender().run(plain_batches(1)).dead == 1


def test_three_lone_refusals_without_a_success_are_a_misconfiguration_and_all_is_kept(
    receiver: Receiver, open_sender: Open
) -> None:
    receiver.answer(status=400, body=b"missing header X-Project", times=1000)
    sender = open_sender(misconfigured_give_up_after_s=0.2)
    with pytest.raises(DeliveryError, match="settings: HTTP 400: missing header X-Project"):
        sender.run(plain_batches(40))
    assert (sender.stats().dead, sender.stats().acknowledged) == (0, 0)
    assert sender.stats().queued == sender.stats().accepted


def test_a_misconfiguration_that_is_mended_costs_nothing(receiver: Receiver, open_sender: Open) -> None:
    receiver.answer(status=401)
    receiver.answer(status=404)
    seen: list[Progress] = []
    exporter = HttpExporter(receiver.endpoint + "/v1/traces")
    exporter.max_in_flight = 1
    stats = open_sender(exporter, on_progress=seen.append).run(plain_batches(30))
    assert (stats.acknowledged, stats.dead) == (30, 0)
    assert [progress.trouble for progress in seen[:2]] == ["HTTP 401", "HTTP 404"]
    assert seen[0].next_try_s > 0.5
    assert seen[-1].trouble is None


def test_partial_success_is_counted_shown_and_never_resent(receiver: Receiver, open_sender: Open) -> None:
    receiver.answer(rejected=3, message="too old")
    sender = open_sender()
    stats = sender.run(plain_batches(10))
    assert (stats.acknowledged, stats.rejected) == (7, 3)
    assert len(receiver.requests) == 1
    assert sender.progress().rejection == "too old"


def test_a_destination_that_claims_to_reject_more_than_it_got_cannot_break_the_counts(
    receiver: Receiver, open_sender: Open
) -> None:
    receiver.answer(rejected=10**9)
    assert open_sender().run(plain_batches(5)).rejected == 5


def test_without_progress_it_gives_up_and_keeps_what_is_queued(open_sender: Open) -> None:
    with Receiver() as gone:
        pass
    sender = open_sender(HttpExporter(gone.endpoint + "/v1/traces"), give_up_after_s=1.0)
    started = time.monotonic()
    with pytest.raises(DeliveryError, match=r"connection refused \(\d+ spans not sent\)"):
        sender.run(plain_batches(100))
    assert 0.9 < time.monotonic() - started < 2.0
    stats = sender.stats()
    assert stats.queued == stats.accepted > 0
    with pytest.raises(DeliveryError):
        sender.submit(plain_batches(1)[0])


def test_giving_up_at_once_tries_once(open_sender: Open) -> None:
    with Receiver() as gone:
        pass
    sender = open_sender(HttpExporter(gone.endpoint + "/v1/traces"), give_up_after_s=0.0)
    with pytest.raises(DeliveryError):
        sender.run(plain_batches(1))
    assert sender.stats().posts == 1


def test_acknowledged_batches_are_reported_and_only_those(receiver: Receiver, open_sender: Open) -> None:
    noted: list[Batch] = []
    receiver.answer(status=503)
    open_sender(on_acknowledged=noted.append).run(plain_batches(100))
    keys = sorted(key for batch in noted for key in batch.keys)
    assert keys == [span_key(plain_span(number)) for number in range(1, 101)]


def test_a_callback_that_fails_stops_nothing(
    receiver: Receiver, open_sender: Open, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(_: Batch) -> None:
        raise RuntimeError("the ledger is gone")

    assert open_sender(on_acknowledged=failing).run(plain_batches(20)).acknowledged == 20
    assert "delivery goes on" in caplog.text


def test_an_exporter_that_raises_loses_nothing(open_sender: Open) -> None:
    class Raising:
        max_in_flight = 1
        calls = 0

        def send(self, body: bytes, timeout_s: float) -> ExportResult:
            self.calls += 1
            if self.calls == 1:
                raise RuntimeError("surprise")
            return Accepted()

        def close(self, *, whole: bool = True) -> None:
            """Holds nothing."""

    assert open_sender(Raising()).run(plain_batches(10)).acknowledged == 10


def test_closing_ends_a_long_wait_at_once(receiver: Receiver, open_sender: Open) -> None:
    receiver.answer(status=503, headers={"Retry-After": "3600"})
    sender = open_sender(give_up_after_s=math.inf)
    sender.submit(plain_batches(1)[0])
    receiver.wait_for_requests(1)
    while sender.progress().trouble is None:
        time.sleep(0.01)
    assert 800 < sender.progress().next_try_s <= 900
    started = time.monotonic()
    sender.close()
    assert time.monotonic() - started < 0.5
    assert sender.stats().queued == 1


def test_closing_waits_for_requests_under_way_so_that_they_count_as_acknowledged(
    receiver: Receiver, open_sender: Open
) -> None:
    receiver.answer(delay_s=0.3)
    noted: list[Batch] = []
    sender = open_sender(on_acknowledged=noted.append)
    sender.submit(plain_batches(1)[0])
    receiver.wait_for_requests(1)
    sender.close()
    assert (len(noted), sender.stats().acknowledged) == (1, 1)


def test_leaving_with_an_exception_tells_the_exporter_that_spans_are_missing() -> None:
    noted: list[bool] = []

    class Noting(Nowhere):
        def close(self, *, whole: bool = True) -> None:
            noted.append(whole)

    with Sender(Noting("x")) as sender:
        sender.run(plain_batches(1))
    with pytest.raises(KeyboardInterrupt), Sender(Noting("x")):
        raise KeyboardInterrupt
    assert noted == [True, False]


def test_what_is_left_out_on_purpose_is_counted_by_reason(open_sender: Open) -> None:
    sender = open_sender(Nowhere("sdk_disabled"))
    sender.drop("sampled_out", 3)
    sender.drop("sampled_out", 2)
    stats = sender.run(plain_batches(10))
    assert stats.accepted == 15
    assert dict(stats.dropped) == {"sampled_out": 5, "sdk_disabled": 10}


def test_a_destination_that_asks_for_no_wait_at_all_is_not_asked_without_end(
    receiver: Receiver, open_sender: Open
) -> None:
    receiver.answer(status=503, headers={"Retry-After": "0"}, times=100_000)
    sender = open_sender(give_up_after_s=1.0)
    with pytest.raises(DeliveryError):
        sender.run(plain_batches(1))
    assert 3 < sender.stats().posts < 20


def test_the_counts_balance_at_any_moment(receiver: Receiver, open_sender: Open) -> None:
    for status in (503, 400, 200, 413, 200, 502, 200):
        receiver.answer(status=status)
    sender = open_sender()
    done = threading.Event()
    unbalanced: list[Stats] = []

    def watch() -> None:
        while not done.is_set():
            stats = sender.stats()
            if not stats.balanced():
                unbalanced.append(stats)

    watcher = threading.Thread(target=watch)
    watcher.start()
    sender.run(plain_batches(300))
    done.set()
    watcher.join()
    assert not unbalanced


def test_refusals_at_random_lose_and_double_nothing(open_sender: Open) -> None:
    """Spans divisible by 7 are refused for good, every third post fails for now; all others arrive exactly once."""
    arrived: list[int] = []
    lock = threading.Lock()

    class Moody:
        max_in_flight = 4
        posts = 0

        def send(self, body: bytes, timeout_s: float) -> ExportResult:
            from otel_phi.delivery.otlp.decode import decode_spans

            found = [span.span_id for span in decode_spans(body)]
            with lock:
                self.posts += 1
                if self.posts % 3 == 0:
                    return Retry("busy", 0.0)
                if any(number % 7 == 0 for number in found):
                    return Refused("seven")
                arrived.extend(found)
            return Accepted()

        def close(self, *, whole: bool = True) -> None:
            """Holds nothing."""

    stats = open_sender(Moody()).run(plain_batches(200, per_batch=25))
    assert sorted(arrived) == [number for number in range(1, 201) if number % 7]
    assert stats.dead == 200 // 7


def test_batches_are_cut_by_bytes_and_keep_order() -> None:
    encoder = Encoder(RESOURCE)
    spans = [plain_span(number, "x" * (number % 50)) for number in range(1, 500)]
    cut = list(batches(iter(spans), encoder, 2000))
    assert all(len(batch.body()) <= batch.size_bytes <= 2000 for batch in cut)
    assert [key for batch in cut for key in batch.keys] == [span_key(span) for span in spans]


def test_a_span_larger_than_a_request_travels_alone() -> None:
    huge = Span("x" * 5000, TRACE, 2, 0, plain_span(1).kind, 1, 2)
    cut = list(batches([plain_span(1), huge, plain_span(3)], Encoder(RESOURCE), 2000))
    assert [batch.count for batch in cut] == [1, 1, 1]


def test_halves_together_are_the_whole() -> None:
    (batch,) = plain_batches(7)
    left, right = batch.halves()
    assert left.entries + right.entries == batch.entries
    assert left.keys + right.keys == batch.keys


INTERRUPTED = """
import sys
from otel_phi.delivery.exporters.http import HttpExporter
from otel_phi.delivery.sending.sender import Sender
from tests.delivery.samples import plain_batches

sender = Sender(HttpExporter(sys.argv[1]), give_up_after_s=600)
try:
    with sender:
        sender.run(plain_batches(1000))
except KeyboardInterrupt:
    stats = sender.stats()
    print(stats.balanced(), stats.acknowledged, stats.queued > 0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT is POSIX's")
def test_ctrl_c_ends_an_export_at_once_with_balanced_counts(receiver: Receiver) -> None:
    receiver.answer(times=3)
    receiver.answer(status=503, headers={"Retry-After": "3600"}, times=100)
    command = [sys.executable, "-c", INTERRUPTED, receiver.endpoint + "/v1/traces"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        receiver.wait_for_requests(4, timeout_s=10)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        out, _ = process.communicate(timeout=10)
    assert out == "True 30 True\n"
    assert time.monotonic() - started < 3
