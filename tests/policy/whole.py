"""Events with their words filled in and nothing taken out: what spans would say if policy let everything through.

And the way of lean events through JSON, times as integers, as a journal writes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import UNSET

from otel_phi.events import (
    AgentEnd,
    AgentEvent,
    AgentStart,
    AssistantMessage,
    GenericEvent,
    Instant,
    KnownEvent,
    MessageEnd,
    MessageStart,
    SideCall,
    ToolExecutionEnd,
    ToolResultMessage,
    TurnEnd,
    UserMessage,
)
from otel_phi.mapping.mapper import spans_of
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.policy.errors import stop_limit
from otel_phi.policy.messages import call_word, tool_word
from otel_phi.policy.parts import source
from otel_phi.policy.words import error_word
from otel_phi.recorder.core import RecorderCore
from otel_phi.wire.messages import NULL

OPTIONS = [
    MappingOptions(),
    MappingOptions(trace_scope="loop", loop_layout="flat", agent_name="fixer"),
    MappingOptions(tool_spans=False, trace_namespace="n", max_attribute_bytes=2_048),
    MappingOptions(
        trace_scope="loop",
        join=True,
        caller="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        mlflow_trace_name=True,
    ),
]
_replace = msgspec.structs.replace


def with_words(event: AgentEvent) -> AgentEvent:
    """Returns an event with the words that phi-core's texts mean, its content still there."""
    match event:
        case MessageEnd() | MessageStart() | TurnEnd():
            return _replace(event, message=_spoken(event.message))
        case ToolExecutionEnd():
            return _replace(event, error_type=tool_word(event, event.result.content if event.result else NULL))
        case AgentStart() if event.source is not UNSET:
            return _replace(event, source=source(event.source))
        case AgentEnd() | SideCall() if event.error_type is not UNSET:
            return _replace(event, error_type=error_word(event.error_type))
        case _:
            return event


def _spoken(message: Any) -> Any:
    match message:
        case AssistantMessage():
            return _replace(message, error_type=call_word(message))
        case ToolResultMessage():
            return _replace(message, error_type=tool_word(message, message.content))
        case UserMessage():
            return _replace(message, stop_limit=stop_limit(message.content))
        case _:
            return message


def spans_without_policy(events: Iterable[AgentEvent], options: MappingOptions) -> Iterator[Span]:
    """Yields the spans of events as they are, by recorder and mapping alone."""
    core = RecorderCore()
    for event in events:
        for notice in core.on_event(event):
            yield from spans_of(notice, options)
    for notice in core.flush():
        yield from spans_of(notice, options)


_encoder = msgspec.json.Encoder(enc_hook=int)  # an Instant is an integer
_decoder: msgspec.json.Decoder[KnownEvent] = msgspec.json.Decoder(
    KnownEvent, dec_hook=lambda kind, value: Instant(value) if kind is Instant else value
)
_generic = msgspec.json.Decoder(GenericEvent, dec_hook=lambda kind, value: Instant(value) if kind is Instant else value)


def through_json(event: AgentEvent) -> AgentEvent:
    """Returns what becomes of an event that is written with integer times and read again."""
    line = _encoder.encode(event)
    return _generic.decode(line) if isinstance(event, GenericEvent) else _decoder.decode(line)
