"""Agents with the hook installed, as processes of their own, that end without a word: what they leave is in the outbox.

`python -m tests.cli.lost ENDPOINT HEADER=VALUE ...` takes events from stdin and is killed after them; with `live` in front it
lives on, with `talk` it never stops recording. `asks=NAME` is no header: its headers are asked for, and its destination has that name.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import otel_phi
from tests.cli.streams import Event, a_session, lines_of

Alive = Callable[..., "subprocess.Popen[bytes]"]
ROOT = Path(__file__).parents[2]


def lose(endpoint: str, events: Iterable[Event], **headers: str) -> None:
    """Lets an agent work and be killed; its events come from a pipe, its spans are committed before it dies."""
    arguments = [endpoint, *(f"{name}={value}" for name, value in headers.items())]
    command = [sys.executable, "-m", "tests.cli.lost", *arguments]
    done = subprocess.run(command, input=lines_of(events), cwd=ROOT, capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b""), done.stderr


def main() -> None:
    """Does what the arguments say."""
    arguments = sys.argv[1:]
    lives = arguments[0] in ("live", "talk")
    endpoint, *headers = arguments[1:] if lives else arguments
    pairs = dict(header.split("=", 1) for header in headers)
    name = pairs.pop("asks", None)
    hook = otel_phi.install(
        service_name="test",
        endpoint=endpoint,
        headers=pairs if name is None else (lambda: {"x-api-key": "asked"}),
        destination_name=name,
        flush_on_sigterm=False,
    )
    for line in sys.stdin.buffer:
        hook(line)
    if lives:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        _live(hook, talks=arguments[0] == "talk")
    os.kill(os.getpid(), signal.SIGKILL)


def _live(hook: otel_phi.Hook, *, talks: bool) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if talks:
            for event in a_session(session_id="more"):
                hook(event)
        time.sleep(0.01 if talks else 1)


if __name__ == "__main__":
    main()
