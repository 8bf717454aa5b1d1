"""A watch under the hands of a test: rounds when it says so, kills, and every span that left, by its key."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from typing_extensions import Self

import otel_phi
from otel_phi.config import Config
from otel_phi.delivery.exporters.exporter import Accepted, ExportResult, Retry
from otel_phi.delivery.otlp.decode import decode_spans
from otel_phi.delivery.sending.batch import span_key
from otel_phi.events import AgentEvent, encode_event
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.recorder.references import ahead_of
from otel_phi.sources.lines import Block
from otel_phi.sources.reader import EventReader
from otel_phi.sources.stored import Stored
from otel_phi.watch.watch import Watch
from tests.laws import as_bytes


class Backend:
    """Is a destination that keeps what it is sent, whoever sends it."""

    max_in_flight = 4

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.down = False
        self._lock = threading.Lock()

    def send(self, body: bytes, timeout_s: float) -> ExportResult:
        if self.down:
            return Retry("down")
        with self._lock:
            self.spans += decode_spans(body)
        return Accepted()

    def close(self, *, whole: bool = True) -> None:
        pass

    def by_key(self) -> dict[bytes, Span]:
        """Returns each span once; what was sent again must have been the same bytes."""
        found: dict[bytes, Span] = {}
        for span in self.spans:
            assert as_bytes([found.setdefault(span_key(span), span)]) == as_bytes([span]), (
                "sent again, but not the same"
            )
        return found


class Following:
    """Follows a folder with one state, through kills.

    Args:
        folder: what is watched.
        state: the state folder.
        **options: as `resolve` takes them.
    """

    def __init__(self, folder: Path, state: Path, **options: Any) -> None:
        self.backend = Backend()
        self._folder = folder
        self._config = otel_phi.resolve(service_name="tests", state_dir=state, **options)
        self._more: dict[str, Any] = {}
        self.watch = self._made()

    def with_(self, **more: Any) -> Following:
        """Begins again with other options of the watch."""
        self.kill()
        self._more = more
        self.watch = self._made()
        return self

    def _made(self) -> Watch:
        return Watch(self._config, [self._folder], exporter=self.backend, **self._more)

    def round(self, *changed: Path, settle: bool = True) -> None:
        """Looks at some paths, or at all."""
        self.watch._watcher.round(changed or None, last=True)
        if settle:
            self.settle()

    def settle(self) -> None:
        """Waits until all that was put is settled and written."""
        until = time.monotonic() + 30
        while self.watch._outflow.under_way and time.monotonic() < until:
            self.watch._outflow.settle(0.05)
        assert not self.watch._outflow.under_way
        self.watch._watcher.breathe(force=True)
        assert self.watch.stats().balanced()

    def kill(self) -> None:
        """Ends the watch as SIGKILL does: nothing is written any more."""
        self.watch._outflow.senders[0].close(grace_s=5.0)
        self.watch.cursors.close()
        for lock in self.watch._locks:
            lock.release()

    def restart(self) -> None:
        """Kills the watch and begins another one."""
        self.kill()
        self.watch = self._made()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def end(self) -> dict[bytes, Span]:
        """Closes the watch; returns every span that left."""
        self.watch.close()
        return self.backend.by_key()


def exported(*paths: Path, final: bool = False, **options: Any) -> dict[bytes, Span]:
    """Returns the spans that `export` makes of files."""
    stored = Stored(paths, final=final)
    config = otel_phi.resolve(service_name="tests", **options)
    made = otel_phi.spans(stored.events(), named(config), ahead=ahead_of(stored.starts))
    return {span_key(span): span for span in made}


def named(config: Config) -> MappingOptions:
    """Returns the mapping with the service's name, as the doors have it."""
    return msgspec.structs.replace(config.mapping, service_name="tests")


def log_lines(events: Iterable[AgentEvent], first: int = 1) -> list[bytes]:
    """Returns events as lines of phi-core's event log."""
    return [
        b'{"ordinal":%d,"event":%s}\n' % (number, encode_event(event)) for number, event in enumerate(events, first)
    ]


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as stream:
        stream.write(content)


def as_written(folder: Path) -> list[tuple[str, bytes]]:
    """Returns a folder's lines in the order in which they were written."""
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        latest = 0
        for number, line in enumerate(path.read_bytes().splitlines(keepends=True)):
            for event in EventReader("").read([Block(1, 0, [line.rstrip(b"\n")])]):
                latest = max(latest, int(getattr(event, "timestamp", None) or 0))
            found.append((latest, path.name, number, line))
    return [(name, line) for _, name, _, line in sorted(found, key=lambda each: each[0])]
