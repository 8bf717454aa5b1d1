"""The watch as a whole: its cursors, its sender and its rounds, until it is asked to stop.

Rule 1: one watch a path and destination: a second one would send everything twice.
Rule 2: asked to stop, it ends within two seconds; what is not sent then is sent by the next watch.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec
from typing_extensions import Self

from otel_phi.clock import monotonic
from otel_phi.delivery.exporters.exporter import Exporter
from otel_phi.delivery.exporters.open import resource_of
from otel_phi.delivery.journal import filelock
from otel_phi.delivery.journal.private import destination_name, make_folder
from otel_phi.delivery.sending.stats import DeadLetter, Progress, Stats
from otel_phi.errors import ConfigError
from otel_phi.mapping.span import Span
from otel_phi.pipeline import mapping_for, policy_for
from otel_phi.policy.given import guarded_text
from otel_phi.prices import prices_of
from otel_phi.sources.reader import BadLine
from otel_phi.watch.cursors import FOLDER, Cursors
from otel_phi.watch.folder import Folder
from otel_phi.watch.outflow import Outflow, Stopped
from otel_phi.watch.rounds import Rounds
from otel_phi.watch.wake import wakes
from otel_phi.watch.watcher import ABANDON_AFTER_S, Watcher

if TYPE_CHECKING:
    from otel_phi.config import Config

# SIGTERM to the end: two seconds, most of them for what is gathered and under way.
LAST_SPANS_S, CLOSING_S = 1.0, 0.5


def _never() -> bool:
    return False


class Listener(msgspec.Struct, frozen=True):
    """A listener hears what happens; each is a callable, or None.

    Attributes:
        on_bad_line: called with each line that is no event.
        on_span: called with each span that leaves.
        on_progress: called by the sender's threads with the state of the delivery.
        on_agent: called with the name of each agent whose sessions are followed, once.
    """

    on_bad_line: Callable[[BadLine], None] | None = None
    on_span: Callable[[Span], None] | None = None
    on_progress: Callable[[Progress], None] | None = None
    on_agent: Callable[[str], None] | None = None


class Watch:
    """Follows files and folders. For one thread; a context manager.

    Args:
        config: where to send, and how.
        paths: files and folders.
        stopping: asked several times a second; true ends the watch.
        once: take in what is there and end; the destination is then given up after `config.give_up_after_s`.
        sample: share of sessions to keep, None for the configured sampler's.
        abandon_after_s: a file that has not changed for so long has no loops at work.
        since_ns: other agents' sessions last written to before that (nanoseconds since the epoch) are left alone until they change.
        listener: is told what happens.
        exporter: a destination of your own instead of the configured one.

    Raises:
        ConfigError: another process watches one of the paths for the same destination.
        NothingHere: a path is missing, and the folder above it too.
    """

    def __init__(  # noqa: PLR0913  # options, each with a default
        self,
        config: Config,
        paths: Iterable[Path],
        *,
        stopping: Callable[[], bool] = _never,
        once: bool = False,
        sample: float | None = None,
        abandon_after_s: float = ABANDON_AFTER_S,
        since_ns: int = 0,
        listener: Listener | None = None,
        exporter: Exporter | None = None,
    ) -> None:
        listener = listener or Listener()
        self._stopping, self._once, self._config = stopping, once, config
        self.folder = Folder(paths)
        resource, prices = resource_of(config), prices_of(config.prices)
        name = _name(config)
        self._locks = _locked(config.state_folder, name, self.folder.given)
        self.cursors = Cursors(config.state_folder, name)
        self._outflow = Outflow(
            config, resource, patient=not once, stopping=stopping, on_progress=listener.on_progress, exporter=exporter
        )
        self._watcher = Watcher(
            self.folder,
            self.cursors,
            self._outflow,
            mapping_for(config, resource.get("service.name")),
            sample=config.sample_ratio if sample is None else sample,
            policy=policy_for(config),
            abandon_after_s=abandon_after_s,
            since_ns=since_ns,
            on_bad_line=listener.on_bad_line,
            on_span=listener.on_span,
        )
        self._watcher.agents.on_agent = listener.on_agent
        self._watcher.price = prices
        if config.mapping.source_info:
            self._watcher.guard = guarded_text(config.content)

    def run(self, poll_s: float | None = None) -> None:
        """Watches until it is asked to stop; or once.

        Args:
            poll_s: look at all files every so many seconds; None to be notified by the operating system.

        Raises:
            DeliveryError: `once`, and the destination was given up.
        """
        with contextlib.suppress(Stopped):
            if self._once:
                self._watcher.round(last=True)
                self._drain()
                return
            rounds = Rounds(self._watcher)
            rounds.begin()
            for changed in wakes(self.folder, self._stopping, poll_s, lambda: rounds.busy):
                rounds.take(changed)
                self._outflow.rest()
                self._watcher.breathe()

    def _drain(self) -> None:
        while not self._outflow.drain(LAST_SPANS_S):
            if self._stopping():
                return
            self._watcher.breathe()

    def close(self) -> None:
        """Sends what is gathered, within a second, and writes the cursors. Repeatable."""
        until = monotonic() + LAST_SPANS_S
        with contextlib.suppress(Stopped):
            self._outflow.last(until)
        self._outflow.close(CLOSING_S)
        self._watcher.breathe(force=True)
        self.cursors.close()
        for lock in self._locks:
            lock.release()

    @property
    def files(self) -> int:
        """How many files are followed."""
        return self._watcher.files

    @property
    def open_loops(self) -> int:
        """How many loops are open."""
        return self._watcher.open_loops

    def stats(self) -> Stats:
        """Returns what became of every span."""
        return self._outflow.stats()

    def progress(self) -> Progress:
        """Returns the state of the delivery."""
        return self._outflow.progress()

    @property
    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """The spans that the destination would not take, the latest thousand."""
        return self._outflow.dead_letters

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()


def _name(config: Config) -> str:
    """Names the destination by what reaches it and what makes other ids; a newer otel-phi goes on where this one stopped."""
    headers, exporter = config.fixed_headers, config.exporter_name
    facts = ["watch", config.protocol, exporter, config.mapping.trace_scope, config.mapping.trace_namespace]
    if config.file is not None:
        facts += ["file", config.file]  # what was printed has reached no collector
    return destination_name(config.state_folder, config.endpoint, headers, *facts)


def _locked(state_dir: Path, name: str, roots: Iterable[Path]) -> list[filelock.FileLock]:
    found = []
    try:
        make_folder(state_dir / FOLDER)
        for root in roots:
            path = state_dir / FOLDER / f"{destination_name(state_dir, name, (), os.path.realpath(root))}.lock"
            lock = filelock.acquire(path)
            if lock is None:
                raise ConfigError(
                    f"{root}: another otel-phi watch follows this for the same destination; end that one first"
                )
            found.append(lock)
    except OSError:
        return found  # where no lock can be, nobody is kept from watching twice
    except ConfigError:
        for lock in found:
            lock.release()
        raise
    return found
