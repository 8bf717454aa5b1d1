"""Agents as processes of their own: `python -m tests.faults.agents NAME ENDPOINT STATE_DIR ...`; the last line is JSON."""

from __future__ import annotations

import ctypes
import gc
import itertools
import json
import mmap
import os
import select
import signal
import sqlite3
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import otel_phi
from otel_phi.delivery.journal import known
from otel_phi.events import AgentEvent
from otel_phi.wire.decode import encode_event
from tests.faults.loops import LOOP_SCOPE, give
from tests.hook.stories import loop_of
from tests.hook.waiting import until
from tests.streams import LOOP, start


def rss_mb(field: str = "VmHWM") -> float:
    """Returns this process's memory (VmRSS), or the most it ever had (VmHWM). `ru_maxrss` would count its parent's too."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise OSError(f"no {field}")


def hooked(endpoint: str, state: str) -> otel_phi.Hook:
    return otel_phi.install(endpoint=endpoint, state_dir=state, service_name="test")


def say(hook: otel_phi.Hook, **more: Any) -> None:
    stats = hook.stats()
    sys.stdout.write(json.dumps({"balanced": stats.balanced(), "open": stats.open_loops, **more}) + "\n")
    sys.stdout.flush()


def ends(endpoint: str, state: str) -> None:
    """Ends with the events of 300 loops, 2,400 spans, read in part and sent not at all."""
    hook = hooked(endpoint, state)
    for number in range(300):
        for event in loop_of(f"loop-{number}"):
            hook(event)
    time.sleep(0.3)  # a request is under way, and hangs
    say(hook, events=hook.stats().recorded)


def open_loops(endpoint: str, state: str, count: str) -> None:
    """Holds so many loops open, each with a turn that has begun."""
    hook = hooked(endpoint, state)
    for number in range(int(count)):
        for event in loop_of(f"loop-{number}")[:4]:
            hook(event)
    hook.flush(120.0)
    held = hook.stats().open_loops
    mb = rss_mb()
    done = hook.shutdown(120.0)
    spans = hook.stats().delivery
    say(hook, held=held, mb=mb, closing_mb=rss_mb(), done=done, acknowledged=spans.acknowledged, dropped=spans.dropped)


def big(endpoint: str, state: str, kind: str, size: str) -> None:
    """Is given one event of so many bytes among a loop's, as `kind` has it."""
    hook = hooked(endpoint, state)
    events = loop_of("one")
    for neighbour in events[:4]:
        hook(neighbour)
    hook(start(0))
    before = rss_mb()
    body = b"x" * int(size)
    ahead = b'{"type":"%s","loop_id":"%s",' % (kind.encode(), LOOP.encode())
    message = b'"message":{"role":"user","content":[{"type":"text","text":"%s"}],"timestamp":5}}'
    event = ahead + (message % body if kind == "MessageEnd" else b'"text":"%s"}' % body)
    del body
    hook(event)
    del event
    for neighbour in events[4:]:
        hook(neighbour)
    gc.collect()
    hook.flush(10.0)
    say(hook, before=before, mb=rss_mb(), now=rss_mb("VmRSS"))
    hook.shutdown(5.0)


THREADS = 2
FACTS = len(loop_of("", turns=3))


def story_of(name: str, thread: int, number: int) -> list[AgentEvent]:
    """Returns the so-many-th loop of an endless thread."""
    return loop_of(f"{name} {thread} {number}", turns=3)


def endless(endpoint: str, state: str, protocol: str, name: str, count: str) -> None:
    """Gives events from several threads, and notes after each call that it returned, in memory that outlives a kill."""
    hook = otel_phi.install(endpoint=endpoint, state_dir=state, service_name="test", protocol=protocol)
    with Path(count).open("r+b") as file:
        noted = mmap.mmap(file.fileno(), 8 * THREADS)

    def agent(thread: int) -> None:
        facts = 0
        for number in itertools.count():
            for event in story_of(name, thread, number):
                hook(event)
                facts += 1
                noted[8 * thread : 8 * thread + 8] = facts.to_bytes(8, "little")
            time.sleep(0.004)  # some thousand facts a second and thread, a hundred times what an agent does

    for thread in range(THREADS):
        threading.Thread(target=agent, args=(thread,), daemon=True).start()
    while not all(noted[8 * thread : 8 * thread + 8] != bytes(8) for thread in range(THREADS)):
        time.sleep(0.001)
    os.write(1, b"ready\n")
    time.sleep(600)


def adopts(endpoint: str, state: str, protocol: str) -> None:
    """Sends what dead processes left."""
    hook = otel_phi.install(endpoint=endpoint, state_dir=state, service_name="test", protocol=protocol)
    assert hook.flush(500)
    assert hook.stats().balanced()
    assert hook.shutdown(10)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fills(endpoint: str, state: str) -> None:
    """Fills its disk, and is killed."""
    give(
        otel_phi.install(endpoint=endpoint, state_dir=state, service_name="test", **LOOP_SCOPE),
        range(1, 801),
        "x" * 5_000,
    )
    killed()


def removed(endpoint: str, state: str, what: str) -> None:
    """Sees parts of its state removed, goes on, and is killed with a loop open once all was made anew."""
    from tests.faults.test_matrix_disk import remove, whole

    hook = hooked(endpoint, state)
    for event in loop_of("open")[:1]:
        hook(event)
    for number in range(100):
        for event in loop_of(f"loop {number}"):
            hook(event)
    until(lambda: hook.stats().waiting == 0)
    remove(Path(state), what)
    for number in range(100, 200):
        for event in loop_of(f"loop {number}"):
            hook(event)
    until(lambda: what == "head" or whole(Path(state)))
    for number in range(200, 300):
        for event in loop_of(f"loop {number}"):
            hook(event)
    time.sleep(1.5)  # the live thread looks once a second what is missing
    killed()


def ends_open(endpoint: str, state: str) -> None:
    """Ends with a loop open, by `os._exit`."""
    hook = hooked(endpoint, state)
    for event in loop_of("open")[:1]:
        hook(event)
    os._exit(0)


def forked(how: str) -> int:
    """Forks as Python does, or as C code does: nobody is told."""
    if how == "c":
        # A child whose parent's threads asked for the interpreter would wait for them at its next step, before any of ours.
        sys.setswitchinterval(100)
        try:
            return int(ctypes.PyDLL(None).fork())
        finally:
            sys.setswitchinterval(0.005)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and newer warn of threads; they are the point
        return os.fork()


def forks(endpoint: str, state: str, how: str) -> None:
    """Forks again and again while a thread records; each child records and sends its own."""
    hook = hooked(endpoint, state)
    mine = loop_of("main")
    for event in mine[:5]:
        hook(event)

    def record() -> None:
        for number in range(100):
            for event in loop_of(f"thread {number}"):
                hook(event)

    thread = threading.Thread(target=record)
    thread.start()
    children = []
    for child in range(4):
        pid = forked(how)
        if pid == 0:
            for number in range(10):
                for event in loop_of(f"child {child} {number}"):
                    hook(event)
            done = hook.shutdown(60.0) and hook.stats().balanced() and hook.stats().recorded == 10 * len(loop_of(""))
            os._exit(0 if done else 1)
        children.append(pid)
    thread.join()
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    for event in mine[5:]:
        hook(event)
    assert hook.flush(60.0)
    assert codes == [0] * 4


def forks_in_table(endpoint: str, state: str, how: str) -> None:
    """Forks while its live thread stands in the midst of a claim in the table that processes share; each sends its own."""
    hook = hooked(endpoint, state)
    claimed, there, over = known._claimed, threading.Event(), threading.Event()

    def claims(row: tuple[str, bytes, str, int], table: sqlite3.Connection) -> str:
        known._claimed = claimed
        table.execute("BEGIN EXCLUSIVE")
        there.set()
        over.wait()
        table.execute("ROLLBACK")
        return claimed(row, table)

    known._claimed = claims
    for event in loop_of("parent"):
        hook(event)
    there.wait()
    known._WAIT_S = 0.01  # so long a fork waits
    pid = forked(how)
    known._WAIT_S = 600.0
    if pid == 0:
        for event in loop_of("child"):
            hook(event)
        os._exit(0 if hook.shutdown(60.0) and hook.stats().balanced() else 1)
    over.set()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert hook.shutdown(60.0)


def orphans(endpoint: str, state: str, how: str) -> None:
    """Is killed; its child lives on, records, and ends when it is told."""
    hook = hooked(endpoint, state)
    for event in loop_of("parent"):
        hook(event)
    pid = forked(how)
    if pid:
        os.write(1, b"%d\n" % pid)
        killed()
    for event in loop_of("child"):
        hook(event)
    time.sleep(600)


def interpreters(endpoint: str, state: str, module: str) -> None:
    """Runs agents in interpreters of their own, beside one in the main interpreter."""
    import importlib

    found: Any = importlib.import_module(module)
    hook = hooked(endpoint, state)
    for event in loop_of("main"):
        hook(event)
    for number in range(2):
        # No test's module is loaded there: Hypothesis cannot be.
        story = [encode_event(event) for event in loop_of(f"interpreter {number}")]
        code = (
            f"import sys; sys.path[:] = {sys.path!r}\n"
            "try:\n"
            "    import otel_phi\n"
            f"    hook = otel_phi.install(endpoint={endpoint!r}, state_dir={state!r}, service_name='test')\n"
            f"    for event in {story!r}: hook(event)\n"
            f"    assert hook.stats().recorded == {len(story)}\n"
            f"    said = 'recorded-{number} ' + str(hook.shutdown(20.0))\n"
            "except ImportError as error:\n"
            "    said = 'cannot-import ' + str(error)\n"
            f"open({state!r} + '/said', 'a').write(said + ' ')\n"
        )
        interpreter = found.create()
        found.run_string(interpreter, code)
        found.destroy(interpreter)
    assert hook.flush(60.0)


def frozen(endpoint: str, state: str) -> None:
    """Freezes its clock, records, and waits to be told to end."""
    from freezegun import freeze_time

    with freeze_time("2026-01-01"):
        hook = hooked(endpoint, state)
        for event in loop_of("main"):
            hook(event)
        os.write(1, b"ready\n")
        while True:
            select.select([], [], [], 0.02)  # freezegun's `time.sleep` would do as well; a signal ends this one too


def idles(endpoint: str, state: str) -> None:
    """Installs the hook, and does nothing."""
    hooked(endpoint, state)
    time.sleep(600)


def idle_time(endpoint: str, state: str) -> None:
    """Tells how much of two idle seconds it took."""
    hook = hooked(endpoint, state)
    for event in loop_of("main"):
        hook(event)
    hook.flush(2.0)
    time.sleep(2.0)  # what is due at first is done
    before = time.process_time()
    time.sleep(2.0)
    os.write(1, b"%f" % (time.process_time() - before))
    os._exit(0)


def records(endpoint: str, state: str, seconds: str, pause: str) -> None:
    """Gives a loop now and then for so long, and tells what that costs; for the soak."""
    hook = otel_phi.install(endpoint=endpoint, state_dir=state, service_name="test", **LOOP_SCOPE)
    number, told, until = 0, 0.0, time.monotonic() + float(seconds)
    while time.monotonic() < until:
        number += 1
        give(hook, [number])
        time.sleep(float(pause))
        if time.monotonic() - told > 1.0:
            told = time.monotonic()
            print(json.dumps(figures(number, hook.stats())), flush=True)  # noqa: T201
    done = hook.flush(100.0)
    print(json.dumps(figures(number, hook.stats(), done=done)), flush=True)  # noqa: T201
    hook.shutdown(2.0)


def figures(recorded: int, stats: otel_phi.HookStats, *, done: bool = True) -> dict[str, Any]:
    files = len(list(Path("/proc/self/fd").iterdir()))
    return {
        "recorded": recorded, "balanced": done and stats.balanced(), "queued": stats.delivery.queued + stats.waiting,
        "mb": rss_mb("VmRSS"), "files": files, "threads": threading.active_count(),
    }  # fmt: skip


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
