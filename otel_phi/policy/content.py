"""`without_content`: an event as it may be said where content is off. The one place that decides.

Rule 1: it takes out what a person or a model wrote, and leaves identifiers, numbers, times and words.
Rule 2: before, it derives the words that the trace needs of it (`error_type`, `stop_limit`): it fills them where nobody gave
        them, and never overwrites one that is a word. So applied twice it changes nothing.
Rule 3: an event with nothing to take out comes back as the very same object: most do, on the agent's thread.
Rule 4: a value that is let through is of its declared class, or a TypeError says so: text in a number could be content.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from otel_phi.policy import happenings, loops, turns
from otel_phi.policy.fresh import IN_PLACE, LEAN_IN_PLACE
from otel_phi.policy.parts import whole_source
from otel_phi.wire import events as e
from otel_phi.wire.decode import Undecodable, decode_event, decode_strictly, encode_event
from otel_phi.wire.foreign import pass_on

if TYPE_CHECKING:
    from otel_phi.wire.spellings import UnknownKey

E = TypeVar("E", bound=e.AgentEvent)


def without_content(event: E) -> E:
    """Returns an event without anything that a person or a model wrote.

    Args:
        event: as decoded by `otel_phi.wire`, or made by hand.

    Returns:
        The very same object where there is nothing to take out.

    Raises:
        TypeError: it is no event, or a value in it that may be said is not of its declared class.
    """
    taken = BY_KIND.get(event.__class__)
    if taken is None:
        raise TypeError(f"a {event.__class__.__name__} is no event")
    return taken(event)  # type: ignore[no-any-return]  # each gives back what it takes


def decode_strictly_without_content(line: bytes | str) -> e.KnownEvent:
    """Decodes one AgentEvent that is as phi-core writes it, keeping nothing of its content.

    Raises:
        MsgspecError, UnicodeError, RecursionError: it is not; who asks `decode_without_content` then may still read it.
    """
    event = decode_strictly(line)
    taken = IN_PLACE.get(event.__class__)
    if taken is None:
        return without_content(event)
    taken(event)
    return event


def decode_without_content(line: bytes | str, unknown: list[UnknownKey] | None = None) -> e.AgentEvent | Undecodable:
    """Decodes one AgentEvent as it may be said, keeping nothing of its content: `without_content(decode_event(line))`, at less cost.

    Args:
        line: a JSON object, with or without white space around it.
        unknown: gets the keys that nobody knows.

    Returns:
        The event; `Undecodable` for what is none.
    """
    try:
        return decode_strictly_without_content(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        pass_on(error)
        event = decode_event(line, unknown)
    return event if isinstance(event, Undecodable) else without_content(event)


def admit(event: e.AgentEvent) -> e.AgentEvent | Undecodable:
    """Returns an event, as `without_content` takes it, as it may be said; one made by hand with values of other classes goes by way of JSON."""
    judged = LEAN_IN_PLACE.get(event.__class__)
    if judged is not None:
        judged(event)
        return event
    try:
        return without_content(event)
    except (TypeError, ValueError, AttributeError) as error:
        pass_on(error)
        return _by_way_of_json(event)


def with_source_info(
    said: e.AgentEvent | Undecodable, event: e.AgentEvent, guard: Callable[[str], str]
) -> e.AgentEvent | Undecodable:
    """Returns an AgentStart as it may be said where the agent worked whose records it was read from, any other event as it is.

    Args:
        said: as policy admitted it.
        event: as it was before.
        guard: takes the secrets out of a text, such as a repository's URL.
    """
    if isinstance(said, e.AgentStart) and isinstance(event, e.AgentStart) and event.source:
        return msgspec.structs.replace(said, source=whole_source(event.source, guard))
    return said


def _by_way_of_json(event: e.AgentEvent) -> e.AgentEvent | Undecodable:
    try:
        return decode_without_content(encode_event(event))
    except (TypeError, ValueError, OverflowError, RecursionError, AttributeError, NotImplementedError) as error:
        pass_on(error)
        return Undecodable(f"cannot be written as JSON: {type(error).__name__}")


# A table, not a `match`: it is asked for every event, and the tenth arm of a `match` costs ten times the first.
BY_KIND: dict[type, Callable[[Any], Any]] = {
    e.AgentStart: loops.agent_start,
    e.AgentEnd: loops.agent_end,
    e.TurnStart: turns.turn_start,
    e.TurnRequest: turns.turn_request,
    e.TurnEnd: turns.turn_end,
    e.MessageStart: turns.message_start,
    e.MessageUpdate: turns.message_update,
    e.MessageEnd: turns.message_end,
    e.ToolExecutionStart: turns.tool_start,
    e.ToolExecutionUpdate: turns.tool_update,
    e.ToolExecutionEnd: turns.tool_end,
    e.ProgressMessage: turns.progress,
    e.InputRejected: happenings.input_rejected,
    e.ParallelLoopStart: loops.parallel_start,
    e.ParallelLoopEnd: loops.parallel_end,
    e.CompactionStarted: happenings.compaction_started,
    e.CompactionEnded: happenings.compaction_ended,
    e.PrunApplied: happenings.prun_applied,
    e.RevertApplied: happenings.revert_applied,
    e.SideCall: happenings.side_call,
    e.GenericEvent: happenings.generic,
}
