"""What the hook is told, and what must come of it."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable

import msgspec

from otel_phi.events import AgentEvent, ParallelLoopEnd, ParallelLoopStart
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.pipeline import spans
from otel_phi.testing import Receiver
from tests.streams import at, end, result, said, start, tool, tool_end, turn, turn_end

OPTIONS = MappingOptions(service_name="test")


def session(name: str) -> str:
    """Returns a session id of its own for each name, the same every time."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def loop_of(name: str, number: int = 1, *, turns: int = 2, first_ms: int = 0) -> list[AgentEvent]:
    """Returns a loop of turns with a tool each, in the session of that name: 1 + 3 * turns spans, and the root."""
    loop = f"{session(name)}.agent.{number}"
    events: list[AgentEvent] = [start(first_ms, loop, session=session(name))]
    for index in range(turns):
        at_ms = first_ms + 100 * index
        call = f"call-{index}"
        events += [
            turn(at_ms + 1, index, loop),
            said(at_ms + 20, loop),
            tool(call, "bash", loop),
            tool_end(call, "bash", loop),
            result(at_ms + 60, call, "bash", loop),
            turn_end(at_ms + 90, index, loop),
        ]
    return [*events, end(first_ms + 100 * turns, loop)]


def parallel_of(name: str) -> list[AgentEvent]:
    """Returns a parallel evaluation of three branches of one turn, one after the other; the second wins."""
    branches = [f"{session(name)}.agent.{number}" for number in (1, 2, 3)]
    events: list[AgentEvent] = [ParallelLoopStart(session_id=session(name), loop_ids=tuple(branches), timestamp=at(0))]
    for number in (1, 2, 3):
        events += loop_of(name, number, turns=1, first_ms=200 * number)
    verdict = ParallelLoopEnd(
        session_id=session(name), selected_loop_id=branches[1], selected_config_index=1, timestamp=at(900)
    )
    return [*events, verdict]


def expected(*streams: Iterable[AgentEvent], options: MappingOptions = OPTIONS) -> Counter[bytes]:
    """Returns the spans of streams that have nothing to do with each other."""
    return as_count(span for events in streams for span in spans(events, options))


def as_count(found: Iterable[Span]) -> Counter[bytes]:
    """Returns spans as a bag, to compare whatever their order."""
    return Counter(repr(span).encode() for span in found)


def arrived(receiver: Receiver) -> Counter[bytes]:
    """Returns what the receiver has, as a bag."""
    return as_count(receiver.spans)


def as_dict(event: AgentEvent) -> dict[str, object]:
    """Returns an event as an agent that builds dicts would have it."""
    found: dict[str, object] = msgspec.json.decode(as_bytes(event))
    return found


def as_bytes(event: AgentEvent) -> bytes:
    """Returns an event as its line of JSON."""
    from otel_phi.events import encode_event

    return encode_event(event)
