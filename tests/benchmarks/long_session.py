"""Streams one long session through the road and the encoder; prints microseconds a turn and peak memory in MB."""

from __future__ import annotations

import io
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.delivery.otlp.resource import Resource
from otel_phi.delivery.sending.batch import batches
from otel_phi.pipeline import spans
from otel_phi.sources.lines import read_lines
from otel_phi.sources.reader import EventReader
from tests.benchmarks.streams import session_lines


class Spent:
    """Measures our own work alone: making the lines is not part of it."""

    def __init__(self) -> None:
        self.making = 0.0

    def chunks(self, turns: int) -> Iterator[bytes]:
        lines: list[bytes] = []
        started = time.perf_counter()
        for line in session_lines(turns):
            lines.append(line)
            if len(lines) == 500:
                chunk = b"\n".join(lines) + b"\n"
                lines.clear()
                self.making += time.perf_counter() - started
                yield chunk
                started = time.perf_counter()
        yield b"\n".join(lines) + b"\n"


class Stream(io.RawIOBase):
    """Reads chunks as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks

    def read(self, size: int = -1, /) -> bytes:
        return next(self._chunks, b"")


def main() -> None:
    turns = int(sys.argv[1])
    spent = Spent()
    started = time.perf_counter()
    events = EventReader("bench", for_spans=True).read(read_lines(Stream(spent.chunks(turns))))
    sent = sum(len(batch.body()) for batch in batches(spans(events), Encoder(Resource((("service.name", "bench"),)))))
    took = time.perf_counter() - started - spent.making
    print(took / turns * 1e6, peak_mb(), sent)  # noqa: T201


def peak_mb() -> float:
    """Returns the peak of the resident memory. On Linux not `ru_maxrss`: a child inherits its parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


if __name__ == "__main__":
    main()
