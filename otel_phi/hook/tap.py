"""Taps: iterators that let everything through unchanged, and show it to the hook on its way.

Rule 1: the source is whoever's it was: a tap that is left early does not close it.
Rule 2: a consumer that goes away (a closed generator, a cancelled task) ends the loops that began in the tap: cancelled, at once.
        An error of the source's own ends nothing: whoever reads it may go on.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from otel_phi.hook.taking import shown_nowhere
from otel_phi.wire.events import AgentEnd, AgentStart

if TYPE_CHECKING:
    from otel_phi.hook.recording import Recording

T = TypeVar("T")


class _Begun:
    """The loops that began in a tap and have not ended."""

    __slots__ = ("_loops", "_recording")

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._loops: dict[str, None] = {}

    def record(self, event: object) -> None:
        if shown_nowhere(event):
            self._recording.left_out()
            return
        recorded = self._recording.take(event)
        if isinstance(recorded, AgentStart):
            self._loops[recorded.loop_id] = None
        elif isinstance(recorded, AgentEnd):
            self._loops.pop(recorded.loop_id, None)

    def left(self, error: BaseException) -> None:
        if not isinstance(error, Exception):  # GeneratorExit, CancelledError, KeyboardInterrupt
            self._recording.cancel(reversed(self._loops))


def tapped(events: Iterable[T], recording: Recording) -> Iterator[T]:
    """Yields every event, recorded before it is passed on."""
    begun = _Begun(recording)
    try:
        for event in events:
            begun.record(event)
            yield event
    except BaseException as error:
        begun.left(error)
        raise


async def tapped_async(events: AsyncIterable[T], recording: Recording) -> AsyncIterator[T]:
    """Yields every event, recorded before it is passed on."""
    begun = _Begun(recording)
    try:
        async for event in events:
            begun.record(event)
            yield event
    except BaseException as error:
        begun.left(error)
        raise
