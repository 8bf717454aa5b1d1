"""`Capture`: an event as it may be said where contents may. The second set of rules, chosen once when a door is opened.

Rule 1: first all is taken out, as with content off, and the words are derived; then what a span shows is put back.
Rule 2: select, redact, cut, in this order. Only what comes of it is written anywhere, and nothing is redacted twice.
Rule 3: no state: the same event gives the same, whichever door it came to. Admitted twice it is the same as once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Raw

from otel_phi.policy import content
from otel_phi.policy.capture import cutting
from otel_phi.policy.capture.cutting import JSON, encoded
from otel_phi.policy.capture.forms import Forms, decode_json, joined
from otel_phi.policy.options import SPAN_BYTES, ContentOptions
from otel_phi.policy.redaction.ends import Tally
from otel_phi.policy.redaction.redactor import Redactor
from otel_phi.wire import events as e
from otel_phi.wire.decode import Undecodable, decode_event
from otel_phi.wire.foreign import pass_on
from otel_phi.wire.messages import NULL, AssistantMessage, Message, ToolResultMessage, UserMessage
from otel_phi.wire.parts import RequestPayload

if TYPE_CHECKING:
    from otel_phi.wire.spellings import UnknownKey

_replace = msgspec.structs.replace
# What an attribute has around a message's parts: `[{"role":"assistant","parts":` and `,"finish_reason":"` with a word of 64, `"}]`.
_AROUND = 120
_HALF_AROUND = 64
_list = msgspec.json.Decoder(list[Raw])


class _Role(msgspec.Struct):
    role: str = ""


_roles = msgspec.json.Decoder(_Role)


class Capture:
    """A capture admits events with their contents.

    Args:
        options: what of them may be said.
        limit: UTF-8 bytes of an attribute.
        reasoning: whether what a model thought goes along.
    """

    def __init__(self, options: ContentOptions, limit: int, *, reasoning: bool = True) -> None:
        redactor = Redactor(
            options.redact, options.redact_keys, options.redact_patterns, defaults=options.redact_defaults
        )
        self._forms = Forms(redactor, images=options.images, reasoning=reasoning, room=limit)
        self._mode = options.input_mode
        self._limit = limit
        # The contents of one span fit together: a loop has four of a message's size, a tool two of its arguments and a result.
        self._message = min(limit, SPAN_BYTES // 4)
        self._arguments = min(limit, SPAN_BYTES // 8)
        self._result = min(limit, SPAN_BYTES // 2)
        self._put: dict[type, Callable[[Any, Any], Any]] = {
            e.AgentStart: self._start,
            e.MessageEnd: self._message_end,
            e.TurnRequest: self._request,
            e.ToolExecutionStart: self._tool_start,
            e.ToolExecutionEnd: self._tool_end,
        }

    def admit(self, event: e.AgentEvent) -> e.AgentEvent | Undecodable:
        """Returns an event as it may be said, its contents in it; `Undecodable` for what is none."""
        said = content.admit(event)
        put = self._put.get(said.__class__)
        if put is None or said.__class__ is not event.__class__:
            return said
        try:
            return put(event, said)  # type: ignore[no-any-return]  # each gives back what it takes
        except (TypeError, ValueError, AttributeError, RecursionError, msgspec.MsgspecError) as error:
            pass_on(error)
            return said  # made by hand, of other classes than the wire's: without contents

    def decode(self, line: bytes | str, unknown: list[UnknownKey] | None = None) -> e.AgentEvent | Undecodable:
        """Decodes one AgentEvent as it may be said; `unknown` gets the keys that nobody knows."""
        event = decode_event(line, unknown)
        return event if isinstance(event, Undecodable) else self.admit(event)

    # --- events ----------------------------------------------------------------------------------------------------------

    def _start(self, _: e.AgentStart, said: e.AgentStart) -> e.AgentStart:
        return _replace(said, captured=True)

    def _message_end(self, event: e.MessageEnd, said: e.MessageEnd) -> e.MessageEnd:
        given, kept = event.message, said.message
        if given is None or kept is None or getattr(given, "content", NULL) is NULL:
            return said
        made = self._content(given)
        return said if made is NULL else _replace(said, message=_replace(kept, content=made))

    def _content(self, given: Message) -> Raw:
        tally = Tally()
        match given:
            case UserMessage():
                return self._fitting(self._forms.parts(decode_json(given.content), "input", tally), _HALF_AROUND)
            case AssistantMessage():
                return self._fitting(self._forms.parts(decode_json(given.content), "output", tally), _AROUND)
            case ToolResultMessage():
                answer = self._forms.response(decode_json(given.content), "tool.result", tally)
                room = self._message - _AROUND - len(encoded(given.tool_call_id[:128]))
                return Raw(encoded(self._response(answer, room)))
            case _:
                return NULL

    def _fitting(self, parts: list[JSON], around: int) -> Raw:
        return Raw(encoded(cutting.cut_parts(parts, self._message - around)))

    def _response(self, answer: Any, room: int) -> Any:
        if isinstance(answer, list):
            return joined(cutting.cut_parts(answer, room))
        return cutting.cut_value(answer, room)

    def _tool_start(self, event: e.ToolExecutionStart, said: e.ToolExecutionStart) -> e.ToolExecutionStart:
        if event.args is NULL or event.args == NULL:
            return said
        args = self._forms.value(event.args, "tool.arguments", Tally())
        return _replace(said, args=Raw(encoded(cutting.cut_value(args, self._arguments))))

    def _tool_end(self, event: e.ToolExecutionEnd, said: e.ToolExecutionEnd) -> e.ToolExecutionEnd:
        result = event.result
        if result is None or result.content is NULL:
            return said
        answer = self._response(self._forms.response(decode_json(result.content), "tool.result", Tally()), self._result)
        return _replace(said, result=_replace(result, content=Raw(encoded(answer)), details=NULL))

    def _request(self, event: e.TurnRequest, said: e.TurnRequest) -> e.TurnRequest:
        given, kept = event.payload, said.payload
        if given is None or kept is None:
            return said
        tally = Tally()
        system = self._forms.parts(decode_json(given.system_prompt), "system", tally)
        system = cutting.cut_parts(system, min(self._limit, SPAN_BYTES // 8))
        tools = self._tools(given.tools, tally)
        made: dict[str, Any] = {
            "system_prompt": Raw(encoded(system)) if system else NULL,
            "tools": Raw(encoded(tools)) if tools else NULL,
        }
        if given.messages is not NULL:
            share = SPAN_BYTES - self._message - len(made["system_prompt"]) - len(made["tools"])
            made.update(self._messages(given, min(self._limit, share), tally))
        return _replace(said, payload=_replace(kept, **made))

    def _messages(self, given: RequestPayload, room: int, tally: Tally) -> dict[str, Any]:
        """Selects, redacts and cuts a request's messages; those that are left out are not decoded."""
        raws = _items(given.messages)
        mode, count, first = self._mode, len(raws), 0
        if given.input_mode in ("delta", "full"):  # admitted before
            mode, count, first = _before(given, mode, count)
        elif mode == "delta":
            first = _after_the_last_answer(raws)
            raws = raws[first:]
        formed = [one for raw in raws if (one := self._forms.message(decode_json(raw), tally)) is not None]
        return {
            "messages": Raw(encoded(cutting.cut_messages(formed, room))),
            "input_mode": mode,
            "message_count": count,
            "first_message": first,
        }

    def _tools(self, raw: Raw, tally: Tally) -> list[JSON]:
        found = decode_json(raw)
        given = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        made = [_definition(self._forms, one, tally) for one in given]
        return cutting.cut_definitions(made, min(self._limit, SPAN_BYTES // 8))


def _items(raw: Raw) -> list[Raw]:
    """Returns the items of a JSON list, undecoded; none where it is no list."""
    try:
        return _list.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, TypeError) as error:
        pass_on(error)
        return []


def _after_the_last_answer(raws: list[Raw]) -> int:
    """Returns the number of the first message that no answer follows: all that is new in a request."""
    return next((number + 1 for number in range(len(raws) - 1, -1, -1) if _role(raws[number]) == "assistant"), 0)


def _role(raw: Raw) -> str:
    try:
        return _roles.decode(raw).role
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        pass_on(error)
        return ""


def _before(given: RequestPayload, mode: Any, count: int) -> tuple[Any, int, int]:
    counts = (given.message_count, given.first_message)
    if any(one is UNSET or one.__class__ is not int for one in counts):
        return mode, count, 0
    return given.input_mode, *counts  # type: ignore[return-value]  # both were looked at


def _definition(forms: Forms, given: JSON, tally: Tally) -> JSON:
    text = given.get("name")
    made: JSON = {
        "type": "function",
        "name": forms.text(text if isinstance(text, str) else "", "tool.definitions", tally)[:128],
    }
    if isinstance(given.get("description"), str):
        made["description"] = forms.text(given["description"], "tool.definitions", tally)
    if isinstance(given.get("parameters"), dict):
        made["parameters"] = given["parameters"]
    return made
