"""Processes that are forked from a test, record and end as it needs: quick, since nothing is imported again."""

from __future__ import annotations

import os
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import otel_phi
from otel_phi.delivery.journal.outbox import Outbox
from otel_phi.events import AgentEvent
from tests.hook.waiting import until


def fork(work: Callable[[], object]) -> int:
    """Runs `work` in a forked process, which then ends without a word; returns its number."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # Python 3.12 and newer warn of threads, and they are the point
        pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException:  # noqa: BLE001  # a failed assertion must not run the parent's tests on
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def wait_for(*pids: int) -> None:
    """Waits until forked processes have ended, each with exit code 0."""
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * len(pids)


def run(work: Callable[[], object]) -> None:
    """Runs `work` in a forked process to its end."""
    wait_for(fork(work))


@contextmanager
def alive(work: Callable[[], object]) -> Iterator[int]:
    """Runs `work` in a forked process that then lives on until the end of the block, where it is killed."""
    done, say = os.pipe()

    def live() -> NoReturn:
        work()
        os.write(say, b"ready")
        while True:
            signal.pause()

    pid = fork(live)
    os.close(say)
    try:
        assert os.read(done, 5) == b"ready"
        yield pid
    finally:
        os.close(done)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def hooked(endpoint: str, state: Path, *streams: Iterable[AgentEvent], **options: Any) -> otel_phi.Hook:
    """Installs the hook and gives it streams, one after the other."""
    hook = otel_phi.install(
        **{"endpoint": endpoint, "state_dir": state, "service_name": "test", **options}, flush_on_sigterm=False
    )
    for events in streams:
        for event in events:
            hook(event)
    return hook


def lost(endpoint: str, state: Path, *streams: Iterable[AgentEvent], **options: Any) -> None:
    """Leaves what a process leaves that recorded streams and was gone before its sender came to look at them."""

    def dies() -> None:
        without_threads()
        hooked(endpoint, state, *streams, **options)

    run(dies)


def without_threads() -> None:
    """Makes this process one that may start no daemon, as an isolated interpreter: it records, and others send."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.daemon:
            raise RuntimeError("daemon threads are disabled in this (sub)interpreter")
        start(thread)

    threading.Thread.start = refuse  # type: ignore[method-assign,assignment]  # a forked process of its own


def closed(state: Path) -> None:
    """Waits until this process holds nothing of an outbox any more: a shutdown that was short of time goes on a while."""
    until(lambda: not any(folder.own for folder in Outbox(state).folders()))


def journals(state: Path) -> list[Path]:
    """Returns the segments that lie in an outbox."""
    return sorted((state / "outbox").rglob("*.journal"))
