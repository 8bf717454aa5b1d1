"""Turns that are not finished, and parallel evaluations that are announced: what a `SessionRecorder` keeps besides sessions.

phi-core 0.10 keys both by loop id alone, across sessions, and asks for no open loop: events of an unknown loop open and fill a
turn, which a loop that starts later under that id inherits. This is kept.

Bounds: phi-core forgets neither a turn of a loop that never ends nor an evaluation that never ends. Here the oldest goes once
there are more than `MOST_WAITING`. 65,536 is far above what agents run at once, and about 100 MB at worst.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from otel_phi.session.canonical_messages import read_plain_messages, role_of
from otel_phi.session.model import Turn
from otel_phi.session.parts import ParallelGroupRecord
from otel_phi.wire.events import MessageEnd, ParallelLoopEnd, ParallelLoopStart, TurnEnd, TurnRequest, TurnStart
from otel_phi.wire.messages import AssistantMessage, Message, ToolResultMessage, TurnId, UserMessage
from otel_phi.wire.parts import RequestPayload

MOST_WAITING = 65_536

V = TypeVar("V")


class PartialTurn(msgspec.Struct, kw_only=True):
    """A partial turn is a turn between `TurnStart` and `TurnEnd`.

    Attributes:
        start: the event that opened it.
        input_messages: what came since that is not the assistant's.
        request_payload: from `TurnRequest`, None before it or without capture.
    """

    start: TurnStart
    input_messages: list[Message] = []
    request_payload: RequestPayload | None = None


class PartialTurns:
    """Holds the open turn of each loop id."""

    def __init__(self) -> None:
        self._open: dict[str, PartialTurn] = {}

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, event: TurnStart) -> bool:
        """Opens a turn; one that was open for the loop is dropped, as in phi-core 0.10. Returns whether the bound cost one."""
        self._open.pop(event.loop_id, None)
        self._open[event.loop_id] = PartialTurn(start=event)
        return _bounded(self._open)

    def request(self, event: TurnRequest) -> None:
        """Keeps what was asked of the model."""
        partial = self._open.get(event.loop_id)
        if partial is not None:
            partial.request_payload = event.payload

    def message(self, event: MessageEnd) -> None:
        """Takes a message in, unless it is the assistant's."""
        partial = self._open.get(event.loop_id)
        if partial is not None and event.message is not None and role_of(event.message) != "assistant":
            partial.input_messages.append(event.message)

    def end(self, event: TurnEnd) -> Turn | None:
        """Closes the loop's open turn and returns it, None where none was open."""
        partial = self._open.pop(event.loop_id, None)
        if partial is None:
            return None
        turn_id = TurnId(event.loop_id, partial.start.turn_index)
        return Turn(
            turn_id=turn_id,
            triggered_by=partial.start.triggered_by,
            usage=event.usage,
            input_messages=tuple(partial.input_messages),
            output_message=event.message,
            tool_results=tuple(_marked(one, turn_id) for one in read_plain_messages(event.tool_results)),
            started_at=partial.start.timestamp,
            ended_at=event.timestamp,
            request_payload=partial.request_payload,
        )

    def discard(self, loop_id: str) -> None:
        """Drops the loop's open turn: its loop has ended."""
        self._open.pop(loop_id, None)

    def clear(self) -> None:
        """Drops all."""
        self._open.clear()


class AnnouncedGroups:
    """Holds the parallel evaluations that are announced and have not ended, by each of their loops."""

    def __init__(self) -> None:
        self._loop_ids: dict[str, tuple[str, ...]] = {}

    def __len__(self) -> int:
        return len(self._loop_ids)

    def announce(self, event: ParallelLoopStart) -> bool:
        """Remembers a group for each of its loops that is in none yet. Returns whether the bound cost one."""
        for loop_id in event.loop_ids:
            self._loop_ids.setdefault(loop_id, event.loop_ids)
        return _bounded(self._loop_ids)

    def end(self, event: ParallelLoopEnd) -> ParallelGroupRecord:
        """Forgets the group of the selected loop and returns its record; it has that loop alone where none was announced."""
        loop_ids = self._loop_ids.get(event.selected_loop_id, (event.selected_loop_id,))
        for loop_id in loop_ids:
            self._loop_ids.pop(loop_id, None)
        return ParallelGroupRecord(
            all_loop_ids=loop_ids,
            selected_loop_id=event.selected_loop_id,
            selected_config_index=event.selected_config_index,
            evaluation_usage=event.evaluation_usage,
        )


def _bounded(table: dict[str, V]) -> bool:
    full = len(table) > MOST_WAITING
    while len(table) > MOST_WAITING:
        del table[next(iter(table))]
    return full


def _marked(message: Message, turn_id: TurnId) -> Message:
    if isinstance(message, UserMessage | AssistantMessage | ToolResultMessage):
        return msgspec.structs.replace(message, turn_id=turn_id)
    return message
