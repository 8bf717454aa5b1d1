"""The hook itself: takes events from any thread, in order, and never raises, waits or prints.

It is a function with attributes: a streamed turn calls it hundreds of times, and Python calls a function in half the time of an
object.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar, cast, overload

from otel_phi.config import Config
from otel_phi.hook.recording import Recording
from otel_phi.hook.stats import HookStats
from otel_phi.hook.taking import DELTA, NOWHERE, TEXTS, shown_nowhere
from otel_phi.hook.tap import tapped, tapped_async
from otel_phi.wire.events import AgentEvent, MessageUpdate

Event = AgentEvent | Mapping[str, Any] | str | bytes
T = TypeVar("T")


class Hook(Protocol):
    """The hook takes an agent's events; what they complete leaves by itself. Made by `otel_phi.install`."""

    def __call__(self, event: Event, traceparent: str | None = None) -> None:
        """Records one event; never raises. It is in the journal when this returns.

        Args:
            event: an `AgentEvent`, or its JSON as mapping, text or bytes.
            traceparent: W3C trace context of whoever called the agent, for an AgentStart; without it the one in its
                metadata counts, else the current OpenTelemetry span.
        """

    @property
    def config(self) -> Config:
        """How it maps, samples and sends."""

    @property
    def off(self) -> str:
        """Why nothing is recorded, "" while all is well: `sdk_disabled`, `not_started`."""

    @overload
    def tap(self, events: Iterable[T]) -> Iterator[T]: ...
    @overload
    def tap(self, events: AsyncIterable[T]) -> AsyncIterator[T]: ...
    def tap(self, events: Iterable[T] | AsyncIterable[T]) -> Iterator[T] | AsyncIterator[T]:
        """Returns an iterator that passes everything through unchanged, and records it on its way.

        Where its consumer goes away, by a cancelled task or a closed generator, the loops that began in it and have not ended
        are closed as cancelled, at once.

        Args:
            events: what an agent yields; what is no event is passed through, and counted.
        """

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Waits until every span completed so far is settled; False if it is not within `timeout_s`. Never raises."""

    def shutdown(self, timeout_s: float = 2.0) -> bool:
        """Ends the recording: what is open leaves as aborted, all is delivered; repeatable, never raises.

        What is not delivered in time stays in the journal, for the next process to send.

        Args:
            timeout_s: seconds it may take.

        Returns:
            Whether all was delivered.
        """

    def stats(self) -> HookStats:
        """Returns what became of every event and span so far. Never raises."""


def hook_of(recording: Recording) -> Hook:
    """Makes the hook of a recording."""
    left_out, take = recording.left_out, recording.take
    message_update, delta, texts, nowhere = MessageUpdate, DELTA, TEXTS, NOWHERE

    def hook(event: Any, traceparent: str | None = None) -> None:
        """Records one event; never raises. It is in the journal when this returns."""
        kind = event.__class__
        if kind is message_update or (kind is bytes and event[:23] == delta):
            left_out()  # most of a streamed turn ends here: nothing is called on the way
        elif kind in nowhere or (kind in texts and shown_nowhere(event)):
            left_out()
        else:
            take(event, traceparent)

    def tap(events: Any) -> Any:
        return tapped_async(events, recording) if isinstance(events, AsyncIterable) else tapped(events, recording)

    made: Any = hook
    made.config, made.off, made.tap = recording.config, recording.off, tap
    made.flush, made.shutdown, made.stats = recording.flush, recording.shutdown, recording.stats
    return cast("Hook", made)
