"""Events as a file is read where nobody asks for content: those of every turn, decoded without what a person or a model wrote.

Rule 1: a lean type is made of the type it stands for, of which it passes fields over and does nothing else: it follows by itself. A key
        that neither has is refused, and the line looked at again: it may be spelled otherwise. What was passed over is dropped at once.
Rule 2: what words are derived from is there: an assistant's `error_message`, the content of user messages. A tool that failed says in its
        content how: such a line is decoded whole, as is any that is not as phi-core writes it.
Rule 3: garbage collection is told to pass over lean values (`gc=False`): they hold no circle, and a stream makes millions.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from types import GenericAlias
from typing import Any

import msgspec
from msgspec import NODEFAULT, UNSET, Raw

from otel_phi.wire import events as e
from otel_phi.wire.decode import Undecodable, decode_event, decode_log_line, from_wire
from otel_phi.wire.foreign import pass_on
from otel_phi.wire.messages import NULL, AssistantMessage, ExtensionMessage, ToolResultMessage, UserMessage
from otel_phi.wire.parts import RequestPayload, ToolResult


def _lean(kind: type[msgspec.Struct], *without: str, **instead: Any) -> Any:
    """Returns a kind without some fields, and with other types for some. What it is without is passed over, undecoded."""
    fields: list[Any] = []
    for one in msgspec.structs.fields(kind):
        if one.name in without:
            fields.append((f"passed_over_{one.name}", Raw, msgspec.field(name=one.encode_name, default=NULL)))
        else:
            default = {} if one.default is NODEFAULT else {"default": None if one.default is NULL else one.default}
            fields.append((one.name, instead.get(one.name, one.type), msgspec.field(name=one.encode_name, **default)))
    config = kind.__struct_config__
    return msgspec.defstruct(
        kind.__name__, fields, tag_field=config.tag_field, tag=config.tag, kw_only=True, gc=False,
        forbid_unknown_fields=config.forbid_unknown_fields, module=__name__,
        namespace={"timestamp_ns": kind.timestamp_ns} if hasattr(kind, "timestamp_ns") else None,
    )  # fmt: skip


def _any_of(*kinds: Any) -> Any:
    return functools.reduce(operator.or_, kinds)


_SAID = ("content", "tags", "provenance_hint")
Assistant = _lean(AssistantMessage, *_SAID)
Result = _lean(ToolResultMessage, *_SAID)
_Message = _any_of(Assistant, Result, UserMessage, ExtensionMessage, None)

TurnStart = _lean(e.TurnStart)
TurnRequest = _lean(
    e.TurnRequest, payload=_lean(RequestPayload, "system_prompt", "messages", "provenance", "tools") | None
)
TurnEnd = _lean(e.TurnEnd, message=_Message, tool_results=_any_of(GenericAlias(list, (Result,)), None))
MessageEnd = _lean(e.MessageEnd, message=_Message)
ToolExecutionStart = _lean(e.ToolExecutionStart, "args")
ToolExecutionEnd = _lean(e.ToolExecutionEnd, result=_lean(ToolResult, "content", "details") | None)

# Who spoke, whichever type says it.
ASSISTANTS: frozenset[type] = frozenset({AssistantMessage, Assistant})
RESULTS: frozenset[type] = frozenset({ToolResultMessage, Result})

LEAN: tuple[Any, ...] = (TurnStart, TurnRequest, TurnEnd, MessageEnd, ToolExecutionStart, ToolExecutionEnd)
LEAN_KINDS: frozenset[type] = frozenset(LEAN)
_NAMES = {kind.__name__ for kind in LEAN}
# What no span shows, in name alone.
_NOWHERE: tuple[Any, ...] = tuple(
    msgspec.defstruct(kind.__name__, [], tag_field="type", tag=True)
    for kind in (e.MessageStart, e.MessageUpdate, e.ToolExecutionUpdate, e.ProgressMessage)
)
_LEFT_OUT = frozenset(_NOWHERE)
_Event = _any_of(*LEAN, *(kind for kind in e.KnownEvent.__args__ if kind.__name__ not in _NAMES))
_LogLine: Any = msgspec.defstruct("_LogLine", [("ordinal", int), ("event", _Event)], gc=False)

_decode = msgspec.json.Decoder(_Event, dec_hook=from_wire).decode
_decode_lines = msgspec.json.Decoder(
    GenericAlias(
        list,
        (
            _any_of(
                *LEAN,
                *_NOWHERE,
                *(
                    kind
                    for kind in e.KnownEvent.__args__
                    if kind.__name__ not in _NAMES | {kind.__name__ for kind in _NOWHERE}
                ),
            ),
        ),
    ),
    dec_hook=from_wire,
).decode
_decode_log_line = msgspec.json.Decoder(_LogLine, dec_hook=from_wire).decode


def decode_lean(line: bytes) -> e.AgentEvent | Undecodable:
    """Decodes one AgentEvent without its content: `decode_event`, with a lean type where there is one for it and nothing needs more."""
    try:
        event = _decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        pass_on(error)
        return decode_event(line)
    check = _CHECKS.get(event.__class__)
    return event if check is None or check(event, line) else decode_event(line)


def decode_lean_log_line(line: bytes) -> tuple[int | None, e.AgentEvent | Undecodable]:
    """Decodes one line of phi-core's event log: `decode_log_line`, as `decode_lean` does it."""
    try:
        found = _decode_log_line(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        pass_on(error)
        return decode_log_line(line)
    check = _CHECKS.get(found.event.__class__)
    return (found.ordinal, found.event) if check is None or check(found.event, line) else decode_log_line(line)


def decode_lean_lines(lines: bytes) -> tuple[list[e.AgentEvent], int] | None:
    """Decodes lines at one go, each an AgentEvent as phi-core writes it, and leaves out those that no span shows.

    Args:
        lines: with newlines between them.

    Returns:
        The events and the number of lines; None where a line is not such an event: then each has to be looked at.
    """
    try:
        events = _decode_lines(b"[" + lines.replace(b"\n", b",") + b"]")
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        pass_on(error)
        return None
    if len(events) != lines.count(b"\n") + 1:
        return None
    unsure = [
        at for at, event in enumerate(events) if (check := _check_of(event.__class__)) and not check(event, lines)
    ]
    if unsure:
        cut = lines.split(b"\n")
        for at in unsure:
            events[at] = decode_event(cut[at])
    return [event for event in events if event.__class__ not in _LEFT_OUT], len(events)


# --- what is dropped, and whether the rest is enough -----------------------------------------------------------------------


def _is_enough(event: Any, _: bytes = b"") -> bool:
    """Says whether what was decoded of a message is enough."""
    said = event.message
    kind = said.__class__
    if kind is Assistant:
        said.passed_over_content = said.passed_over_tags = said.passed_over_provenance_hint = NULL
        return True
    return kind is not Result or _is_enough_of_result(said)


def _is_enough_of_result(said: Any) -> bool:
    said.passed_over_content = said.passed_over_tags = said.passed_over_provenance_hint = NULL
    return not said.is_error or said.error_type is not UNSET


def _is_enough_of_turn(event: Any, _: bytes) -> bool:
    return _is_enough(event) and (not event.tool_results or all(map(_is_enough_of_result, event.tool_results)))


def _is_enough_of_request(event: Any, _: bytes) -> bool:
    asked = event.payload
    if asked is not None:
        asked.passed_over_system_prompt = asked.passed_over_messages = NULL
        asked.passed_over_provenance = asked.passed_over_tools = NULL
    return True


def _is_enough_of_start(event: Any, _: bytes) -> bool:
    event.passed_over_args = NULL
    return True


def _went_well(event: Any, _: bytes) -> bool:
    """Says whether nothing is to be looked up in a content: it went well, or somebody said in one word how it failed."""
    if event.result is not None:
        event.result.passed_over_content = event.result.passed_over_details = NULL
    return not event.is_error or event.error_type is not UNSET


_CHECKS: dict[type, Callable[[Any, bytes], bool]] = {
    TurnRequest: _is_enough_of_request,
    MessageEnd: _is_enough,
    TurnEnd: _is_enough_of_turn,
    ToolExecutionStart: _is_enough_of_start,
    ToolExecutionEnd: _went_well,
}
_check_of = _CHECKS.get
