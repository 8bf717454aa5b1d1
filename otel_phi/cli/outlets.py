"""Where `pipe` puts its events: the hook's outbox, for whatever is sent; or straight into a file, which needs none.

Standard input cannot be read again: what the collector does not take waits on disk, and survives us however we end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

import msgspec

from otel_phi.bridge import Bridge
from otel_phi.cli import exit_codes, settling, words
from otel_phi.cli.outbox.letters import Letter, dead_letters
from otel_phi.cli.report import outcome
from otel_phi.cli.report.troubles import Troubles
from otel_phi.cli.settings import destination
from otel_phi.clock import monotonic
from otel_phi.delivery.exporters.open import open_exporters, resource_of
from otel_phi.errors import DeliveryError
from otel_phi.hook.complaints import Complaints
from otel_phi.hook.live import LiveDelivery
from otel_phi.hook.recording import Recording
from otel_phi.hook.taking import shown_nowhere
from otel_phi.mapping.span import Span
from otel_phi.wire.events import AgentEvent

if TYPE_CHECKING:
    from otel_phi.config import Config


class Outlet(Protocol):
    """Takes events to where their spans go."""

    @property
    def events(self) -> int:
        """Returns how many it took."""

    def feed(self, events: Iterable[AgentEvent]) -> None:
        """Takes events as they come; never waits for the destination."""

    def finish(self, at_most_s: float | None) -> str:
        """Says that no more come, and waits until all is settled; returns why it is not, "" if it is.

        Args:
            at_most_s: how long to wait, None for as long as the configuration says.
        """

    def close(self, *, whole: bool) -> None:
        """Lets everything go; half an output file is discarded unless it is `whole`."""

    def sentences(self) -> Iterator[str]:
        """Yields what became of the spans, once closed."""

    def exit_code(self) -> int:
        """Returns how it went, once closed."""


def outlet(config: Config, sample: float | None, on_span: Callable[[Span], None]) -> Outlet:
    """Opens the outlet for a configuration: the outbox, unless a file is written or nothing is to leave.

    Raises:
        ConfigError: a header, certificate or exporter cannot be used.
    """
    if config.file is not None or config.sends_nothing is not None:
        return Straight(config, sample, on_span)
    return Kept(config, sample, on_span)


class Kept:
    """A kept outlet puts events into a journal, as the hook does, until the collector has what they complete.

    Args:
        config: where and how.
        sample: share of sessions to keep, None for what the configuration says.
        on_span: called with each span, by the live thread.
    """

    def __init__(self, config: Config, sample: float | None, on_span: Callable[[Span], None]) -> None:
        self._config = config if sample is None else msgspec.structs.replace(config, sampler=sample)
        resource = resource_of(config)
        self._watched = tuple(settling.Watched(exporter) for exporter in open_exporters(config))

        def make(complaints: Complaints) -> LiveDelivery:
            return LiveDelivery(self._config, resource, complaints, exporters=self._watched, on_span=on_span)

        self._recording = Recording(self._config, make)
        self._letters = self._dead_letters()
        self.events = 0

    def feed(self, events: Iterable[AgentEvent]) -> None:
        """Takes events as they come; each is on disk before the next is looked at."""
        for event in events:
            self.events += 1
            if not shown_nowhere(event):
                self._recording.hook(event)

    def finish(self, at_most_s: float | None) -> str:
        """Waits as `otel_phi.cli.settling.settle` does."""
        live = self._recording.end()
        if live is None:
            return ""
        began = monotonic()
        trouble = settling.settle(live, self._watched, self._config, math.inf if at_most_s is None else at_most_s)
        return f"gave up after {monotonic() - began:.1f} s: {trouble}" if trouble else ""

    def close(self, *, whole: bool) -> None:  # noqa: ARG002  # a line is whole in any case
        """Lets everything go; what is open leaves as aborted, what is not settled stays in the outbox."""
        live = self._recording.end()
        if live is not None:
            settling.close(live)

    def sentences(self) -> Iterator[str]:
        """Yields what became of the spans: of ours, and of those that dead processes had."""
        stats = self._recording.stats().delivery
        new = [letter for letter in self._dead_letters() if letter not in self._letters]
        rejection = next((one.rejection for one in self._watched if one.rejection), "")
        yield from outcome.sentences(stats, destination(self._config), rejection, new)
        if stats.adopted:
            yield f"{words.many(stats.adopted, 'span')} of them left by processes that had ended"
        if stats.queued and stats.in_memory:
            yield f"{words.many(stats.queued, 'span')} not sent, and lost: {stats.in_memory}"
        elif stats.queued:
            verb = "waits" if stats.queued == 1 else "wait"
            yield f"{words.many(stats.queued, 'span')} {verb} in the outbox; {self._how_to_send()}"

    def exit_code(self) -> int:
        """Returns 4 where spans wait, 3 where some were not taken or lost."""
        stats = self._recording.stats().delivery
        return exit_codes.GAVE_UP if stats.queued else outcome.exit_code(stats)

    def _how_to_send(self) -> str:
        config = self._config
        if config.exporters != ("otlp",):
            return "`otel-phi flush`, or the next agent with the same exporter, sends them"
        flags = f"--endpoint {config.display_endpoint}" + (" --protocol grpc" if config.protocol == "grpc" else "")
        headers = ", with the same headers," if callable(config.headers) or config.headers else ""
        return f"`otel-phi flush {flags}`{headers} or the next agent of that collector sends them"

    def _dead_letters(self) -> list[Letter]:
        return dead_letters(self._config)


class Straight:
    """Writes a file, or nothing at all.

    Args:
        config: where and how.
        sample: share of sessions to keep, None for what the configuration says.
        on_span: called with each span.
    """

    def __init__(self, config: Config, sample: float | None, on_span: Callable[[Span], None]) -> None:
        self._config = config
        self._bridge = Bridge(
            config, live=True, sample=sample, on_span=on_span, on_progress=Troubles("it can be written again")
        )
        self._failed = False

    @property
    def events(self) -> int:
        """Returns how many events it took."""
        return self._bridge.stats().events

    def feed(self, events: Iterable[AgentEvent]) -> None:
        """Takes events as they come."""
        self._bridge.feed(events)

    def finish(self, at_most_s: float | None) -> str:
        """Waits until all is written."""
        limit_s = self._config.give_up_after_s
        until = monotonic() + (limit_s if at_most_s is None else min(at_most_s, limit_s))
        while True:
            left_s = max(until - monotonic(), 0.0)
            try:
                self._bridge.finish(min(left_s, settling.GLANCE_S))
            except DeliveryError as error:
                # A full disk or a closed pipe does not heal while one waits.
                if not left_s or self._bridge.progress().trouble is not None:
                    self._failed = True
                    return str(error)
            else:
                return ""

    def close(self, *, whole: bool) -> None:
        """Closes the file."""
        self._failed = self._failed or not whole
        self._bridge.close(whole=whole)

    def sentences(self) -> Iterator[str]:
        """Yields what became of the spans."""
        for delivery in self._bridge.deliveries:
            yield from outcome.delivery_sentences(delivery, self._config)
            if delivery.progress.stats.queued:
                yield f"{words.many(delivery.progress.stats.queued, 'span')} not written"

    def exit_code(self) -> int:
        """Returns 1 where not all was written."""
        return exit_codes.BROKEN if self._failed else outcome.exit_code(self._bridge.stats().delivery)
