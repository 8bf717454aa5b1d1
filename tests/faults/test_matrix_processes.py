"""Real processes: how long they take to end while the collector is away, and what they may weigh."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from otel_phi.testing import Receiver
from tests.faults.collectors import gone
from tests.hook.conftest import Install
from tests.hook.stories import arrived, expected, loop_of

ROOT = Path(__file__).parents[2]
linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
EXIT_S = 2.5


def run(*words: object, timeout_s: float = 60.0) -> tuple[dict[str, Any], float]:
    """Runs an agent of `tests/faults/agents.py`; returns what it said last, and the seconds it took to end after that."""
    command = [sys.executable, "-m", "tests.faults.agents", *map(str, words)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            began = time.monotonic()
            rest, _ = process.communicate(timeout=timeout_s)
            assert process.returncode == 0
            last: dict[str, Any] = json.loads((line + rest).splitlines()[-1])
            return last, time.monotonic() - began
        finally:
            process.kill()


@pytest.mark.parametrize("fault", ["down", "hanging", "dripping", "503"])
def test_exit_with_the_collector_down(fault: str, install: Install, tmp_path: Path) -> None:
    """The stock SDK takes 28 to 32 s and loses all; here the next process sends what waits."""
    with Receiver() as receiver:
        match fault:
            case "hanging":
                receiver.answer(delay_s=20.0, status=503, times=100)
            case "dripping":
                receiver.answer(drip_s=0.2, status=503, times=100)
            case "503":
                receiver.answer(status=503, times=100)
        endpoint = gone() if fault == "down" else receiver.endpoint
        said, seconds = run("ends", endpoint, tmp_path)
        assert said["balanced"]
        assert said["events"] == 300 * len(loop_of("any"))
        assert seconds <= EXIT_S
        if fault != "down":
            assert receiver.spans == ()
            receiver.forget_script()
            hook = install(endpoint=endpoint, state_dir=tmp_path)
            assert hook.flush(15.0)
            assert (hook.stats().delivery.adopted, hook.stats().balanced()) == (300 * 8, True)
            assert hook.shutdown(2.0)
            assert arrived(receiver) == expected(*(loop_of(f"loop-{number}") for number in range(300)))


@linux
def test_10_000_open_loops_within_the_memory_bound(receiver: Receiver, tmp_path: Path) -> None:
    """Closing them all at once, 40,000 spans in one transaction, takes more for a moment; none of them is lost."""
    said, _ = run("open_loops", receiver.endpoint, tmp_path, 10_000)
    assert said["held"] == 10_000
    assert said["mb"] <= 128
    assert said["closing_mb"] <= 256
    assert (said["done"], said["balanced"], said["dropped"]) == (True, True, [])
    assert said["acknowledged"] == len(receiver.spans) == 50_000


@linux
@pytest.mark.parametrize("kind", ["Newer", "MessageEnd"])
def test_a_100_mb_event(kind: str, receiver: Receiver, tmp_path: Path) -> None:
    """At most 64 MB and three times the event while it is there, nothing of it afterwards, and its neighbours arrive."""
    said, _ = run("big", receiver.endpoint, tmp_path, kind, 100_000_000)
    assert said["balanced"]
    assert said["mb"] <= 64 + 3 * 100
    assert said["now"] - said["before"] <= 32
    assert expected(loop_of("one")) - arrived(receiver) == {}
