"""What the hook is given, made the bytes of a fact: left out, decoded, stripped of what may not be said, encoded.

Rule 1: what no span shows is left out undecoded: it is most of a streamed turn.
Rule 2: an event made by hand can hold anything. What does not fit its type goes through JSON like a mapping, and is found
        out there, not later among other events.
Rule 3: nothing that a person or a model wrote gets further than this, unless content is captured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec

from otel_phi.delivery.journal.facts import encode_event, plain_encoder
from otel_phi.hook.caller import caller_of
from otel_phi.policy.content import BY_KIND
from otel_phi.policy.door import Policy, WithoutContent
from otel_phi.policy.lean import LeanEvent, LeanTurnEnd, LeanTurnRequest, convert_lean, decode_lean
from otel_phi.policy.tools import WithToolNames
from otel_phi.wire.decode import Undecodable
from otel_phi.wire.events import (
    AgentEnd,
    AgentEvent,
    AgentStart,
    GenericEvent,
    KnownEvent,
    MessageStart,
    MessageUpdate,
    ParallelLoopEnd,
    ProgressMessage,
    ToolExecutionUpdate,
    TurnEnd,
    TurnRequest,
)
from otel_phi.wire.foreign import pass_on

if TYPE_CHECKING:
    from otel_phi.wire.spellings import UnknownKey

NOWHERE = frozenset({MessageUpdate, MessageStart, ToolExecutionUpdate, ProgressMessage})
# What opens or closes something that is to be seen at once; all else waits for the next of these, or a second.
WAKING: frozenset[type] = frozenset({AgentStart, AgentEnd, TurnEnd, LeanTurnEnd, ParallelLoopEnd})
_NAMES = frozenset(kind.__name__ for kind in NOWHERE)
DELTA = b'{"type":"MessageUpdate"'  # nearly all of those, as phi-core writes it
PAST_DELTA = b'{"type":"MessageUpdate#'  # what begins with it lies between: two comparisons, and nothing is copied
DELTA_TEXT, PAST_DELTA_TEXT = DELTA.decode(), PAST_DELTA.decode()
_PREFIXES = tuple(f'{{"type":{space}"{name}"' for name in sorted(_NAMES) for space in ("", " "))
_PREFIX_BYTES = tuple(prefix.encode() for prefix in _PREFIXES)
EVENTS = frozenset((*KnownEvent.__args__, GenericEvent))


INSIDE = EVENTS - {AgentStart, AgentEnd}  # neither begins nor ends a loop
# Events whose fact is the event itself and nothing more.
PLAIN = EVENTS - NOWHERE - {AgentStart, GenericEvent}
# What is said of what is given, by its class, where no second look is needed; None says that one is.
RULES: Mapping[type, Callable[[Any], Any]] = {
    **{kind: rule for kind, rule in BY_KIND.items() if kind in PLAIN},
    bytes: decode_lean,
    str: decode_lean,
    dict: convert_lean,
}
# The same where a request names its tools: those are in what the quick way passes over.
_RULES_WITH_TOOL_NAMES: Mapping[type, Callable[[Any], Any]] = {
    **{kind: rule for kind, rule in RULES.items() if kind is not TurnRequest},
    bytes: lambda given: _no_request(decode_lean(given)),
    str: lambda given: _no_request(decode_lean(given)),
    dict: lambda given: _no_request(convert_lean(given)),
}
encode = plain_encoder.encode
_WITHOUT_CONTENT = WithoutContent()


def _no_request(event: LeanEvent | None) -> LeanEvent | None:
    return None if event.__class__ is LeanTurnRequest else event


def rules_for(policy: Policy) -> Mapping[type, Callable[[Any], Any]]:
    """Returns the quick ways under a policy: chosen once, so that no event pays for the choice; contents have none."""
    if isinstance(policy, WithoutContent):
        return RULES
    if isinstance(policy, WithToolNames) and isinstance(policy.policy, WithoutContent):
        return _RULES_WITH_TOOL_NAMES
    return {}


def shown_nowhere(given: Any) -> bool:
    """Says, in a fraction of a microsecond, whether a span shows an event of that kind: most of a streamed turn is not."""
    kind = given.__class__
    if kind is bytes:
        return bool(DELTA <= given < PAST_DELTA or given.startswith(_PREFIX_BYTES))
    if kind is dict:
        name = given.get("type")
        return name.__class__ is str and name in _NAMES
    if kind is str:
        return bool(DELTA_TEXT <= given < PAST_DELTA_TEXT or given.startswith(_PREFIXES))
    return kind in NOWHERE


def may_bracket(given: Any) -> bool:
    """Says, as quickly, whether an event may begin or end a loop."""
    kind = given.__class__
    if kind is bytes:
        return b'"Agent' in given
    if kind is str:
        return '"Agent' in given
    return kind not in INSIDE


def event_of(
    given: object, unknown: list[UnknownKey] | None = None, policy: Policy = _WITHOUT_CONTENT
) -> AgentEvent | Undecodable:
    """Returns the event as it may be said, `Undecodable` where there is none; `unknown` gets the keys that nobody knows."""
    kind = given.__class__
    if kind in EVENTS:
        return policy.admit(cast("AgentEvent", given))
    if kind is Undecodable:
        return cast("Undecodable", given)
    if kind is bytes or kind is str:
        return policy.decode(cast("bytes | str", given), unknown)
    if isinstance(given, bytearray | memoryview):
        return policy.decode(bytes(given), unknown)
    if isinstance(given, Mapping):
        return _by_way_of_json(given, unknown, policy)
    return Undecodable(f"a {kind.__name__} is no event")


def _by_way_of_json(
    given: Mapping[Any, Any], unknown: list[UnknownKey] | None, policy: Policy
) -> AgentEvent | Undecodable:
    try:
        text = msgspec.json.encode(given if given.__class__ is dict else _plain(given))
    except (TypeError, ValueError, OverflowError, RecursionError, AttributeError, KeyError) as error:
        pass_on(error)
        return Undecodable(f"cannot be written as JSON: {type(error).__name__}")
    return policy.decode(text, unknown)


def _plain(given: Mapping[Any, Any]) -> dict[Any, Any]:
    """Returns a mapping of somebody's own class as a dict.

    Raises:
        TypeError: the mapping itself raised something while it was read; anything else that is raised here is an interrupt.
    """
    try:
        return dict(given)
    except Exception as error:
        trace = error.__traceback__
        while (trace := trace.tb_next if trace is not None else None) is not None:
            code, names = trace.tb_frame.f_code, trace.tb_frame.f_locals
            if code.co_argcount and names.get(code.co_varnames[0]) is given:  # a method of the mapping's
                raise TypeError("it cannot be read") from None
        raise


def fact_of(event: AgentEvent, traceparent: str | None) -> bytes:
    """Returns what the journal keeps of an event."""
    return encode_event(event, caller_of(event, traceparent) if event.__class__ is AgentStart else None)
