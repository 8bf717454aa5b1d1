"""The pipeline without its ends: events in, finished spans out. What every door runs.

event ─ admit ─▶ event that may be said ─ RecorderCore ─▶ notices ─ spans_of ─▶ spans

Offline doors feed it and get spans. A live door takes the steps apart (`core`, then `spans` of each notice), since what it
looks up elsewhere, a session's root say, has to be written down between them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from otel_phi.errors import DecodeError
from otel_phi.mapping.ids import sample_point
from otel_phi.mapping.mapper import spans_of
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.policy.content import admit, decode_without_content, with_source_info
from otel_phi.policy.door import Policy, WithoutContent, policy_of, sees_content
from otel_phi.policy.fresh import LEAN_IN_PLACE
from otel_phi.policy.given import AttributesFor, guarded, guarded_function, guarded_text, with_given
from otel_phi.policy.tools import WithToolNames
from otel_phi.prices import Prices, prices_of
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.notices import GroupNotice, Notice, SessionOpened, SideCallMade, TurnOpened
from otel_phi.recorder.references import Ahead
from otel_phi.wire.costs import Price
from otel_phi.wire.decode import Undecodable, decode_event
from otel_phi.wire.events import AgentEvent

if TYPE_CHECKING:
    from otel_phi.config import Config


logger = logging.getLogger("otel_phi")
Event = AgentEvent | Mapping[str, Any] | str | bytes
Decode = Callable[[bytes | str], AgentEvent | Undecodable]


class Pipeline:
    """A pipeline turns events into spans, one event at a time.

    Args:
        options: how notices become spans.
        ahead: what a source that reads ahead knows; None for a live stream.
        sample: share of sessions to keep, 0.0 to 1.0; a session is kept or left whole.
        policy: what may be said; None for nothing that a person or a model wrote.
        price: says what model calls cost, None for nobody.
        attributes_for: gives what else every span of a session says, None for nobody.
        guard: takes secrets out of what a source says of where an agent worked; None where nothing of it leaves this machine.
        on_notice: gets each notice whose spans are asked for, sampled out or not; it must not raise.

    Attributes:
        chosen: tells of a session id whether the session is meant at all; None where all are.
        core: the recorder core; its snapshot is the pipeline's, since nothing else here outlives a call but counts.
        events: how many events were taken.
        undecodable: events made by hand that hold what no event can; they are left out.
        sampled_out: spans of sessions that sampling left out.
    """

    def __init__(
        self,
        options: MappingOptions,
        ahead: Ahead | None = None,
        sample: float = 1.0,
        policy: Policy | None = None,
        *,
        price: Price | None = None,
        attributes_for: AttributesFor | None = None,
        guard: Callable[[str], str] | None = None,
        on_notice: Callable[[Notice], None] | None = None,
    ) -> None:
        self._options = options
        self.chosen: Callable[[str], bool] | None = None
        self._admit = admit if policy is None else policy.admit
        self._sample, self._attributes_for, self._on_notice = sample, attributes_for, on_notice
        self._guard = guard or str
        self.core = RecorderCore(ahead, price)
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
        said = self._admit(event)
        if self._options.source_info:
            said = with_source_info(said, event, self._guard)
        if isinstance(said, Undecodable):
            self.undecodable += 1
            return ()
        if self._attributes_for is not None:
            said = with_given(said, self._attributes_for, _not_given)
        return self.core.on_event(said)

    def spans(self, notice: Notice) -> list[Span]:
        """Returns the spans of a notice, none where its session is not meant, or where sampling leaves it out."""
        if self.chosen is not None and not self.chosen(session_of(notice)):
            return []
        if self._on_notice is not None:
            self._on_notice(notice)
        found = spans_of(notice, self._options)
        if self._sample >= 1.0 or not found or sample_point(session_of(notice)) < self._sample:
            return found
        self.sampled_out += len(found)
        return []


def _not_given(error: Exception) -> None:
    logger.warning("attributes_for failed: %s", type(error).__name__)  # its text may be content


def session_of(notice: Notice) -> str:
    """Returns the id of the session that a notice is of."""
    if isinstance(notice, SessionOpened | SideCallMade | GroupNotice):
        return notice.session_id
    return notice.loop.identity.session_id


def policy_for(config: Config, *, tools: bool = False) -> Policy:
    """Returns what may be said where this is configured; `tools`: a request says which it offers, since somebody counts them."""
    policy = policy_of(config.content, config.mapping.max_attribute_bytes, config.profile)
    return WithToolNames(policy) if tools else policy


def mapping_for(config: Config, service_name: object) -> MappingOptions:
    """Returns how notices become spans for a resource whose `service.name` is this; what is to stand on all of them without secrets."""
    options = config.mapping_for(service_name)
    return _guarded(options, config) if options.attributes else options


def _guarded(options: MappingOptions, config: Config) -> MappingOptions:
    attributes = guarded(dict(options.attributes), config.content)
    return msgspec.structs.replace(options, attributes=tuple(attributes.items()))


def decode_for(policy: Policy) -> Decode:
    """Returns what decodes JSON for a pipeline with this policy, which admits what comes of it: once is enough."""
    return decode_event if sees_content(policy) else decode_without_content


def as_event(given: Event, decode: Decode = decode_without_content) -> AgentEvent | Undecodable:
    """Returns an event as such, or decodes its JSON, given as a mapping, text or bytes; `decode` keeps what may be said."""
    if isinstance(given, msgspec.Struct):
        return given
    if isinstance(given, (str, bytes)):
        return decode(given)
    try:
        return decode(msgspec.json.encode(given))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        return Undecodable(f"cannot be written as JSON: {type(error).__name__}")


def spans(
    events: Iterable[Event],
    config: Config | MappingOptions | None = None,
    *,
    ahead: Ahead | None = None,
    policy: Policy | None = None,
    prices: Prices | None = None,
) -> Iterator[Span]:
    """Turns events into finished spans: a pure function, the same events give the same spans.

    Args:
        events: in the order they happened, or their JSON as mappings, texts or bytes; `otel_phi.read_events` gives those of
            a file.
        config: how to map; None for the defaults.
        ahead: the loops of the whole stream, where they are known before it is read (`ahead_of`).
        policy: what may be said; None for what the configuration says, nothing that a person or a model wrote without one.
        prices: what model calls cost; None for what a `Config` says, else for nothing.

    Yields:
        Each span once, as soon as it is complete: the session's root first, a turn with its chat and tools, a loop last.
        What is still open when the events end leaves as aborted.

    Raises:
        DecodeError: something given is no event.
    """
    options = MappingOptions() if config is None else config if isinstance(config, MappingOptions) else config.mapping
    asked = guard = None
    if config is not None and not isinstance(config, MappingOptions):
        policy, prices = policy or policy_for(config), prices or prices_of(config.prices)
        asked = guarded_function(config.attributes_for, config.content)
        guard = guarded_text(config.content) if options.source_info else None
        options = _guarded(options, config) if options.attributes else options
    policy = policy or WithoutContent()
    decode = decode_for(policy)
    pipeline = Pipeline(
        options,
        ahead,
        policy=policy,
        price=prices,
        attributes_for=asked,
        guard=guard,
    )
    for given in events:
        event = as_event(given, decode)
        if isinstance(event, Undecodable):
            raise DecodeError(f"{type(given).__name__}: no AgentEvent: {event.reason}")
        yield from pipeline.feed(event)
        if pipeline.undecodable:
            raise DecodeError(
                f"{type(given).__name__}: no AgentEvent: its values are not of the classes they should be"
            )
    yield from pipeline.finish()
