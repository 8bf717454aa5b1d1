"""Loops by number: with `trace_scope="loop"` each is one span, so that what is lost, doubled or changed is a number."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import otel_phi
from otel_phi.events import AgentEnd, AgentStart
from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Span
from otel_phi.testing import Receiver
from tests.streams import SESSION, at

LOOP_SCOPE: dict[str, Any] = {"trace_scope": "loop", "max_attribute_bytes": 8 << 20}


def loop(number: int, text: str = "") -> tuple[AgentStart, AgentEnd]:
    """Returns a loop without turns; the text is on its span."""
    loop_id = f"{SESSION}.agent.{number}"
    begin = AgentStart(session_id=SESSION, loop_id=loop_id, timestamp=at(number), agent_id=text or "a")
    return begin, AgentEnd(loop_id=loop_id, timestamp=at(number + 5))


def give(hook: otel_phi.Hook, numbers: Collection[int], text: str = "") -> list[int]:
    """Gives a hook the loops of some numbers, and returns these."""
    for number in numbers:
        for event in loop(number, text):
            hook(event)
    return sorted(numbers)


def number_of(span: Span) -> int:
    """Returns the number of a loop's span."""
    return int(str(span.get(s.LOOP_ID)).rpartition(".")[2])


def once(receiver: Receiver) -> list[int]:
    """Returns the numbers of what arrived, each once; what came twice must be the same span to the last byte."""
    spans = {number_of(span): span for span in receiver.spans}
    assert all(spans[number_of(span)] == span for span in receiver.spans)
    return sorted(spans)
