"""The road without its ends: events in, finished spans out. Assembly of recorder and mapping, nothing else.

event ─ RecorderCore ─▶ notices ─ spans_of ─▶ spans
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from otel_phi.errors import DecodeError
from otel_phi.mapping.ids import sample_point
from otel_phi.mapping.mapper import spans_of
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.notices import GroupNotice, Notice, SessionOpened, SideCallMade
from otel_phi.recorder.references import Ahead
from otel_phi.wire.decode import Undecodable, decode_event
from otel_phi.wire.events import AgentEvent

if TYPE_CHECKING:
    from otel_phi.config import Config


Event = AgentEvent | Mapping[str, Any] | str | bytes


class Road:
    """Turns events into spans, one event at a time.

    Args:
        options: how notices become spans.
        ahead: what a source that reads ahead knows; None for a live stream.
        sample: share of sessions to keep, 0.0 to 1.0; a session is kept or left whole.

    Attributes:
        counts: events by what became of them: `events`, and the recorder's reasons for those that said nothing.
        sampled_out: spans of sessions that sampling left out.
    """

    def __init__(self, options: MappingOptions, ahead: Ahead | None = None, sample: float = 1.0) -> None:
        self._options = options
        self._core = RecorderCore(ahead)
        self._sample = sample
        self.events = 0
        self.sampled_out = 0

    @property
    def open_loops(self) -> int:
        """How many loops are open."""
        return self._core.open_loops

    @property
    def counts(self) -> Counter[str]:
        """Events that said nothing, by reason."""
        return self._core.counts

    def feed(self, event: AgentEvent) -> list[Span]:
        """Returns the spans that are complete with this event; mostly none."""
        self.events += 1
        notices = self._core.on_event(event)
        return self._spans(notices) if notices else []

    def feed_block(self, events: Sequence[AgentEvent]) -> list[Span]:
        """Returns the spans that are complete with these events.

        First all are recorded, then all are mapped: a quarter faster than one by one, since each step stays in the
        processor's cache. For streams that are not live.
        """
        self.events += len(events)
        notices = [notice for event in events for notice in self._core.on_event(event)]
        return self._spans(notices) if notices else []

    def finish(self) -> list[Span]:
        """Returns the spans of what is still open, as aborted."""
        return self._spans(self._core.flush())

    def _spans(self, notices: Iterable[Notice]) -> list[Span]:
        return [span for notice in notices for span in self._kept(notice)]

    def _kept(self, notice: Notice) -> list[Span]:
        spans = spans_of(notice, self._options)
        if self._sample >= 1.0 or sample_point(_session(notice)) < self._sample:
            return spans
        self.sampled_out += len(spans)
        return []


def _session(notice: Notice) -> str:
    if isinstance(notice, SessionOpened | SideCallMade | GroupNotice):
        return notice.session_id
    start = notice.loop
    return start.identity.session_id


def as_event(given: Event) -> AgentEvent | Undecodable:
    """Returns an event as such, or decodes its JSON, given as a mapping, text or bytes."""
    if isinstance(given, msgspec.Struct):
        return given
    if isinstance(given, (str, bytes)):
        return decode_event(given)
    try:
        return decode_event(msgspec.json.encode(given))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        return Undecodable(f"cannot be written as JSON: {type(error).__name__}")


def spans(
    events: Iterable[Event], config: Config | MappingOptions | None = None, *, ahead: Ahead | None = None
) -> Iterator[Span]:
    """Turns events into finished spans: a pure function, the same events give the same spans.

    Args:
        events: in the order they happened, or their JSON as mappings, texts or bytes; `otel_phi.read_events` gives those of
            a file.
        config: how to map; None for the defaults.
        ahead: the loops of the whole stream, where they are known before it is read (`ahead_of`).

    Yields:
        Each span once, as soon as it is complete: the session's root first, a turn with its chat and tools, a loop last.
        What is still open when the events end leaves as aborted.

    Raises:
        DecodeError: something given is no event.
    """
    options = MappingOptions() if config is None else config if isinstance(config, MappingOptions) else config.mapping
    road = Road(options, ahead)
    for given in events:
        event = as_event(given)
        if isinstance(event, Undecodable):
            raise DecodeError(f"{type(given).__name__}: no AgentEvent: {event.reason}")
        yield from road.feed(event)
    yield from road.finish()
