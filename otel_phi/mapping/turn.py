"""A closed turn to spans: the turn, its chat, its tools. They leave together, since only then can they be clamped."""

from __future__ import annotations

from otel_phi.mapping import happenings, ids
from otel_phi.mapping import semconv as s
from otel_phi.mapping.attributes import Pair, name, raw_usage, table
from otel_phi.mapping.build import Frame, clamp_times, inside, span
from otel_phi.mapping.ids import SpanRef
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.places import loop_place, spawn_links
from otel_phi.mapping.providers import finish_reason, provider_name, server
from otel_phi.mapping.span import Span, SpanEvent, SpanKind, SpanLink
from otel_phi.mapping.status import chat_error, tool_error, turn_error
from otel_phi.recorder.notices import Answer, Chat, Tool, TurnClosed
from otel_phi.wire.messages import Usage
from otel_phi.wire.parts import ConfigSnapshot

_TRIGGERS = {"User": "user", "SubAgent": "sub_agent", "Continuation": "continuation", "Branch": "branch"}
_TRIGGERS["FollowUp"] = "continuation"  # its name in files before April 2026


def turn_spans(turn: TurnClosed, options: MappingOptions) -> list[Span]:
    """Returns the spans of a turn, the turn itself first."""
    loop = loop_place(turn.loop.identity, options)
    place = SpanRef(loop.trace_id, ids.turn_span(loop.trace_id, loop.span_id, turn.index, turn.repeat))
    times = clamp_times(turn.started_ns, turn.ended_ns)
    executed = [(tool, *inside(tool.started_ns, tool.ended_ns, *times)) for tool in turn.tools]
    spans = [_turn_span(turn, place, loop.span_id, times, executed, options)]
    if turn.chat is not None:
        spans.append(_chat_span(turn, turn.chat, place, times, options))
    if options.tool_spans:
        spans += [
            _tool_span(turn, tool, place, (start, end), options)
            for tool, start, end in executed
            if tool.outcome != "not_executed"
        ]
    return spans


def _common(turn: TurnClosed, *, inferred: bool) -> list[Pair]:
    return [
        (s.LOOP_ID, turn.loop.identity.loop_id),
        (s.TURN_INDEX, turn.index),
        (s.TIME_INFERRED, True if inferred else None),
    ]


def _turn_span(
    turn: TurnClosed,
    place: SpanRef,
    parent: int,
    times: tuple[int, int],
    executed: list[tuple[Tool, int, int]],
    options: MappingOptions,
) -> Span:
    answer = turn.chat.answer if turn.chat else None
    trigger = turn.triggered_by
    events = happenings.events(turn.happened, options)
    events += [_tool_event(tool, start, end, options) for tool, start, end in executed]
    links: tuple[SpanLink, ...] = ()
    if not options.tool_spans:
        links = tuple(link for tool in turn.tools for link in _spawned(tool, options))
    return span(
        Frame("turn", "agent_step", turn.loop.identity.session_id, place, parent, times),
        [
            *_common(turn, inferred=turn.inferred),
            (s.TURN_TRIGGER, _TRIGGERS.get(trigger, trigger) if trigger else None),
            (s.TURN_TOOLS, sum(1 for tool in turn.tools if tool.outcome != "not_executed")),
            (s.TURN_MESSAGES, turn.message_count),
            (s.STOP_REASON, answer.stop_reason if answer else None),
        ],
        options,
        error=turn_error(turn),
        events=sorted(events, key=lambda event: event.time_ns),
        links=links,
        dropped=turn.dropped,
    )


def _chat_span(turn: TurnClosed, chat: Chat, place: SpanRef, times: tuple[int, int], options: MappingOptions) -> Span:
    config = turn.loop.config or ConfigSnapshot()
    request, answer = chat.request, chat.answer
    asked = (request.model if request else "") or config.model or (answer.model if answer else "") or None
    host, port = server(config.base_url)
    thinking = request.thinking_level if request else None
    pairs: list[Pair] = [
        *_common(turn, inferred=chat.inferred),
        (s.PROVIDER, provider_name(config.api, config.provider or (answer.provider if answer else None))),
        (s.REQUEST_MODEL, asked),
        (s.REQUEST_MAX_TOKENS, request.max_tokens if request else None),
        (s.REQUEST_TEMPERATURE, request.temperature if request else None),
        (s.REQUEST_STREAM, True),
        (s.REQUEST_THINKING, thinking if thinking != "off" else None),
        (s.OUTPUT_TYPE, "json" if request and (request.response_format or "").startswith("json") else None),
        (s.COMPACTED, True if chat.compacted else None),
        (s.SERVER_ADDRESS, host),
        (s.SERVER_PORT, port),
    ]
    if answer is not None:
        pairs += _answer(answer, asked)
    return span(
        Frame(
            name("chat", asked),
            "chat",
            turn.loop.identity.session_id,
            SpanRef(place.trace_id, ids.chat_span(*place)),
            place.span_id,
            inside(chat.started_ns, chat.ended_ns, *times),
        ),
        pairs,
        options,
        kind=SpanKind.CLIENT,
        error=chat_error(chat),
    )


def _answer(answer: Answer, asked: str | None) -> list[Pair]:
    pairs: list[Pair] = [
        (s.RESPONSE_MODEL, answer.model if answer.model and answer.model != asked else None),
        (s.FINISH_REASONS, (finish_reason(answer.stop_reason),)),
        (s.STOP_REASON, answer.stop_reason),
    ]
    if answer.usage == Usage():
        return pairs  # a call that failed before it counted anything
    tokens = answer.tokens
    return [
        *pairs,
        (s.USAGE_INPUT, tokens.input),
        (s.USAGE_OUTPUT, tokens.output),
        (s.USAGE_CACHE_READ, tokens.cache_read or None),
        (s.USAGE_CACHE_WRITE, tokens.cache_write or None),
        (s.USAGE_REASONING, tokens.reasoning or None),
        *raw_usage(answer.usage),
        (s.RAW_MODE, "exclusive" if tokens.exclusive else "inclusive"),
    ]


def _tool_span(turn: TurnClosed, tool: Tool, place: SpanRef, times: tuple[int, int], options: MappingOptions) -> Span:
    return span(
        Frame(
            name("execute_tool", tool.name),
            "execute_tool",
            turn.loop.identity.session_id,
            SpanRef(place.trace_id, ids.tool_span(*place, tool.call_id, tool.repeat)),
            place.span_id,
            times,
        ),
        [
            *_common(turn, inferred=tool.inferred),
            (s.TOOL_NAME, tool.name),
            (s.TOOL_CALL_ID, tool.call_id),
            (s.TOOL_TYPE, "function"),
            (s.TOOL_OUTCOME, tool.outcome),
            *_child(tool),
        ],
        options,
        error=tool_error(tool),
        links=_spawned(tool, options),
    )


def _tool_event(tool: Tool, start: int, end: int, options: MappingOptions) -> SpanEvent:
    executed = tool.outcome != "not_executed"
    pairs: list[Pair] = [
        (s.TOOL_NAME, tool.name),
        (s.TOOL_CALL_ID, tool.call_id),
        (s.TOOL_OUTCOME, tool.outcome),
        (s.TOOL_DURATION_MS, happenings.milliseconds(end - start) if executed else None),
        *_child(tool),
        (s.ERROR_TYPE, tool_error(tool)),
    ]
    return SpanEvent(s.EVENT_TOOL, end, table(options.max_attribute_bytes, pairs))


def _child(tool: Tool) -> list[Pair]:
    return [(s.CHILD_LOOP, tool.child_loop_id), (s.CHILD_SESSION, tool.child.session_id if tool.child else None)]


def _spawned(tool: Tool, options: MappingOptions) -> tuple[SpanLink, ...]:
    return () if tool.child is None else spawn_links(tool.child, tool.call_id, options)
