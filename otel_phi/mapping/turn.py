"""A closed turn to spans: the turn, its chat, its tools. They leave together, since only then can they be clamped."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from otel_phi.mapping import contents, happenings, ids
from otel_phi.mapping import semconv as s
from otel_phi.mapping.agents import of_loop
from otel_phi.mapping.attributes import Pair, cost_pairs, name, raw_usage, table
from otel_phi.mapping.build import Frame, clamp_times, inside, session_pairs, span
from otel_phi.mapping.ids import SpanRef
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.places import loop_place, spawn_links
from otel_phi.mapping.providers import finish_reason, provider_name, server
from otel_phi.mapping.span import Attributes, Span, SpanEvent, SpanKind, SpanLink
from otel_phi.mapping.status import chat_error, tool_error, turn_error
from otel_phi.recorder.notices import Answer, Chat, Request, Tool, TurnClosed, TurnOpened
from otel_phi.wire.messages import NO_USAGE
from otel_phi.wire.parts import ConfigSnapshot

_TRIGGERS = {"User": "user", "SubAgent": "sub_agent", "Continuation": "continuation", "Branch": "branch"}
_TRIGGERS["FollowUp"] = "continuation"  # its name in files before April 2026
_CLIENT = SpanKind.CLIENT
# Between the starts of tools that began together. Jaeger's page sorts by start alone, in microseconds, and showed them in another order on
# each load (with a nanosecond still, up to 2.20); Phoenix keeps microseconds too. What we know of these times is milliseconds.
_APART_NS = 1_000
# Error words of tools that were asked for and never began: they took no time.
NEVER_RAN = frozenset({"skipped", "tool_not_found", "permission_denied"})
_NO_CONFIG = ConfigSnapshot()
_NO_REQUEST = Request("", None, None, None, None)


class _Context(NamedTuple):
    """The context is what the spans of one turn share: where the turn stands, when it was, what all of them carry."""

    turn: TurnClosed
    place: SpanRef
    times: tuple[int, int]
    common: Attributes
    options: MappingOptions

    def frame(self, title: str, operation: str, span_id: int, times: tuple[int, int], more: Attributes = ()) -> Frame:
        """Returns the frame of a span below the turn; `more`: what it shares with spans of other turns."""
        place = SpanRef(self.place.trace_id, span_id)
        extras = self.turn.loop.session_attributes
        return Frame(title, operation, self.common + more, place, self.place.span_id, times, extras)


def turn_spans(turn: TurnClosed, options: MappingOptions) -> list[Span]:
    """Returns the spans of a turn, the turn itself first."""
    frame = turn_frame(turn, turn.ended_ns, options)
    context = _Context(turn, frame.place, frame.times, frame.common, options)
    executed = [(tool, inside(tool.started_ns, tool.ended_ns, *frame.times)) for tool in turn.tools]
    spans = [_turn_span(context, frame, executed)]
    if turn.chat is not None:
        spans.append(_chat_span(context, turn.chat))
    if options.tool_spans:
        spans += [_tool_span(context, tool, times) for tool, times in _apart(executed, frame.times)]
    return spans


def _apart(
    executed: Iterable[tuple[Tool, tuple[int, int]]], within: tuple[int, int]
) -> Iterator[tuple[Tool, tuple[int, int]]]:
    """Yields the tools that have spans, those that start together a little apart, in the order they began, which is the answer's."""
    together: dict[int, int] = {}
    for tool, (start, end) in executed:
        if tool.outcome != "not_executed":
            before = together.get(start, 0)
            together[start] = before + 1
            yield tool, inside(start + before * _APART_NS, end, *within) if before else (start, end)


def turn_frame(turn: TurnOpened | TurnClosed, ended_ns: int, options: MappingOptions) -> Frame:
    """Returns what places a turn's span."""
    identity = turn.loop.identity
    loop = loop_place(identity, options)
    place = SpanRef(loop.trace_id, ids.turn_span(loop.trace_id, loop.span_id, turn.index, turn.repeat))
    agent = of_loop(turn.loop, options)
    common = (*session_pairs(identity.session_id, options, agent, identity.loop_id), (s.TURN_INDEX, turn.index))
    times, extras = clamp_times(turn.started_ns, ended_ns), turn.loop.session_attributes
    return Frame("turn", "agent_step", common, place, loop.span_id, times, extras)


def trigger_word(triggered_by: str | None) -> str | None:
    """Returns what triggered a turn, in snake case."""
    return _TRIGGERS.get(triggered_by, triggered_by) if triggered_by else None


def _turn_span(context: _Context, frame: Frame, executed: list[tuple[Tool, tuple[int, int]]]) -> Span:
    turn, options = context.turn, context.options
    answer = turn.chat.answer if turn.chat else None
    events = happenings.events(turn.happened, options) if turn.happened else []
    events += [_tool_event(tool, *within, options, lost=turn.lost) for tool, within in executed]
    if len(events) > 1:
        events.sort(key=lambda event: event.time_ns)
    links: tuple[SpanLink, ...] = ()
    if not options.tool_spans:
        links = tuple(link for tool in turn.tools for link in _spawned(tool, options))
    return span(
        frame,
        (
            (s.TIME_INFERRED, True if turn.inferred else None),
            (s.TURN_TRIGGER, trigger_word(turn.triggered_by)),
            (s.TURN_TOOLS, sum([tool.outcome != "not_executed" for tool in turn.tools])),
            (s.TURN_MESSAGES, turn.message_count),
            (s.STOP_REASON, answer.stop_reason if answer else None),
        ),
        options,
        error=turn_error(turn),
        events=events,
        links=links,
        dropped=turn.dropped,
    )


def _chat_span(context: _Context, chat: Chat) -> Span:
    options, answer, request = context.options, chat.answer, chat.request or _NO_REQUEST
    said = ("", None) if answer is None else (answer.model, answer.provider)
    marks = (chat.inferred, chat.compacted, answer is not None and answer.streamed)
    asked, before, after = asked_pairs(context.turn.loop.config, request, said, marks, options.max_attribute_bytes)
    numbers = ((s.REQUEST_MAX_TOKENS, request.max_tokens), (s.REQUEST_TEMPERATURE, request.temperature))
    shared = before + table(options.max_attribute_bytes, numbers) + after
    if answer is not None:
        shared += answered_pairs(answer.model, answer.stop_reason, asked, options.max_attribute_bytes)
    return span(
        context.frame(
            name("chat", asked),
            "chat",
            ids.chat_span(*context.place),
            inside(chat.started_ns, chat.ended_ns, *context.times),
            shared,
        ),
        _said_pairs(chat, options),
        options,
        kind=_CLIENT,
        error=chat_error(chat, lost=context.turn.lost),
    )


def _said_pairs(chat: Chat, options: MappingOptions) -> tuple[Pair, ...]:
    """Returns an answer's numbers, and what was said where contents are told."""
    answer = chat.answer
    used = () if answer is None else used_pairs(answer)
    if chat.content is None:
        return used
    stop_reason = None if answer is None else answer.stop_reason
    return (*used, *contents.chat_pairs(chat.content, stop_reason, options.max_attribute_bytes))


@functools.lru_cache(maxsize=256)  # a loop asks the same again and again
def asked_pairs(
    config: ConfigSnapshot | None,
    request: Request,
    said: tuple[str, str | None],
    marks: tuple[bool, bool, bool],
    max_bytes: int,
) -> tuple[str | None, Attributes, Attributes]:
    """Returns the model asked for, and what was asked before and after its numbers.

    None of it depends on a number: 1, 1.0 and True are equal to a cache, and must not stand for each other.

    Args:
        config: of the loop.
        request: what was asked.
        said: model and provider of the answer, for what names none itself.
        marks: whether a time is inferred, whether the context was compacted, whether the answer came in pieces.
        max_bytes: as in `table`.
    """
    config = config or _NO_CONFIG
    asked = request.model or config.model or said[0] or None
    host, port = server(config.base_url)
    thinking = request.thinking_level
    before: tuple[Pair, ...] = (
        (s.TIME_INFERRED, True if marks[0] else None),
        (s.PROVIDER, provider_name(config.api, config.provider or said[1])),
        (s.REQUEST_MODEL, asked),
    )
    after: tuple[Pair, ...] = (
        (s.REQUEST_STREAM, True if marks[2] else None),
        (s.REQUEST_THINKING, thinking if thinking != "off" else None),
        (s.OUTPUT_TYPE, "json" if (request.response_format or "").startswith("json") else None),
        (s.COMPACTED, True if marks[1] else None),
        (s.SERVER_ADDRESS, host),
        (s.SERVER_PORT, port),
    )
    return asked, table(max_bytes, before), table(max_bytes, after)


@functools.lru_cache(maxsize=256)  # models and reasons are few
def answered_pairs(model: str, stop_reason: str, asked: str | None, max_bytes: int) -> Attributes:
    """Returns what an answer says of itself, numbers aside."""
    pairs: tuple[Pair, ...] = (
        (s.RESPONSE_MODEL, model if model and model != asked else None),
        (s.FINISH_REASONS, (finish_reason(stop_reason),)),
        (s.STOP_REASON, stop_reason),
    )
    return table(max_bytes, pairs)


def used_pairs(answer: Answer) -> tuple[Pair, ...]:
    """Returns the numbers of an answer: its tokens, and when the first of them was there."""
    usage, tokens = answer.usage, answer.tokens
    if usage == NO_USAGE and answer.first_token_ms is None:
        return ()  # a call that failed before it counted anything
    first = answer.first_token_ms
    marks: tuple[Pair, ...] = (
        (s.FIRST_CHUNK, None if first is None else first / 1_000),
        (s.USAGE_PARTIAL, usage.partial or None),
    )
    if not (
        usage.input or usage.output or usage.cache_read or usage.cache_write or usage.reasoning or usage.total_tokens
    ):
        return marks
    return (
        *marks,
        (s.USAGE_INPUT, tokens.input),
        (s.USAGE_OUTPUT, tokens.output),
        (s.USAGE_CACHE_READ, tokens.cache_read or None),
        (s.USAGE_CACHE_WRITE, tokens.cache_write or None),
        (s.USAGE_REASONING, tokens.reasoning or None),
        *raw_usage(answer.usage),
        (s.RAW_MODE, "exclusive" if tokens.exclusive else "inclusive"),
        *cost_pairs(answer.cost),
    )


def _tool_span(context: _Context, tool: Tool, times: tuple[int, int]) -> Span:
    span_id = ids.tool_span(*context.place, tool.call_id, tool.repeat)
    return span(
        context.frame(name("execute_tool", tool.name), "execute_tool", span_id, times),
        (
            (s.TIME_INFERRED, True if tool.inferred else None),
            (s.TOOL_NAME, tool.name),
            (s.TOOL_CALL_ID, tool.call_id),
            (s.TOOL_TYPE, tool_type(tool.name)),
            (s.TOOL_OUTCOME, tool.outcome),
            *_child(tool),
            *contents.tool_pairs(tool),
        ),
        context.options,
        error=tool_error(tool, lost=context.turn.lost),
        links=_spawned(tool, context.options),
    )


def _tool_event(tool: Tool, start: int, end: int, options: MappingOptions, *, lost: bool) -> SpanEvent:
    error = tool_error(tool, lost=lost)
    ran = tool.outcome != "not_executed" and error not in NEVER_RAN
    pairs: list[Pair] = [
        (s.TOOL_NAME, tool.name),
        (s.TOOL_CALL_ID, tool.call_id),
        (s.TOOL_OUTCOME, tool.outcome),
        (s.TOOL_DURATION_MS, happenings.milliseconds(end - start) if ran else None),
        *_child(tool),
        (s.ERROR_TYPE, error),
    ]
    return SpanEvent(s.EVENT_TOOL, end, table(options.max_attribute_bytes, pairs))


def tool_type(name: str) -> str | None:
    """Returns the convention's type of a tool, where its name tells: Claude Code and others name those of MCP servers so."""
    return "extension" if name.startswith("mcp__") else None


def _child(tool: Tool) -> tuple[Pair, ...]:
    if tool.child_loop_id is None:
        return ()
    return ((s.CHILD_LOOP, tool.child_loop_id), (s.CHILD_SESSION, tool.child.session_id if tool.child else None))


def _spawned(tool: Tool, options: MappingOptions) -> tuple[SpanLink, ...]:
    return () if tool.child is None else spawn_links(tool.child, tool.call_id, options)
