"""No signal that is meant for the process interrupts a thread of ours: under uWSGI its worker would end in it, and wait for itself."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

import otel_phi
from otel_phi.own_threads import leave_signals_to_others
from otel_phi.testing import Receiver
from tests.streams import whole_loop

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="/proc tells what a thread leaves to others"
)


def blocked(thread: int) -> set[int]:
    """Returns the signals that a thread leaves to others."""
    status = Path(f"/proc/self/task/{thread}/status").read_text()
    (mask,) = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigBlk")]
    return {number for number in signal.valid_signals() if mask >> (number - 1) & 1}


def test_all_of_them_leave_them_to_the_agents_threads(tmp_path: Path) -> None:
    before = {thread.native_id for thread in threading.enumerate()}
    with Receiver() as receiver:
        theirs = {thread.native_id for thread in threading.enumerate()} - before
        hook = otel_phi.install(endpoint=receiver.endpoint, service_name="test", state_dir=tmp_path)
        try:
            for event in whole_loop(0):
                hook(event)
            assert hook.flush(60)
            ours = [thread for thread in threading.enumerate() if thread.native_id not in before | theirs]
            names = {thread.name for thread in ours if thread.name.startswith("otel-phi")}
            assert names == {"otel-phi", "otel-phi-sender-0"}
            for thread in ours:
                if thread.name in names:
                    assert thread.native_id is not None
                    found = blocked(thread.native_id)
                    assert {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGALRM} <= found
                    assert not {signal.SIGSEGV, signal.SIGABRT, signal.SIGPROF} & found
            assert blocked(os.getpid()) == set()
        finally:
            hook.shutdown()


def test_a_greenlet_of_the_main_thread_leaves_it_as_it_is() -> None:
    leave_signals_to_others()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_pythons_own_handlers_run_as_ever() -> None:
    said: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: said.append(number))
    over = threading.Event()

    def work() -> None:
        leave_signals_to_others()
        over.wait(60)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        until = time.monotonic() + 60
        while not said and time.monotonic() < until:
            time.sleep(0.001)
        assert said == [signal.SIGUSR1]
    finally:
        over.set()
        thread.join()
        signal.signal(signal.SIGUSR1, before)
