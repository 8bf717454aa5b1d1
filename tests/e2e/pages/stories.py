"""What is shown: the demo, and a conversation of a hundred loops, each a continuation of the one before."""

from __future__ import annotations

from otel_phi.events import AgentEvent
from tests.streams import whole_loop

CONVERSATION = "7c1d3b52-90ae-4f6c-8a1e-2b5d9e0f4c77"
LOOPS = 100


def conversation() -> list[AgentEvent]:
    """Returns a session of a hundred loops, each a continuation of the one before."""
    events: list[AgentEvent] = []
    before = None
    for number in range(1, LOOPS + 1):
        loop = f"{CONVERSATION}.mock.{number}"
        kind = "Default" if before else "Initial"
        events += whole_loop(20.0 * number, loop, session=CONVERSATION, parent_loop_id=before, continuation_kind=kind)
        before = loop
    return events
