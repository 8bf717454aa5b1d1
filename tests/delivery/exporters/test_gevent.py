"""gRPC in a process that gevent has patched: the other greenlets go on, or one warning says what to do."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.golden import PROJECT

# The collector accepts and never answers; the longest standstill of a greenlet that wakes each 10 ms is printed.
AGENT = """
from gevent import monkey; monkey.patch_all()
{first}
import logging, socket, threading, time
import gevent
from otel_phi.config import resolve
from otel_phi.delivery.exporters.open import open_exporters

logging.basicConfig(format="%(name)s %(message)s")
silent = socket.create_server(("127.0.0.1", 0))
exporters = [open_exporters(resolve(endpoint=f"http://127.0.0.1:{{silent.getsockname()[1]}}", protocol="grpc"))[0] for _ in range(2)]
gaps = []

def tick():
    last = time.monotonic()
    while True:
        gevent.sleep(0.01)
        now = time.monotonic()
        gaps.append(now - last)
        last = now

gevent.spawn(tick)
sending = threading.Thread(target=exporters[0].send, args=(b"", 4.0))
sending.start()
sending.join()
gevent.sleep(0.05)
print(max(gaps))
for exporter in exporters:
    exporter.close()
"""


def run(first: str) -> tuple[float, str]:
    """Returns the longest standstill in seconds, and what was logged."""
    env = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", AGENT.format(first=first)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=True, timeout=60)
    return float(done.stdout), done.stderr


def test_greenlets_go_on_while_a_grpc_request_waits() -> None:
    standstill_s, logged = run("")
    assert standstill_s < 2.0  # of the four that the request takes
    assert "gevent" not in logged


def test_where_grpc_was_there_before_a_warning_says_what_to_do_once() -> None:
    _, logged = run("import grpc")
    assert logged.count("init_gevent()") == 1
    assert "http/protobuf" in logged


def test_whoever_prepared_grpc_is_not_warned() -> None:
    standstill_s, logged = run("import grpc.experimental.gevent as g; g.init_gevent()")
    assert standstill_s < 2.0
    assert "gevent" not in logged
