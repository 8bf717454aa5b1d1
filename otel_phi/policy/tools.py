"""The names of the tools that a request offers: derived at the door, where somebody counts tools, since the request goes no further.

Rule 1: names are words, each once, and no more than an agent can have.
Rule 2: what was read before is known: a request says the same tools from turn to turn, in tens of kilobytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, Raw

from otel_phi.policy.door import Policy
from otel_phi.policy.words import OTHER, name
from otel_phi.wire.decode import Undecodable, decode_event
from otel_phi.wire.events import AgentEvent, TurnRequest
from otel_phi.wire.foreign import pass_on
from otel_phi.wire.messages import NULL

if TYPE_CHECKING:
    from otel_phi.wire.spellings import UnknownKey

# An agent with a handful of MCP servers has some hundred; past it the rest is not known.
MAX_NAMES = 512
# Lists that are remembered; an agent has one a configuration.
MAX_LISTS = 32


class _Named(msgspec.Struct):
    name: str = ""


_decoder = msgspec.json.Decoder(list[_Named])
_known: dict[bytes, tuple[str, ...]] = {}


class WithToolNames:
    """The policy of a door that counts tools: another, asked after the names were noted.

    Attributes:
        policy: what may be said.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def admit(self, event: AgentEvent, /) -> AgentEvent | Undecodable:
        """Returns an event as it may be said; a request names the tools it offers."""
        return self.policy.admit(with_tool_names(event))

    def decode(self, line: bytes | str, unknown: list[UnknownKey] | None = None, /) -> AgentEvent | Undecodable:
        """Decodes one AgentEvent as it may be said; `unknown` gets the keys that nobody knows."""
        event = decode_event(line, unknown)
        return event if isinstance(event, Undecodable) else self.admit(event)


def with_tool_names(event: AgentEvent) -> AgentEvent:
    """Returns a TurnRequest that names its tools, any other event as it is; to be asked before policy takes the tools out."""
    if not isinstance(event, TurnRequest):
        return event
    payload = event.payload
    if payload is None or payload.tools is NULL or payload.tool_names is not UNSET:
        return event
    names = names_of(payload.tools)
    return msgspec.structs.replace(event, payload=msgspec.structs.replace(payload, tool_names=names))


def names_of(tools: Raw) -> tuple[str, ...]:
    """Returns the names of a request's tools, as they may be said; none where they are no list of tools."""
    text = bytes(tools)
    found = _known.get(text)
    if found is None:
        if len(_known) >= MAX_LISTS:
            _known.clear()
        found = _known[text] = _read(text)
    return found


def _read(text: bytes) -> tuple[str, ...]:
    try:
        tools = _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        pass_on(error)
        return ()
    names = dict.fromkeys(name(tool.name) for tool in tools[:MAX_NAMES])
    return tuple([one for one in names if one not in ("", OTHER)])
