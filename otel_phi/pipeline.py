"""The pipeline without its ends: events in, finished spans out. What every door runs.

event ─ admit ─▶ event that may be said ─ RecorderCore ─▶ notices ─ spans_of ─▶ spans

Offline doors feed it and get spans. A live door takes the steps apart (`core`, then `spans` of each notice), since what it
looks up elsewhere, a session's root say, has to be written down between them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from otel_phi.errors import DecodeError
from otel_phi.mapping.ids import sample_point
from otel_phi.mapping.mapper import spans_of
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.policy.content import admit, decode_without_content
from otel_phi.policy.fresh import LEAN_IN_PLACE
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.notices import GroupNotice, Notice, SessionOpened, SideCallMade, TurnOpened
from otel_phi.recorder.references import Ahead
from otel_phi.wire.decode import Undecodable
from otel_phi.wire.events import AgentEvent

if TYPE_CHECKING:
    from otel_phi.config import Config


Event = AgentEvent | Mapping[str, Any] | str | bytes


class Pipeline:
    """A pipeline turns events into spans, one event at a time.

    Args:
        options: how notices become spans.
        ahead: what a source that reads ahead knows; None for a live stream.
        sample: share of sessions to keep, 0.0 to 1.0; a session is kept or left whole.

    Attributes:
        chosen: tells of a session id whether the session is meant at all; None where all are.
        core: the recorder core; its snapshot is the pipeline's, since nothing else here outlives a call but counts.
        events: how many events were taken.
        undecodable: events made by hand that hold what no event can; they are left out.
        sampled_out: spans of sessions that sampling left out.
    """

    def __init__(self, options: MappingOptions, ahead: Ahead | None = None, sample: float = 1.0) -> None:
        self._options = options
        self.chosen: Callable[[str], bool] | None = None
        self._sample = sample
        self.core = RecorderCore(ahead)
        self.events = self.undecodable = 0
        self.sampled_out = 0

    @property
    def open_loops(self) -> int:
        """How many loops are open."""
        return self.core.open_loops

    @property
    def counts(self) -> Counter[str]:
        """Events that said nothing, by reason."""
        return self.core.counts

    def feed(self, event: AgentEvent) -> list[Span]:
        """Returns the spans that are complete with this event; mostly none."""
        notices = self._notices(event)
        return [span for notice in notices for span in self.spans(notice)] if notices else []

    def feed_block(self, events: Sequence[AgentEvent]) -> list[Span]:
        """Returns the spans that are complete with these events.

        First all are admitted and recorded, then all are mapped: a quarter faster than one by one, since each step stays in the
        processor's cache. For streams that are not live.
        """
        notices: list[Notice] = []
        judge, take = LEAN_IN_PLACE.get, self.core.on_event
        for event in events:
            judged = judge(event.__class__)
            if judged is None:
                notices += self._notices(event)
            else:  # as `admit` does it, without a call for each event of a file
                judged(event)
                self.events += 1
                notices += take(event)
        return [span for notice in notices if notice.__class__ is not TurnOpened for span in self.spans(notice)]

    def finish(self, *, lost: bool = False) -> list[Span]:
        """Returns the spans of what is still open: as aborted, or as lost with its process."""
        return [span for notice in self.core.flush(lost=lost) for span in self.spans(notice)]

    def _notices(self, event: AgentEvent) -> Sequence[Notice]:
        """Records an event as it may be said, none for what is no event: the one place of this road where that is decided."""
        self.events += 1
        said = admit(event, source_info=self._options.source_info)
        if isinstance(said, Undecodable):
            self.undecodable += 1
            return ()
        return self.core.on_event(said)

    def spans(self, notice: Notice) -> list[Span]:
        """Returns the spans of a notice, none where its session is not meant, or where sampling leaves it out."""
        if self.chosen is not None and not self.chosen(session_of(notice)):
            return []
        found = spans_of(notice, self._options)
        if self._sample >= 1.0 or not found or sample_point(session_of(notice)) < self._sample:
            return found
        self.sampled_out += len(found)
        return []


def session_of(notice: Notice) -> str:
    """Returns the id of the session that a notice is of."""
    if isinstance(notice, SessionOpened | SideCallMade | GroupNotice):
        return notice.session_id
    return notice.loop.identity.session_id


def as_event(given: Event) -> AgentEvent | Undecodable:
    """Returns an event as such, or decodes its JSON, given as a mapping, text or bytes."""
    if isinstance(given, msgspec.Struct):
        return given
    if isinstance(given, (str, bytes)):
        return decode_without_content(given)
    try:
        return decode_without_content(msgspec.json.encode(given))
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
    pipeline = Pipeline(options, ahead)
    for given in events:
        event = as_event(given)
        if isinstance(event, Undecodable):
            raise DecodeError(f"{type(given).__name__}: no AgentEvent: {event.reason}")
        yield from pipeline.feed(event)
        if pipeline.undecodable:
            raise DecodeError(
                f"{type(given).__name__}: no AgentEvent: its values are not of the classes they should be"
            )
    yield from pipeline.finish()
