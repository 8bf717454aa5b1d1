"""What a model said outside turns, and what every source says of an answer in its own way."""

from __future__ import annotations

from typing import TypeVar

from msgspec import UNSET, UnsetType

from otel_phi.recorder.notices import Answer
from otel_phi.wire.costs import Call, Price, cost_of
from otel_phi.wire.events import SideCall
from otel_phi.wire.messages import AssistantMessage
from otel_phi.wire.parts import ConfigSnapshot
from otel_phi.wire.usage import count_tokens

T = TypeVar("T", str, int)


def side_answer(call: SideCall, config: ConfigSnapshot | None, price: Price | None) -> Answer:
    """Returns what a model said outside turns; `config` is of the loop it belongs to, None for none."""
    provider, api = (config.provider if config else None) or call.provider, config.api if config else None
    tokens = count_tokens(call.usage, api, provider)
    return Answer(
        model=call.model,
        provider=call.provider,
        stop_reason=call.stop_reason,
        usage=call.usage,
        tokens=tokens,
        error_type=call.error_type or None,
        first_token_ms=or_none(call.first_token_ms),
        streamed=in_pieces(call),
        cost=cost_of(price, Call(tokens, api, provider, (call.model, ""), int(call.start))),
    )


def in_pieces(said: AssistantMessage | SideCall) -> bool:
    """Says whether a source tells that an answer came in pieces: of one that came whole there is no first token."""
    return said.streamed is True or (said.streamed is UNSET and said.first_token_ms is not UNSET)


def or_none(given: T | UnsetType) -> T | None:
    """Returns a number or a text, None where nobody gave it."""
    return None if isinstance(given, UnsetType) else given
