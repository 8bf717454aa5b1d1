"""The same for what was decoded just now: its content is taken out in place, nothing is built twice.

Rule 1: only what came from a decoder and nobody has seen yet is changed; its values are of their declared classes.
Rule 2: `decode_without_content(line)` gives what `without_content(decode_event(line))` gives.
Rule 3: of a lean event, which has no field for content, the words are judged and that is all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from otel_phi.policy.messages import call_word, limit_word, tool_word
from otel_phi.policy.parts import form, usage
from otel_phi.policy.parts import tool_names as names_as_words
from otel_phi.policy.words import (
    LEVELS,
    OTHER,
    TOOL_OUTCOMES,
    TRIGGERS,
    error_word,
    given_of,
    known_names,
    known_words,
    name,
    word,
)
from otel_phi.wire import lean
from otel_phi.wire.events import MessageEnd, ToolExecutionEnd, ToolExecutionStart, TurnEnd, TurnRequest, TurnStart
from otel_phi.wire.messages import (
    NULL,
    AssistantMessage,
    ExtensionMessage,
    ToolResultMessage,
    UserMessage,
    decode_tool_results,
)
from otel_phi.wire.parts import RequestPayload

_put = msgspec.structs.force_setattr
_encoder = msgspec.json.Encoder()


def tool_results(given: Raw) -> Raw:
    """Returns `TurnEnd.tool_results` without contents; `NULL` where they are not a list of tool results, as it is read."""
    if given is NULL:
        return NULL
    found = decode_tool_results(given)
    if not found:
        return NULL
    for one in found:
        _tool_result(one)
    new = Raw(_encoder.encode(found))
    return given if new == given else new


def _assistant_words(said: AssistantMessage) -> None:
    if said.error_message is not None or said.stop_reason == "error" or said.error_type is not UNSET:
        _put(said, "error_type", call_word(said))
        _put(said, "error_message", None)
    if said.stop_reason not in known_words:
        _put(said, "stop_reason", word(said.stop_reason))
    if said.model not in known_names:
        _put(said, "model", name(said.model))
    if said.provider not in known_words:
        _put(said, "provider", word(said.provider))
    if said.usage.cached is not UNSET:
        _put(said, "usage", usage(said.usage))


def _assistant(said: AssistantMessage) -> None:
    _assistant_words(said)
    if said.content is not NULL:
        _put(said, "content", NULL)
    if said.tags is not NULL or said.provenance_hint is not NULL:
        _drop_marks(said)


def _result_words(said: ToolResultMessage) -> None:
    if said.error_type is not UNSET:
        _put(said, "error_type", error_word(said.error_type))
    if said.tool_name not in known_names:
        _put(said, "tool_name", name(said.tool_name))


def _tool_result(said: ToolResultMessage) -> None:
    if said.is_error or said.error_type is not UNSET:
        _put(said, "error_type", tool_word(said, said.content))
    if said.tool_name not in known_names:
        _put(said, "tool_name", name(said.tool_name))
    if said.content is not NULL:
        _put(said, "content", NULL)
    if said.tags is not NULL or said.provenance_hint is not NULL:
        _drop_marks(said)


def _user(said: UserMessage) -> None:
    _put(said, "stop_limit", limit_word(said))
    _put(said, "content", NULL)
    _drop_marks(said)


def _extension(said: ExtensionMessage) -> None:
    _put(said, "kind", word(said.kind))
    _put(said, "data", NULL)


def _drop_marks(said: UserMessage | AssistantMessage | ToolResultMessage) -> None:
    _put(said, "tags", NULL)
    _put(said, "provenance_hint", NULL)


_MESSAGES: dict[type, Callable[[Any], None]] = {
    AssistantMessage: _assistant,
    ToolResultMessage: _tool_result,
    UserMessage: _user,
    ExtensionMessage: _extension,
    lean.Assistant: _assistant_words,
    lean.Result: _result_words,
}


def _message_end(event: MessageEnd) -> None:
    said = event.message
    if said is not None:
        _MESSAGES[said.__class__](said)


def _turn_start(event: TurnStart) -> None:
    if event.triggered_by not in TRIGGERS:
        _put(event, "triggered_by", OTHER)


def _turn_request(event: TurnRequest) -> None:
    payload = event.payload
    if payload is None:
        return
    _request_words(payload)
    if payload.messages is not NULL or payload.system_prompt is not NULL:
        _put(payload, "messages", NULL)
        _put(payload, "system_prompt", NULL)
    if payload.tools is not NULL or payload.provenance is not NULL:
        _put(payload, "tools", NULL)
        _put(payload, "provenance", NULL)


def _request_words(payload: RequestPayload) -> None:
    if payload.input_mode is not UNSET or payload.message_count is not UNSET or payload.first_message is not UNSET:
        _put(payload, "input_mode", UNSET)
        _put(payload, "message_count", UNSET)
        _put(payload, "first_message", UNSET)
    if payload.model_id not in known_names:
        _put(payload, "model_id", name(payload.model_id))
    if payload.thinking_level not in LEVELS:
        _put(payload, "thinking_level", OTHER)
    if payload.tool_names is not UNSET:
        _put(payload, "tool_names", names_as_words(payload.tool_names))
    if payload.response_format is not None and payload.response_format.kind not in known_words:
        _put(payload, "response_format", form(payload.response_format))


def _turn_end(event: TurnEnd) -> None:
    said = event.message
    if said is not None:
        _MESSAGES[said.__class__](said)
    if event.usage.cached is not UNSET:
        _put(event, "usage", usage(event.usage))
    if event.tool_results is not NULL:
        _put(event, "tool_results", tool_results(event.tool_results))


def _tool_start(event: ToolExecutionStart) -> None:
    if event.args is not NULL:
        _put(event, "args", NULL)
    if event.tool_name not in known_names:
        _put(event, "tool_name", name(event.tool_name))


def _tool_end(event: ToolExecutionEnd) -> None:
    result = event.result
    if event.is_error or event.error_type is not UNSET:
        _put(event, "error_type", tool_word(event, NULL if result is None else result.content))
    if event.outcome is not UNSET:
        _put(event, "outcome", given_of(TOOL_OUTCOMES, event.outcome))
    if event.tool_name not in known_names:
        _put(event, "tool_name", name(event.tool_name))
    if result is None:
        return
    if result.child_loop_id is None:
        _put(event, "result", None)
    else:
        _put(result, "content", NULL)
        _put(result, "details", NULL)


# The events of every turn. The others are few: they go the one way of all.
IN_PLACE: dict[type, Callable[[Any], None]] = {
    TurnStart: _turn_start,
    MessageEnd: _message_end,
    TurnRequest: _turn_request,
    TurnEnd: _turn_end,
    ToolExecutionStart: _tool_start,
    ToolExecutionEnd: _tool_end,
}


def _lean_turn_request(event: TurnRequest) -> None:
    if event.payload is not None:
        _request_words(event.payload)


def _lean_turn_end(event: Any) -> None:
    _message_end(event)
    if event.usage.cached is not UNSET:
        _put(event, "usage", usage(event.usage))
    for one in event.tool_results or ():
        _result_words(one)


def _lean_tool_start(event: ToolExecutionStart) -> None:
    if event.tool_name not in known_names:
        _put(event, "tool_name", name(event.tool_name))


def _lean_tool_end(event: ToolExecutionEnd) -> None:
    if event.error_type is not UNSET:
        _put(event, "error_type", error_word(event.error_type))
    if event.outcome is not UNSET:
        _put(event, "outcome", given_of(TOOL_OUTCOMES, event.outcome))
    if event.tool_name not in known_names:
        _put(event, "tool_name", name(event.tool_name))


# Nothing but their words is looked at: what could be content was never decoded.
LEAN_IN_PLACE: dict[type, Callable[[Any], None]] = {
    lean.TurnStart: _turn_start,
    lean.MessageEnd: _message_end,
    lean.TurnRequest: _lean_turn_request,
    lean.TurnEnd: _lean_turn_end,
    lean.ToolExecutionStart: _lean_tool_start,
    lean.ToolExecutionEnd: _lean_tool_end,
}
