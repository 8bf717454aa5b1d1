"""`python -m tests.e2e.sizes`: measures what a sampler of gateway-sampling.yaml holds in memory; its comment on sizing rests on that.

Half a minute, on Linux, and no part of CI: it needs the real Collector, as the tests of this folder do.
"""

from __future__ import annotations

import re
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import urllib3
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

import otel_phi
from otel_phi.mapping.span import StatusCode
from otel_phi.testing import Receiver
from tests import golden
from tests.e2e.backends import programs
from tests.e2e.collector import Collector
from tests.e2e.processes import wait_for
from tests.e2e.trees import SERVICE
from tests.test_collector_config import FOLDER

SESSIONS = 2_000  # of which a demo has two
LOOPS = 500_000  # as many ids as the file's caches hold; of one span each
WITHIN_S = 300.0
_TIGHT = "5"  # GOGC: collects at 5 % more than lives, so that the last collection tells what lives
_LIVES = re.compile(r"^gc .* \d+->\d+->(\d+) MB", re.MULTILINE)  # of GODEBUG=gctrace=1

_RESIDENT = re.compile(r"^VmRSS:\s*(\d+) kB", re.MULTILINE)


class Held(NamedTuple):
    """Is what a Collector has in memory, bytes: what lives, and what the system gave it."""

    lives: int
    resident: int


class Sampler:
    """Is a Collector with gateway-sampling.yaml.

    Args:
        program: the Collector.
        folder: of its own.
        backend: what it sends to.
        **environment: the file's variables, and Go's.
    """

    def __init__(self, program: Path, folder: Path, backend: Receiver, **environment: str) -> None:
        to = {"BACKEND_ENDPOINT": backend.grpc_endpoint.removeprefix("http://"), "BACKEND_INSECURE": "true"}
        configs = [FOLDER / "gateway-sampling.yaml"]
        self.collector = Collector(program, configs, folder, {"GODEBUG": "gctrace=1", **to, **environment})

    def held(self) -> Held:
        """Returns what it holds now, after it was made to collect its garbage."""
        for _ in range(100):  # no request at all: it is read, refused and forgotten
            assert self.post(b"\xff" * 1_000_000) == 400
        status = Path(f"/proc/{self.collector.pid}/status").read_text(encoding="ascii")
        lives, resident = _LIVES.findall(self.collector.words())[-1], _RESIDENT.findall(status)[0]
        return Held(int(lives) * 2**20, int(resident) * 1024)

    def post(self, body: bytes) -> int:
        """Sends a request; returns the status of the answer."""
        headers = {"content-type": "application/x-protobuf"}
        url = f"{self.collector.http}/v1/traces"
        return urllib3.request("POST", url, body=body, headers=headers, timeout=WITHIN_S, retries=False).status


def spans_held(program: Path, folder: Path, gogc: str) -> tuple[int, Held]:
    """Sends the demo many times over in loop scope, nothing of it judged yet; returns how many spans, and what they take."""
    # No loop is judged before the Collector ends, and then it is of no matter where its spans go.
    undecided = {"DECISION_WAIT": "60m", "DECISION_WAIT_AFTER_ROOT": "60m", "NUM_TRACES": "1000000", "GOGC": gogc}
    with Receiver(grpc=True) as backend:
        sampler = Sampler(program, folder, backend, **undecided)
        sampler.collector.start()
        try:
            before = sampler.held()
            with otel_phi.Bridge(endpoint=sampler.collector.http, service_name=SERVICE, trace_scope="loop") as bridge:
                bridge.feed(_sessions())
                bridge.flush()
                sent = bridge.stats().delivery.acknowledged
            after = sampler.held()
        finally:
            sampler.collector.kill()
    return sent, Held(after.lives - before.lives, after.resident - before.resident)


def ids_held(program: Path, folder: Path) -> Held:
    """Sends loops that are judged at once, all but the last dropped; returns what is held of them."""
    quick = {"DECISION_WAIT": "2s", "DECISION_WAIT_AFTER_ROOT": "1s", "KEEP_PERCENT": "0.0001", "GOGC": _TIGHT}
    with Receiver(grpc=True) as backend:
        sampler = Sampler(program, folder, backend, **quick)
        sampler.collector.start()
        try:
            before = sampler.held()
            for _ in range(0, LOOPS, 5_000):
                assert sampler.post(_loops(5_000)) == 200
            assert sampler.post(_loops(1, failed=True)) == 200
            # It is judged after all others.
            wait_for(lambda: any(span.status is StatusCode.ERROR for span in backend.spans), "the last loop", WITHIN_S)
            after = sampler.held()
        finally:
            sampler.collector.kill()
    return Held(after.lives - before.lives, after.resident - before.resident)


def _sessions() -> Iterator[bytes]:
    text = golden.DEMO.read_bytes()
    ids: set[bytes] = set(re.findall(rb'"session_id":\s*"([^"]+)"', text))
    for _ in range(SESSIONS // len(ids)):
        copy = text
        for session in ids:
            copy = copy.replace(session, str(uuid.uuid4()).encode())
        yield from copy.splitlines()


def _loops(count: int, *, failed: bool = False) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for _ in range(count):
        trace = uuid.uuid4().bytes
        span = scope.spans.add(trace_id=trace, span_id=trace[:8], name="invoke_agent", start_time_unix_nano=1)
        span.end_time_unix_nano = 2
        span.status.code = Status.STATUS_CODE_ERROR if failed else Status.STATUS_CODE_UNSET
    return request.SerializeToString()


def main() -> None:
    """Prints a line for each row of the comment that was measured."""
    program = programs(_say).otelcol
    with tempfile.TemporaryDirectory() as folder:
        spans, held = spans_held(program, Path(folder) / "tight", _TIGHT)
        _say(f"{spans:,} spans held: {held.lives / spans / 1000:.1f} KB each live")
        spans, held = spans_held(program, Path(folder) / "usual", "100")
        _say(f"the same, as Go collects by default: {held.resident / spans / 1000:.1f} KB each resident")
        held = ids_held(program, Path(folder) / "ids")
        _say(f"{LOOPS:,} loops decided and let go: {held.lives / LOOPS:.0f} bytes each")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
