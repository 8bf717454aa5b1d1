"""Agents as processes of their own: `python -m tests.hook.agents NAME`, told by the environment where to send.

Each ends in its own way; what must have arrived is in `tests/hook/test_processes.py`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import otel_phi
from otel_phi.events import AgentEvent
from tests.hook.stories import loop_of, parallel_of, session
from tests.streams import start


def hooked(events: Iterable[AgentEvent], **options: Any) -> otel_phi.Hook:
    """Installs the hook and gives it events."""
    hook = otel_phi.install(service_name="test", **options)
    for event in events:
        hook(event)
    return hook


def wait(seconds: float = 30.0) -> None:
    """Says that the test may go on, and waits to be killed.

    In short sleeps: Python runs a handler between two steps of the main thread, not in the midst of one.
    """
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.02)


def plain(name: str = "main") -> None:
    hooked(loop_of(name))


def sys_exit() -> None:
    hooked(loop_of("main"))
    sys.exit(3)


def raises() -> None:
    hooked(loop_of("main"))
    raise ValueError("the agent's own")


def open_loop() -> None:
    hooked(loop_of("main")[:-4])


def thread_outlives_main() -> None:
    hook = hooked(())

    def agent() -> None:
        time.sleep(0.2)
        for event in loop_of("main"):
            hook(event)

    threading.Thread(target=agent).start()


def stays(name: str) -> None:
    """Waits until what a dead process left has been sent too."""
    hook = hooked(loop_of(name))
    assert hook.flush(30.0)
    assert hook.stats().delivery.adopted
    assert hook.stats().balanced()


def adopts() -> None:
    """Sends what dead processes left, and has nothing of its own."""
    hook = hooked(())
    assert hook.flush(60.0)
    assert hook.stats().balanced()


def os_exit() -> None:
    hooked(loop_of("main"))
    os._exit(0)


def sigkill() -> None:
    hooked(loop_of("main")[:-4])
    os.kill(os.getpid(), signal.SIGKILL)


def sigkill_below() -> None:
    """Is killed with a loop open, and another below it."""
    hook = hooked(loop_of("main")[:1])
    below = loop_of("main", 2, first_ms=50)
    parent = f"{session('main')}.agent.1"
    hook(start(50, f"{session('main')}.agent.2", session=session("main"), parent_loop_id=parent))
    for event in below[1:-1]:
        hook(event)
    os.kill(os.getpid(), signal.SIGKILL)


def sigkill_in_a_group(events: str, *again: str) -> None:
    """Is killed after so many events of a parallel evaluation; `again`: and after its first branch was started again."""
    hook = hooked(parallel_of("main")[: int(events)])
    if again:
        hook(start(900, f"{session('main')}.agent.1", session=session("main")))
    os.kill(os.getpid(), signal.SIGKILL)


def sigterm() -> None:
    hooked(loop_of("main"))
    wait()


class Waiting(Mapping[str, Any]):
    """A mapping that the hook reads, and that takes long to answer."""

    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        wait()
        return iter(())

    def __len__(self) -> int:
        return 0


def sigterm_in_the_hook() -> None:
    """Is interrupted within a call of the hook: the flush must not wait for that."""
    hooked(loop_of("main"))(Waiting())


def sigterm_at_work(name: str = "main") -> None:
    """Is interrupted in the midst of recording, again and again until it is killed."""
    hook = hooked(())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for number in range(100_000):
        for event in loop_of(f"{name}-{number}"):
            hook(event)


def sigterm_own_handler() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    hooked(loop_of("main"))
    wait()


def sigterm_handler_set_later() -> None:
    hooked(loop_of("main"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(8))
    wait()


def sigterm_ignored() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hooked(loop_of("main"))
    wait(0.5)


def forked() -> int:
    """Forks; Python 3.12 and newer warn of threads, and they are the point."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def forks() -> None:
    """Forks with a loop open; the child has a loop of its own, both end by themselves."""
    mine = loop_of("main")
    hook = hooked(mine[:8])
    child = forked()
    if child == 0:
        for event in [*loop_of("child"), *mine[8:]]:  # the parent's loop is not the child's
            hook(event)
        sys.exit(0 if hook.flush(5.0) and hook.stats().balanced() else 1)
    for event in mine[8:]:
        hook(event)
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))


def forks_while_busy() -> None:
    """Forks again and again while other threads record."""
    hook = hooked(())
    threads = [threading.Thread(target=_many, args=(hook, f"thread-{number}")) for number in range(2)]
    for thread in threads:
        thread.start()
    children = []
    for number in range(4):
        child = forked()
        if child == 0:
            for event in loop_of(f"child-{number}"):
                hook(event)
            os._exit(0 if hook.shutdown(5.0) else 1)
        children.append(child)
        time.sleep(0.02)
    for thread in threads:
        thread.join()
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))


def _many(hook: otel_phi.Hook, name: str) -> None:
    for number in range(20):
        for event in loop_of(f"{name}-{number}"):
            hook(event)


def work(name: str) -> None:
    """Is a multiprocessing child; installs as the main program did."""
    hooked(loop_of(name))


def spawns(method: str) -> None:
    hooked(loop_of("main"))
    context: Any = multiprocessing.get_context(method)
    children = [context.Process(target=work, args=(f"child-{number}",)) for number in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    sys.exit(max(child.exitcode for child in children))


def pool(method: str) -> None:
    with multiprocessing.get_context(method).Pool(2) as workers:
        workers.map(work, [f"child-{number}" for number in range(4)])
        workers.close()
        workers.join()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
