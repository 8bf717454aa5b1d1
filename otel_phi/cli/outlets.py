"""Where `pipe` puts its events: the hook's outbox, for whatever is sent; or straight into a file, which needs none.

Standard input cannot be read again: what the collector does not take waits on disk, and survives us however we end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from otel_phi.bridge import Bridge
from otel_phi.cli import words
from otel_phi.cli.report import outcome
from otel_phi.cli.report.troubles import Troubles
from otel_phi.cli.settings import destination
from otel_phi.delivery import waiting
from otel_phi.delivery.exporters.open import open_transport, resource_of
from otel_phi.delivery.folder import Letter, folder_status
from otel_phi.delivery.live import LiveDelivery, Opened
from otel_phi.errors import DeliveryError
from otel_phi.hook.complaints import Complaints
from otel_phi.hook.recording import Recording
from otel_phi.mapping.span import Span
from otel_phi.policy.content import admit
from otel_phi.wire.decode import Undecodable
from otel_phi.wire.events import AgentEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    if config.file is not None or config.disabled or config.exporter == "none":
        return Straight(config, sample, on_span)
    return Kept(config, sample, on_span)


class Kept:
    """Keeps spans in the outbox until the collector has them.

    Args:
        config: where and how.
        sample: share of sessions to keep, None for what the configuration says.
        on_span: called with each span.
    """

    def __init__(self, config: Config, sample: float | None, on_span: Callable[[Span], None]) -> None:
        self._config = config
        resource = resource_of(config)
        self._watched = waiting.Watched(open_transport(config))
        self._delivery = _Shown(config, resource, transport=self._watched)
        self._delivery.on_span = on_span
        self._name = self._delivery.destination
        self._letters = self._dead_letters()
        mapping = config.mapping_for(resource.get("service.name"))
        ratio = config.sample_ratio if sample is None else sample
        self._faults = Complaints()
        self._recording = Recording(mapping, ratio, self._delivery, self._faults)
        self.events = 0

    def feed(self, events: Iterable[AgentEvent]) -> None:
        """Takes events as they come; what they complete is on disk before the next is looked at."""
        for event in events:
            self.events += 1
            said = admit(event)
            if not isinstance(said, Undecodable):  # none that a line holds is: it was decoded
                self._recording.take(said, None)
            if self._faults.unsaid:
                self._faults.speak()

    def finish(self, at_most_s: float | None) -> str:
        """Waits as `otel_phi.delivery.waiting.settle` does."""
        self._recording.close()
        limit = {} if at_most_s is None else {"at_most_s": at_most_s}
        began = time.monotonic()
        trouble = waiting.settle(self._delivery, self._watched, self._config, **limit)
        if not trouble:
            return ""
        return f"gave up after {time.monotonic() - began:.1f} s: {trouble}"

    def close(self, *, whole: bool) -> None:  # noqa: ARG002  # a row is whole in any case
        """Lets everything go; what is open leaves as aborted, what is not settled stays in the outbox."""
        self._recording.close()
        waiting.close(self._delivery)

    def sentences(self) -> Iterator[str]:
        """Yields what became of the spans: of ours, and of those that others had left."""
        stats = self._delivery.stats()
        new = [letter for letter in self._dead_letters() if letter not in self._letters]
        yield from outcome.sentences(stats, destination(self._config), self._watched.rejection, new)
        if stats.adopted:
            yield f"{words.many(stats.adopted, 'span')} of them left by processes that had ended"
        left = stats.queued + stats.deferred
        if left and stats.in_memory:
            yield f"{words.many(left, 'span')} not sent, and lost: {stats.in_memory}"
        elif left:
            yield f"{words.many(left, 'span')} {'waits' if left == 1 else 'wait'} in the outbox; {self._how_to_send()}"

    def exit_code(self) -> int:
        """Returns 4 where spans wait, 3 where some were not taken or lost."""
        stats = self._delivery.stats()
        return outcome.GAVE_UP if stats.queued + stats.deferred else outcome.exit_code(stats)

    def _how_to_send(self) -> str:
        config = self._config
        if config.exporter != "otlp":
            return "`otel-phi flush`, or the next agent with the same exporter, sends them"
        flags = f"--endpoint {config.display_endpoint}" + (" --protocol grpc" if config.protocol == "grpc" else "")
        headers = ", with the same headers," if callable(config.headers) or config.headers else ""
        return f"`otel-phi flush {flags}`{headers} or the next agent of that collector sends them"

    def _dead_letters(self) -> list[Letter]:
        found = folder_status(self._config.state_dir).destinations
        return [letter for one in found if one.name == self._name for letter in one.letters]


class _Shown(LiveDelivery):
    """Shows each span as it comes by."""

    on_span: Callable[[Span], None]

    @property
    def destination(self) -> str:
        """Returns the destination's name in the outbox folder."""
        return self._place.destination

    def commit(
        self, spans: Sequence[Span], opened: Sequence[Opened] = (), closed: Sequence[tuple[int, int]] = ()
    ) -> None:
        """Shows and takes them."""
        for span in spans:
            self.on_span(span)
        super().commit(spans, opened, closed)

    def claim_root(self, span: Span) -> bool:
        """Shows and takes it; one that another process has taken is of this session all the same."""
        self.on_span(span)
        return super().claim_root(span)


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
        patience_s = self._config.give_up_after_s
        try:
            self._bridge.finish(patience_s if at_most_s is None else min(at_most_s, patience_s))
        except DeliveryError as error:
            self._failed = True
            return str(error)
        return ""

    def close(self, *, whole: bool) -> None:
        """Closes the file."""
        self._failed = self._failed or not whole
        self._bridge.close(whole=whole)

    def sentences(self) -> Iterator[str]:
        """Yields what became of the spans."""
        stats, rejection = self._bridge.stats().delivery, self._bridge.progress().rejection
        yield from outcome.sentences(stats, destination(self._config), rejection, self._bridge.dead_letters)
        if stats.queued:
            yield f"{words.many(stats.queued, 'span')} not written"

    def exit_code(self) -> int:
        """Returns 4 where not all was written."""
        return outcome.GAVE_UP if self._failed else outcome.exit_code(self._bridge.stats().delivery)
