"""The recording: one process's recorder core and mapping, with what they say passed on to the delivery.

Not for several threads at once: whoever calls it holds the hook's lock.
"""

from __future__ import annotations

from collections.abc import Iterable

from otel_phi.delivery.live import LiveDelivery, Opened
from otel_phi.hook.complaints import Complaints
from otel_phi.mapping.ids import SpanRef, sample_point
from otel_phi.mapping.mapper import spans_of
from otel_phi.mapping.opened import opened_span
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.places import group_place
from otel_phi.mapping.span import Span
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.identities import UNKNOWN, LoopIdentity
from otel_phi.recorder.notices import (
    GroupClosed,
    GroupGivenUp,
    GroupNotice,
    GroupOpened,
    LoopClosed,
    LoopOpened,
    Notice,
    SessionOpened,
    SideCallMade,
    TurnClosed,
    TurnOpened,
)
from otel_phi.wire.events import AgentEvent, AgentStart, ToolExecutionEnd

SAMPLED_OUT = "sampled_out"
MAPPING_FAILED = "mapping_failed"


class Recording:
    """Takes events and commits what they complete.

    Args:
        options: how notices become spans.
        sample: share of sessions to keep, 0.0 to 1.0; a session is kept or left whole.
        delivery: where spans go.
        complaints: gets the faults of mapping; each costs its own notice.
    """

    def __init__(self, options: MappingOptions, sample: float, delivery: LiveDelivery, complaints: Complaints) -> None:
        self._options = options
        self._sample = sample
        self._delivery = delivery
        self._complaints = complaints
        self._core = RecorderCore()

    @property
    def open_loops(self) -> int:
        """How many loops are open."""
        return self._core.open_loops

    @property
    def ignored(self) -> dict[str, int]:
        """Events that said nothing, by reason."""
        return dict(self._core.counts)

    def take(self, event: AgentEvent, caller: str | None) -> None:
        """Records one event; what it completes is committed when this returns."""
        if isinstance(event, AgentStart):
            self._look_up(event.parent_loop_id, int(event.timestamp))
        elif isinstance(event, ToolExecutionEnd):
            self._look_up(event.child_loop_id or (event.result.child_loop_id if event.result else None), None)
        notices = self._core.on_event(event, caller)
        if notices:
            self._commit(notices)

    def close(self) -> None:
        """Commits what is still open, as aborted."""
        self._commit(self._core.flush())

    def _look_up(self, loop_id: str | None, before_ns: int | None) -> None:
        """Finds a loop that this stream refers to and has not shown: another process, or an earlier one, may have."""
        if not loop_id or self._core.seen(loop_id):
            return
        known = self._delivery.known_loop(loop_id)
        if known is not None and (before_ns is None or known[1] < before_ns):
            self._core.remember(LoopIdentity(known[0], loop_id, known[1], UNKNOWN))

    def _commit(self, notices: Iterable[Notice]) -> None:
        step = _Step()
        for notice in notices:
            self._into(step, notice)
        if step.left_out:
            self._delivery.drop(SAMPLED_OUT, step.left_out)
        if step.spans or step.opened or step.closed:
            self._delivery.commit(step.spans, tuple(step.opened.values()), tuple(step.closed))

    def _into(self, step: _Step, notice: Notice) -> None:
        try:
            self._map(step, notice)
        except Exception as error:  # noqa: BLE001  # one notice's fault must not cost the others
            self._complaints.failed("mapping", error)
            self._delivery.drop(MAPPING_FAILED, 1)

    def _map(self, step: _Step, notice: Notice) -> None:
        if not self._kept(notice):
            step.left_out += len(spans_of(notice, self._options))
            return
        match notice:
            case LoopOpened() | TurnOpened():
                step.open(opened_span(notice, self._options))
                if isinstance(notice, LoopOpened):
                    loop = notice.loop.identity
                    self._delivery.remember_loop(loop.loop_id, loop.session_id, loop.started_ns)
            case SessionOpened():
                for root in spans_of(notice, self._options):
                    self._delivery.claim_root(root)
            case TurnClosed() | LoopClosed():
                spans = spans_of(notice, self._options)
                step.spans += spans
                step.close(spans[0])
            case SideCallMade():
                step.spans += spans_of(notice, self._options)
            case GroupOpened() | GroupClosed() | GroupGivenUp():
                self._map_group(step, notice)

    def _map_group(self, step: _Step, notice: GroupNotice) -> None:
        def place(started_ns: int) -> SpanRef:
            return group_place(notice.session_id, notice.loop_ids, started_ns, self._options)

        match notice:
            case GroupOpened():
                if notice.before_ns not in {None, notice.started_ns}:  # an earlier branch is told of later: another id
                    step.forget(place(notice.before_ns or 0))
                step.open(opened_span(notice, self._options))
            case GroupClosed() | GroupGivenUp():
                step.spans += spans_of(notice, self._options)
                step.forget(place(notice.started_ns))

    def _kept(self, notice: Notice) -> bool:
        if self._sample >= 1.0:
            return True
        if isinstance(notice, SessionOpened | SideCallMade | GroupNotice):
            return sample_point(notice.session_id) < self._sample
        return sample_point(notice.loop.identity.session_id) < self._sample


class _Step:
    """Gathers what one event brings about; what opens and closes with it was never open."""

    __slots__ = ("closed", "left_out", "opened", "spans")

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.opened: dict[tuple[int, int], Opened] = {}
        self.closed: list[tuple[int, int]] = []
        self.left_out = 0

    def open(self, span: Span) -> None:
        self.opened[span.trace_id, span.span_id] = Opened(span)

    def close(self, span: Span) -> None:
        place = (span.trace_id, span.span_id)
        if self.opened.pop(place, None) is None:
            self.closed.append(place)

    def forget(self, place: SpanRef) -> None:
        """Closes what may have been told of before, and in this step too."""
        self.opened.pop(place, None)
        self.closed.append(place)
