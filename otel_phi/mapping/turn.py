"""A closed turn to spans: the turn, its chat, its tools. They leave together, since only then can they be clamped."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from otel_phi.mapping import contents, happenings, ids
from otel_phi.mapping import semconv as s
from otel_phi.mapping.agents import of_loop
from otel_phi.mapping.attributes import Pair, cost_pairs, name, present, raw_usage, table
from otel_phi.mapping.build import Frame, clamp_times, head, inside, span
from otel_phi.mapping.ids import SpanRef
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.places import loop_place, spawn_links
from otel_phi.mapping.providers import finish_reason, provider_name, server
from otel_phi.mapping.span import Attributes, Run, Span, SpanEvent, SpanKind, SpanLink
from otel_phi.mapping.status import chat_error, tool_error, turn_error
from otel_phi.recorder.notices import Answer, Chat, LoopStart, Outcome, Request, Tool, TurnClosed, TurnOpened
from otel_phi.wire.messages import NO_USAGE
from otel_phi.wire.parts import ConfigSnapshot

_TRIGGERS = {"User": "user", "SubAgent": "sub_agent", "Continuation": "continuation", "Branch": "branch"}
_TRIGGERS["FollowUp"] = "continuation"  # its name in files before April 2026
# Between the starts of tools that began together. Jaeger's page sorts by start alone, in microseconds, and showed them in another order on
# each load (with a nanosecond still, up to 2.20); Phoenix keeps microseconds too. What we know of these times is milliseconds.
_APART_NS = 1_000
# Error words of tools that were asked for and never began: they took no time.
NEVER_RAN = frozenset({"skipped", "tool_not_found", "permission_denied"})
_NO_CONFIG = ConfigSnapshot()
_NO_REQUEST = Request("", None, None, None, None)
_NOTHING_SAID: tuple[str, str | None, str | None, bool] = ("", None, None, False)


class _Loop:
    """A loop is what the spans of its turns share: where it stands, and what they begin with."""

    __slots__ = ("chat", "config", "extras", "place", "tool", "turn")

    def __init__(self, start: LoopStart, options: MappingOptions) -> None:
        identity, agent = start.identity, of_loop(start, options)
        self.place = loop_place(identity, options)
        self.config = start.config
        self.extras = start.session_attributes
        self.turn, self.chat, self.tool = (
            head(operation, identity.session_id, options, agent, identity.loop_id)
            for operation in ("agent_step", "chat", "execute_tool")
        )


# By identity, which costs a tenth of a hash: the turns of a loop hold one and the same start, a pipeline one and the same options.
_loops: dict[tuple[int, int], tuple[LoopStart, MappingOptions, _Loop]] = {}
_MAX_LOOPS = 1_024


def _loop_of(start: LoopStart, options: MappingOptions) -> _Loop:
    found = _loops.get((id(start), id(options)))
    if found is not None:
        return found[2]
    if len(_loops) >= _MAX_LOOPS:
        _loops.clear()
    loop = _Loop(start, options)
    _loops[id(start), id(options)] = start, options, loop  # who is held here keeps its identity
    return loop


class _Context(NamedTuple):
    """The context is what the spans of one turn share."""

    turn: TurnClosed
    loop: _Loop
    frame: Frame
    options: MappingOptions

    def below(
        self, title: str, first: Run, span_id: int, times: tuple[int, int], kind: SpanKind = SpanKind.INTERNAL
    ) -> Frame:
        """Returns the frame of a span below the turn, which begins with a run of its kind."""
        trace_id, turn_span_id = self.frame.place
        shared = (first, self.frame.shared[1])
        return Frame(title, shared, SpanRef(trace_id, span_id), turn_span_id, times, self.loop.extras, kind)


def turn_spans(turn: TurnClosed, options: MappingOptions) -> list[Span]:
    """Returns the spans of a turn, the turn itself first."""
    loop = _loop_of(turn.loop, options)
    frame = _frame(turn, turn.ended_ns, loop)
    context = _Context(turn, loop, frame, options)
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
    return _frame(turn, ended_ns, _loop_of(turn.loop, options))


def _frame(turn: TurnOpened | TurnClosed, ended_ns: int, loop: _Loop) -> Frame:
    trace_id, loop_span_id = loop.place
    place = SpanRef(trace_id, ids.turn_span(trace_id, loop_span_id, turn.index, turn.repeat))
    index = Run(((s.TURN_INDEX, turn.index),))  # on its chat and tools too
    return Frame("turn", (loop.turn, index), place, loop_span_id, clamp_times(turn.started_ns, ended_ns), loop.extras)


def trigger_word(triggered_by: str | None) -> str | None:
    """Returns what triggered a turn, in snake case."""
    return _TRIGGERS.get(triggered_by, triggered_by) if triggered_by else None


def _turn_span(context: _Context, frame: Frame, executed: list[tuple[Tool, tuple[int, int]]]) -> Span:
    turn, options = context.turn, context.options
    answer = turn.chat.answer if turn.chat else None
    events = [_tool_event(tool, *within, options, lost=turn.lost) for tool, within in executed]
    if turn.happened:
        events = happenings.events(turn.happened, options) + events
    if len(events) > 1:
        events.sort(key=lambda event: event.time_ns)
    links: tuple[SpanLink, ...] = ()
    if not options.tool_spans:
        links = tuple(link for tool in turn.tools for link in _spawned(tool, options))
    tools = len([tool for tool in turn.tools if tool.outcome != "not_executed"])
    stop_reason = answer.stop_reason if answer else None
    most = options.max_attribute_bytes
    return span(
        frame,
        (),
        options,
        shared=(_turn_run(turn.inferred, turn.triggered_by, tools, turn.message_count, stop_reason, most),),
        error=turn_error(turn),
        events=events,
        links=links,
        dropped=turn.dropped,
    )


@functools.lru_cache(maxsize=1_024)  # turns are much alike
def _turn_run(
    inferred: bool, trigger: str | None, tools: int, messages: int, stop_reason: str | None, max_bytes: int
) -> Run:
    pairs: tuple[Pair, ...] = (
        (s.TIME_INFERRED, True if inferred else None),
        (s.TURN_TRIGGER, trigger_word(trigger)),
        (s.TURN_TOOLS, tools),
        (s.TURN_MESSAGES, messages),
        (s.STOP_REASON, stop_reason),
    )
    return Run(table(max_bytes, pairs))


def _chat_span(context: _Context, chat: Chat) -> Span:
    options, answer, loop = context.options, chat.answer, context.loop
    said = _NOTHING_SAID if answer is None else (answer.model, answer.provider, answer.stop_reason, answer.streamed)
    asked = msgspec.structs.astuple(chat.request or _NO_REQUEST)
    title, shared = _chat_run(loop, chat.inferred, chat.compacted, options.max_attribute_bytes, *said, *asked)
    times = inside(chat.started_ns, chat.ended_ns, *context.frame.times)
    return span(
        context.below(title, loop.chat, ids.chat_span(*context.frame.place), times, SpanKind.CLIENT),
        _content_pairs(chat, options),
        options,
        shared=(shared,) if answer is None else (shared, present(used_pairs(answer))),
        error=chat_error(chat, lost=context.turn.lost),
    )


def _content_pairs(chat: Chat, options: MappingOptions) -> Sequence[Pair]:
    """Returns what was said, where contents are told."""
    if chat.content is None:
        return ()
    stop_reason = None if chat.answer is None else chat.answer.stop_reason
    return contents.chat_pairs(chat.content, stop_reason, options.max_attribute_bytes)


# A loop asks the same again and again. Typed: 1, 1.0 and True are equal, and must not stand for each other.
@functools.lru_cache(maxsize=1_024, typed=True)
def _chat_run(
    loop: _Loop,
    inferred: bool,
    compacted: bool,
    max_bytes: int,
    model: str,
    provider: str | None,
    stop_reason: str | None,
    streamed: bool,
    *asked: Any,
) -> tuple[str, Run]:
    """Returns a chat's name, and all that it says but its tokens."""
    request = Request(*asked)
    asked_model, before, after = asked_pairs(
        loop.config, request, (model, provider), (inferred, compacted, streamed), max_bytes
    )
    numbers = ((s.REQUEST_MAX_TOKENS, request.max_tokens), (s.REQUEST_TEMPERATURE, request.temperature))
    pairs = before + table(max_bytes, numbers) + after
    if stop_reason is not None:
        pairs += answered_pairs(model, stop_reason, asked_model, max_bytes)
    return name("chat", asked_model), Run(pairs)


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
    """Returns the numbers of an answer: its tokens, what they cost, and when the first of them was there."""
    usage, tokens = answer.usage, answer.tokens
    if usage == NO_USAGE and answer.first_token_ms is None and answer.cost is None:
        return ()  # a call that failed before it counted anything
    first = answer.first_token_ms
    marks: tuple[Pair, ...] = (
        (s.FIRST_CHUNK, None if first is None else first / 1_000),
        (s.USAGE_PARTIAL, usage.partial or None),
    )
    if not (
        usage.input or usage.output or usage.cache_read or usage.cache_write or usage.reasoning or usage.total_tokens
    ):
        return (*marks, *cost_pairs(answer.cost))
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
    span_id = ids.tool_span(*context.frame.place, tool.call_id, tool.repeat)
    most = context.options.max_attribute_bytes
    title, named = _tool_run(tool.name, tool.inferred, most)
    outcome = _tool_outcome_run(tool_type(tool.name), tool.outcome, most)
    return span(
        context.below(title, context.loop.tool, span_id, times),
        (*_child(tool), *contents.tool_pairs(tool)),
        context.options,
        shared=(named, table(most, ((s.TOOL_CALL_ID, tool.call_id),)), outcome),
        error=tool_error(tool, lost=context.turn.lost),
        links=_spawned(tool, context.options),
    )


@functools.lru_cache(maxsize=1_024)  # tools are few
def _tool_run(tool_name: str, inferred: bool, max_bytes: int) -> tuple[str, Run]:
    pairs: tuple[Pair, ...] = ((s.TIME_INFERRED, True if inferred else None), (s.TOOL_NAME, tool_name))
    return name("execute_tool", tool_name), Run(table(max_bytes, pairs))


@functools.lru_cache(maxsize=64)
def _tool_outcome_run(kind: str | None, outcome: Outcome, max_bytes: int) -> Run:
    return Run(table(max_bytes, ((s.TOOL_TYPE, kind), (s.TOOL_OUTCOME, outcome))))


def tool_type(tool_name: str) -> str | None:
    """Returns the convention's type of a tool, where its name tells: Claude Code and others name those of MCP servers so."""
    return "extension" if tool_name.startswith("mcp__") else None


def _tool_event(tool: Tool, start: int, end: int, options: MappingOptions, *, lost: bool) -> SpanEvent:
    error = tool_error(tool, lost=lost)
    ran = tool.outcome != "not_executed" and error not in NEVER_RAN
    pairs: tuple[Pair, ...] = (
        (s.TOOL_NAME, tool.name),
        (s.TOOL_CALL_ID, tool.call_id),
        (s.TOOL_OUTCOME, tool.outcome),
        (s.TOOL_DURATION_MS, happenings.milliseconds(end - start) if ran else None),
        *_child(tool),
        (s.ERROR_TYPE, error),
    )
    return SpanEvent(s.EVENT_TOOL, end, table(options.max_attribute_bytes, pairs))


def _child(tool: Tool) -> tuple[Pair, ...]:
    if tool.child_loop_id is None:
        return ()
    return ((s.CHILD_LOOP, tool.child_loop_id), (s.CHILD_SESSION, tool.child.session_id if tool.child else None))


def _spawned(tool: Tool, options: MappingOptions) -> tuple[SpanLink, ...]:
    return () if tool.child is None else spawn_links(tool.child, tool.call_id, options)
