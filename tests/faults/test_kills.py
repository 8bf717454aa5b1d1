"""Agents are killed at random moments on a busy machine: what the hook had returned for arrives, the same, and whole."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from otel_phi.mapping.span import Span
from otel_phi.pipeline import Pipeline
from otel_phi.testing import Receiver
from tests.faults.agents import FACTS, THREADS, story_of
from tests.golden import PROJECT
from tests.hook.stories import OPTIONS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills and record locks are POSIX's")
SOAK = bool(os.environ.get("OTEL_PHI_SOAK"))
KILLS = int(os.environ.get("OTEL_PHI_SOAK_KILLS", "200" if SOAK else "5"))
SEED = 20_261_126


@contextmanager
def burners(count: int = 2) -> Iterator[None]:
    """Keeps so many cores busy."""
    with ExitStack() as stack:
        for _ in range(count):
            burner = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(burner.kill)
        yield


@contextmanager
def endless(state: Path, endpoint: str, protocol: str, name: str, count: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs an agent of several threads that says, after each call of the hook, that it returned."""
    count.write_bytes(bytes(8 * THREADS))
    command = [sys.executable, "-m", "tests.faults.agents", "endless", endpoint, state, protocol, name, count]
    with subprocess.Popen(list(map(str, command)), cwd=PROJECT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def returned(count: Path) -> list[int]:
    """Returns how many calls returned, by thread."""
    found = count.read_bytes()
    return [int.from_bytes(found[at : at + 8], "little") for at in range(0, 8 * THREADS, 8)]


def spans_of(name: str, thread: int, facts: int) -> Counter[bytes]:
    """Returns what a thread's first facts give, its process lost after them."""
    found: Counter[bytes] = Counter()
    for number in itertools.count():
        if facts <= 0:
            return found
        pipeline = Pipeline(OPTIONS)
        story = story_of(name, thread, number)
        found.update(bag([span for event in story[:facts] for span in pipeline.feed(event)]))
        found.update(bag(pipeline.finish(lost=True)))
        facts -= FACTS
    return found


def bag(spans: list[Span]) -> Counter[bytes]:
    return Counter(repr(span).encode() for span in spans)


def adopt(state: Path, endpoint: str, protocol: str) -> None:
    """Sends what all of them left."""
    command = [sys.executable, "-m", "tests.faults.agents", "adopts", endpoint, state, protocol]
    subprocess.run(list(map(str, command)), cwd=PROJECT, check=True, timeout=600)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_kills_at_random_points_on_a_busy_machine(protocol: str, tmp_path: Path) -> None:
    """0 lost of what the hook had returned for; doubles are the same to the last byte, no orphan, nothing invented."""
    chance = random.Random(SEED)
    state, kills = tmp_path / "state", KILLS // 2 + (protocol == "grpc")
    told: list[tuple[str, list[int]]] = []
    with Receiver(grpc=protocol == "grpc") as receiver:
        endpoint = receiver.grpc_endpoint if protocol == "grpc" else receiver.endpoint
        with burners():
            for kill in range(kills):
                refuse(receiver, chance)
                name, count = f"{protocol} {kill}", tmp_path / f"count-{kill}"
                with endless(state, endpoint, protocol, name, count) as agent:
                    time.sleep(chance.uniform(0.0, 0.4))
                    agent.send_signal(signal.SIGKILL)
                    agent.wait()
                told.append((name, returned(count)))
        receiver.forget_script()
        adopt(state, endpoint, protocol)
        check(receiver.spans, told)
    assert list((state / "outbox").rglob("*.journal")) == []


def refuse(receiver: Receiver, chance: random.Random) -> None:
    """Has a collector refuse now and then, before or after it took what was sent."""
    for _ in range(chance.randrange(10)):
        answer: dict[str, Any] = chance.choice([{"status": 503, "grpc_status": "UNAVAILABLE"}, {}, {"reset": True}])
        receiver.answer(**answer)


def check(arrived: tuple[Span, ...], told: list[tuple[str, list[int]]]) -> None:
    spans = bag(list(arrived))
    ids = {(span.trace_id, span.span_id) for span in arrived}
    assert len(spans) == len(ids), "what came twice is the same"
    assert [span for span in arrived if span.parent_span_id and (span.trace_id, span.parent_span_id) not in ids] == []
    wanted: set[bytes] = set()
    for name, counts in told:
        assert min(counts) > 0
        for thread, facts in enumerate(counts):
            # The call that the kill cut short may have written.
            found = [set(spans_of(name, thread, facts + more)) for more in (0, 1)]
            assert any(one <= set(spans) for one in found), (
                f"{name}, thread {thread}: something of {facts} facts is lost"
            )
            wanted |= found[0] | found[1]
    assert set(spans) <= wanted, "nothing is invented"


def test_a_process_that_is_killed_while_it_adopts_costs_nothing(tmp_path: Path) -> None:
    """And the one that adopts that, and so on: five times, in the midst of sending."""
    state, count = tmp_path / "state", tmp_path / "count"
    with Receiver() as receiver:
        receiver.answer(times=10_000, status=503)
        with endless(state, receiver.endpoint, "http/protobuf", "one", count) as agent:
            time.sleep(0.5)
            agent.send_signal(signal.SIGKILL)
            agent.wait()
        receiver.forget_script()
        for number in range(1, 6):
            receiver.answer(times=200, delay_s=0.02)  # it takes a while
            before = len(receiver.requests)
            command = [sys.executable, "-m", "tests.faults.agents", "adopts", receiver.endpoint, state, "http/protobuf"]
            with subprocess.Popen(list(map(str, command)), cwd=PROJECT, stderr=subprocess.DEVNULL) as adopter:
                end = time.monotonic() + 30
                while len(receiver.requests) < before + number and adopter.poll() is None and time.monotonic() < end:
                    time.sleep(0.001)
                adopter.kill()
        receiver.forget_script()
        adopt(state, receiver.endpoint, "http/protobuf")
        check(receiver.spans, [("one", returned(count))])
