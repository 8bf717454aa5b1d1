"""Agents as processes of their own: `python -m tests.faults.agents NAME ENDPOINT STATE_DIR ...`; the last line is JSON."""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import otel_phi
from otel_phi.delivery.sending.stats import LiveStats
from tests.delivery.live_agent import delivery_for, work
from tests.hook.stories import loop_of
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
    """Ends with spans of 300 loops to send: 2,100, and a root each."""
    hook = hooked(endpoint, state)
    for number in range(300):
        for event in loop_of(f"loop-{number}"):
            hook(event)
    time.sleep(0.3)  # a request is under way, and hangs
    say(hook, accepted=hook.stats().delivery.accepted)


def open_loops(endpoint: str, state: str, count: str) -> None:
    """Holds so many loops open, each with a turn that has begun."""
    hook = hooked(endpoint, state)
    for number in range(int(count)):
        for event in loop_of(f"loop-{number}")[:4]:
            hook(event)
    held = hook.stats().open_loops
    hook.flush(20.0)
    mb = rss_mb()
    done = hook.shutdown(30.0)
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


def commits(endpoint: str, state: str, seconds: str, pause: str) -> None:
    """Commits for so long, and tells now and then what that costs; for the soak."""
    delivery = delivery_for(endpoint, state)
    number, told, until = 0, 0.0, time.monotonic() + float(seconds)
    while time.monotonic() < until:
        number += 1
        delivery.commit([work(number)])
        time.sleep(float(pause))
        if time.monotonic() - told > 1.0:
            told = time.monotonic()
            print(json.dumps(figures(number, delivery.stats())), flush=True)  # noqa: T201
    done = delivery.flush(60.0)
    print(json.dumps(figures(number, delivery.stats(), done=done)), flush=True)  # noqa: T201
    delivery.shutdown(2.0)


def figures(committed: int, stats: LiveStats, *, done: bool = True) -> dict[str, Any]:
    import threading

    files = len(list(Path("/proc/self/fd").iterdir()))
    return {
        "committed": committed, "balanced": done and stats.balanced(), "queued": stats.queued, "mb": rss_mb("VmRSS"), "files": files,
        "threads": threading.active_count(),
    }  # fmt: skip


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
