"""Several streams as one, by event time.

Rule 1: the time of an event is the latest event time its own stream has shown so far; phi-core writes many events without.
Rule 2: ties: a spawning session's stream before the spawned one's, then the stream's name.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence

import msgspec

from otel_phi.wire.events import AgentEvent, AgentStart

# Deeper nests of agents than this are settled by the stream's name.
_MAX_DEPTH = 16


class Stream(msgspec.Struct, frozen=True):
    """A stream is one log, or one saved loop.

    Attributes:
        name: settles ties; unique among those merged.
        first_ns: time of its first event, nanoseconds since the epoch.
        starts: its AgentStarts, in order, without what only spans need.
        read: yields its events.
    """

    name: str
    first_ns: int
    starts: tuple[AgentStart, ...]
    read: Callable[[], Iterator[AgentEvent]]


def merged(streams: Sequence[Stream]) -> Iterator[AgentEvent]:
    """Yields the events of all streams, each stream's own order kept. A stream is opened when its time has come."""
    if len(streams) == 1:
        yield from streams[0].read()
        return
    depths = _depths(streams)
    running = [_timed(stream) for stream in streams]
    queue = [(stream.first_ns, depths[number], stream.name, number) for number, stream in enumerate(streams)]
    heapq.heapify(queue)
    waiting: dict[int, AgentEvent] = {}
    while queue:
        _, depth, name, number = heapq.heappop(queue)
        if number in waiting:
            yield waiting.pop(number)
        for time_ns, event in running[number]:
            key = (time_ns, depth, name, number)
            if queue and key > queue[0]:
                waiting[number] = event
                heapq.heappush(queue, key)
                break
            yield event


def _timed(stream: Stream) -> Iterator[tuple[int, AgentEvent]]:
    latest = stream.first_ns
    for event in stream.read():
        stamp = getattr(event, "timestamp", None)
        if isinstance(stamp, int) and stamp > latest:  # not None, and not UNSET on a tool's
            latest = int(stamp)
        yield latest, event


def _depths(streams: Sequence[Stream]) -> list[int]:
    """Returns how many spawns deep each stream is, so that at one instant a parent comes before its child."""
    home = {start.loop_id: number for number, stream in enumerate(streams) for start in stream.starts}
    parents = [
        {home[start.parent_loop_id] for start in stream.starts if start.parent_loop_id in home} - {number}
        for number, stream in enumerate(streams)
    ]
    depths = [0] * len(streams)
    for _ in range(min(len(streams), _MAX_DEPTH)):
        deeper = [max((depths[up] + 1 for up in ups), default=0) for ups in parents]
        if deeper == depths:
            break
        depths = deeper
    return depths


def lean(start: AgentStart) -> AgentStart:
    """Returns an AgentStart without what only its span needs: a folder's starts are all held at once."""
    return AgentStart(
        session_id=start.session_id,
        loop_id=start.loop_id,
        timestamp=start.timestamp,
        agent_id=start.agent_id,
        parent_loop_id=start.parent_loop_id,
    )
