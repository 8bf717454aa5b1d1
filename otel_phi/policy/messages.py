"""What may be said of messages: who spoke, when, how it went; never what was said.

A message with nothing to take out is looked over and given back: that is asked for on the agent's thread, so it is one
condition of plain comparisons. All others are made anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from otel_phi.policy.errors import call_error, stop_limit, tool_error
from otel_phi.policy.parts import old_if_equal, usage
from otel_phi.policy.words import (
    GIVEN_FLAGS,
    GIVEN_FRACTIONS,
    GIVEN_NUMBERS,
    NUMBERS,
    OTHER,
    checked,
    error_word,
    known_names,
    known_words,
    name,
    word,
)
from otel_phi.wire.events import ToolExecutionEnd
from otel_phi.wire.messages import (
    NULL,
    AssistantMessage,
    ExtensionMessage,
    Message,
    ToolResultMessage,
    TurnId,
    UserMessage,
)


def message(given: Message | None) -> Message | None:
    """Returns a message without its content, marks and texts, after deriving the words that the trace needs from them.

    Raises:
        TypeError: it is no message, or holds values of the wrong class in fields that are let through.
    """
    if given is None:
        return None
    taken = _BY_KIND.get(given.__class__)
    return _of_a_subclass(given) if taken is None else taken(given)


def _assistant(given: AssistantMessage) -> AssistantMessage:
    if (
        given.content is NULL
        and given.error_message is None
        and given.error_type is UNSET
        and (given.first_token_ms is given.streamed is given.cost_usd is UNSET or _is_timed(given))
        and given.stop_reason in known_words
        and given.stop_reason != "error"
        and given.model in known_names
        and given.provider in known_words
        and given.timestamp.__class__ is int
        and given.turn_id is None
        and given.node_id is None
        and given.parent_id is None
        and given.tags is NULL
        and given.provenance_hint is NULL
    ):
        used = usage(given.usage)
        return given if used is given.usage else msgspec.structs.replace(given, usage=used)
    return _without_texts(given)


def _is_timed(given: AssistantMessage) -> bool:
    return (
        given.first_token_ms.__class__ in GIVEN_NUMBERS
        and given.streamed.__class__ in GIVEN_FLAGS
        and given.cost_usd.__class__ in GIVEN_FRACTIONS
    )


def _without_texts(given: AssistantMessage) -> AssistantMessage:
    _look_over(given)
    checked(GIVEN_NUMBERS, given.first_token_ms)
    checked(GIVEN_FLAGS, given.streamed)
    checked(GIVEN_FRACTIONS, given.cost_usd)
    return old_if_equal(
        AssistantMessage(
            timestamp=given.timestamp,
            turn_id=given.turn_id,
            node_id=given.node_id,
            parent_id=given.parent_id,
            stop_reason=word(given.stop_reason),
            model=name(given.model),
            provider=word(given.provider),
            usage=usage(given.usage),
            error_type=call_word(given),
            first_token_ms=given.first_token_ms,
            streamed=given.streamed,
            cost_usd=given.cost_usd,
        ),
        given,
    )


def _tool_result(given: ToolResultMessage) -> ToolResultMessage:
    if (
        given.content is NULL
        and given.is_error is False
        and given.error_type is UNSET
        and given.tool_name in known_names
        and given.tool_call_id.__class__ is str
        and given.timestamp.__class__ is int
        and given.turn_id is None
        and given.node_id is None
        and given.parent_id is None
        and given.tags is NULL
        and given.provenance_hint is NULL
    ):
        return given
    _look_over(given)
    checked({str}, given.tool_call_id)
    checked({bool}, given.is_error)
    return old_if_equal(
        ToolResultMessage(
            timestamp=given.timestamp,
            turn_id=given.turn_id,
            node_id=given.node_id,
            parent_id=given.parent_id,
            tool_call_id=given.tool_call_id,
            tool_name=name(given.tool_name),
            is_error=given.is_error,
            error_type=tool_word(given, given.content),
        ),
        given,
    )


def _user(given: UserMessage) -> UserMessage:
    _look_over(given)
    return old_if_equal(
        UserMessage(
            timestamp=given.timestamp,
            turn_id=given.turn_id,
            node_id=given.node_id,
            parent_id=given.parent_id,
            stop_limit=limit_word(given),
        ),
        given,
    )


def _extension(given: ExtensionMessage) -> ExtensionMessage:
    new = ExtensionMessage(kind=word(given.kind))
    return given if given.__class__ is ExtensionMessage and new == given else new


def call_word(given: AssistantMessage) -> str | UnsetType:
    """Returns the error word of a model's answer: as given, else from its error message, UNSET where it went well."""
    if given.error_type is not UNSET:
        return error_word(given.error_type)
    return call_error(given.stop_reason, given.error_message)


def tool_word(given: ToolResultMessage | ToolExecutionEnd, content: Raw) -> str | UnsetType:
    """Returns the error word of a tool: as given, else from its answer's content, UNSET where it went well."""
    if given.error_type is not UNSET:
        return error_word(given.error_type)
    return tool_error(content) if given.is_error else UNSET


def limit_word(given: UserMessage) -> str | UnsetType:
    """Returns the limit that a user message says stopped the loop: as given, else from its content, UNSET for none."""
    return stop_limit(given.content) if given.stop_limit is UNSET else word(given.stop_limit) or OTHER


def _look_over(given: UserMessage | AssistantMessage | ToolResultMessage) -> None:
    """Raises a TypeError where the fields that all messages have are not of their classes."""
    turn = given.turn_id
    if (
        given.timestamp.__class__ is int
        and given.node_id.__class__ in NUMBERS
        and given.parent_id.__class__ in NUMBERS
        and (
            turn is None
            or (turn.__class__ is TurnId and turn.loop_id.__class__ is str and turn.turn_index.__class__ is int)
        )
    ):
        return
    raise TypeError("a message's time, turn or node of another class than the wire's")


_BY_KIND: dict[type[Message], Callable[[Any], Message]] = {
    AssistantMessage: _assistant,
    ToolResultMessage: _tool_result,
    UserMessage: _user,
    ExtensionMessage: _extension,
}


def _of_a_subclass(given: Any) -> Message:
    """Takes a message of a class made elsewhere as the wire's own that it is, without what it has more."""
    for kind, taken in _BY_KIND.items():
        if isinstance(given, kind):
            return taken(kind(**{name: getattr(given, name) for name in kind.__struct_fields__}))
    raise TypeError(f"a {given.__class__.__name__} where a message is expected")
