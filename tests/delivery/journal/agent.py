"""Processes with a journal of their own, for tests: `python -m tests.delivery.journal.agent STATE WORK [ARGUMENT]`."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from otel_phi.delivery.journal import filelock
from otel_phi.delivery.journal.append import Forked
from otel_phi.delivery.journal.journal import Journal
from otel_phi.delivery.journal.outbox import Outbox
from tests.delivery.journal.journals import PLACE, create, said, texts

THREADS = 4


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def endless(state: Path, counts: str) -> None:
    """Appends from several threads until it is killed, and keeps how often each call returned True where a kill leaves it."""
    journal = create(state, segment_bytes=60_000)
    with Path(counts).open("r+b") as file:
        shared = mmap.mmap(file.fileno(), THREADS * 8)

    def work(which: int) -> None:
        number = 0
        while True:
            while not journal.append(said(f"{which} {number} {'x' * (number % 200)}")):
                time.sleep(0.001)
            number += 1
            shared[which * 8 : which * 8 + 8] = number.to_bytes(8, "little")
            if number % 20 == 0:
                time.sleep(0.002)

    for which in range(THREADS):
        threading.Thread(target=work, args=(which,), daemon=True).start()
    say("ready")
    while True:
        journal.read()
        if journal.wants_snapshot:
            journal.snapshot(b"state")
        if journal.due():
            journal.roll()
        time.sleep(0.001)


def idle(state: Path, _: str) -> None:
    """Appends one line and waits."""
    journal = create(state)
    journal.append(said(f"from {os.getpid()}"))
    say("ready")
    sys.stdin.read()


def forks(state: Path, how: str) -> None:
    """Forks four children while it goes on; each begins a journal of its own. Leaves all as they are."""
    journal = create(state)
    fork: Callable[[], int] = os.fork if how == "python" else ctypes.PyDLL(None).fork
    journal.append(said("parent before"))
    children = []
    for number in range(4):
        pid = fork()
        if pid == 0:
            child(state, journal, number)
            os._exit(0)
        children.append(pid)
        journal.append(said(f"parent {number}"))
    for pid in children:
        assert os.waitpid(pid, 0)[1] == 0
    journal.append(said("parent after"))
    journal.sync()
    assert texts(journal.read()) == ["parent before", *(f"parent {number}" for number in range(4)), "parent after"]
    assert filelock.is_ours(journal._chain.folder / "lock")
    os._exit(0)


def child(state: Path, inherited: Journal, number: int) -> None:
    """Finds out that the journal is its parent's, leaves it alone, and makes its own."""
    calls: list[Callable[[], object]] = [
        lambda: inherited.append(said("in the parent's file")),
        inherited.read,
        inherited.roll,
        inherited.sync,
    ]
    for call in calls:
        try:
            call()
        except Forked:
            continue
        os._exit(3)
    inherited.close(delete=True)
    journal = create(state)
    if not journal.append(said(f"child {number}")):
        os._exit(4)
    (parent,) = (found for found in Outbox(state).folders() if found.path == inherited.folder)
    if parent.own or not parent.alive:
        os._exit(6)
    if any(found.folder == inherited.folder for found in Outbox(state).adoptable(PLACE, lambda head: True)):
        os._exit(5)


def orphan(state: Path, how: str) -> None:
    """Forks a child that lives on, prints its number, and dies."""
    journal = create(state)
    journal.append(said("parent"))
    fork: Callable[[], int] = os.fork if how == "python" else ctypes.PyDLL(None).fork
    pid = fork()
    if pid == 0:
        signal.pause()
    say(str(pid))
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    {"endless": endless, "idle": idle, "forks": forks, "orphan": orphan}[sys.argv[2]](
        Path(sys.argv[1]), sys.argv[3] if len(sys.argv) > 3 else ""
    )
