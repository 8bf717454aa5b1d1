"""What redaction would take out of a stream, by kind and place: never the texts themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from otel_phi.policy.capture.rules import Capture
from otel_phi.policy.options import ContentOptions
from otel_phi.policy.redaction.counted import MARKS
from otel_phi.wire import events as e
from otel_phi.wire.decode import Undecodable
from otel_phi.wire.messages import AssistantMessage, ToolResultMessage, UserMessage

# Nothing is cut, so that all is looked at.
_NO_LIMIT = 1 << 40
Place = tuple[str, str]  # kind of secret, place
_encoder = msgspec.json.Encoder(enc_hook=int)


class SecretSearch:
    """A search looks for secrets, event by event."""

    def __init__(self) -> None:
        self._capture = Capture(ContentOptions(capture=True, input_mode="delta"), _NO_LIMIT)

    def in_event(self, event: e.AgentEvent) -> Counter[Place]:
        """Returns how many secrets of each kind stand in an event, by place; none in one that repeats others."""
        place = _place(event)
        said = None if place is None else self._capture.admit(event)
        if place is None or said is None or isinstance(said, Undecodable):
            return Counter()
        return Counter((kind, place) for kind in MARKS.findall(_encoder.encode(said).decode()))


def secrets_in(events: Iterable[e.AgentEvent]) -> Counter[Place]:
    """Returns how many secrets of each kind stand at each place.

    Args:
        events: with their contents.
    """
    search = SecretSearch()
    found: Counter[Place] = Counter()
    for event in events:
        found.update(search.in_event(event))
    return found


def _place(event: e.AgentEvent) -> str | None:
    """Returns where an event's contents are said first; None for one that repeats them: a request does, but for system and tools."""
    match event:
        case e.MessageEnd(message=UserMessage()):
            return "user message"
        case e.MessageEnd(message=AssistantMessage()):
            return "answer"
        case e.MessageEnd(message=ToolResultMessage()):
            return "tool result"
        case e.ToolExecutionStart():
            return f"arguments of {event.tool_name}"
        case e.TurnRequest():
            return "request"
        case _:
            return None
