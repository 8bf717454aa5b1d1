"""A session's root, a closed loop and a closed parallel group to their spans."""

from __future__ import annotations

import msgspec

from otel_phi.mapping import contents, happenings
from otel_phi.mapping import semconv as s
from otel_phi.mapping.agents import of_loop
from otel_phi.mapping.attributes import Pair, cost_pairs, name, raw_usage, table
from otel_phi.mapping.build import Frame, clamp_times, head, span
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.places import branch_link, group_place, loop_links, loop_parent, loop_place, root_place
from otel_phi.mapping.providers import finish_reason, provider_name
from otel_phi.mapping.sources import source_pairs
from otel_phi.mapping.span import Parts, Span, StatusCode
from otel_phi.mapping.status import PROCESS_LOST, limit, loop_error
from otel_phi.recorder.notices import GroupClosed, GroupOpened, LoopClosed, LoopStart, SessionOpened
from otel_phi.wire.messages import NO_USAGE, Usage

GROUP_NAME = "phi.parallel"
ROOT_NAME = "phi.session"


def root_span(session: SessionOpened, options: MappingOptions) -> Span:
    """Returns a session's root: a marker, one nanosecond long, with nothing learnt later."""
    agent = options.agent_name or (session.source.agent if session.source else None)
    title = agent or ROOT_NAME
    return span(
        Frame(
            name("invoke_workflow", title),
            (head("invoke_workflow", session.session_id, options, options.agent_name),),
            root_place(session.session_id, options),
            0,
            clamp_times(session.opened_ns, session.opened_ns + 1),
            session.attributes,
        ),
        [
            (s.WORKFLOW_NAME, title),
            (s.PHI_AGENT_ID, session.agent_id or None),
            (s.MARKER, True),
            *source_pairs(session.source),
            *contents.prompt_pairs(session.prompt, options.max_attribute_bytes),
        ],
        options,
    )


def loop_span(loop: LoopClosed, options: MappingOptions) -> Span:
    """Returns the span of a loop."""
    start = loop.loop
    answer = loop.last_turn.chat.answer if loop.last_turn and loop.last_turn.chat else None
    made = span(
        loop_frame(start, loop.ended_ns, options),
        [
            *start_pairs(start),
            (s.LOOP_STATUS, _status(loop)),
            (s.LOOP_LIMIT, limit(loop.stop_limit)),
            (s.LOOP_TURNS, loop.turn_count),
            (s.LOOP_TOOLS, loop.tool_count),
            (s.FINISH_REASONS, (finish_reason(answer.stop_reason),) if answer else None),
            *_usage(loop),
            *cost_pairs(loop.cost),
            (s.TIME_INFERRED, True if loop.inferred else None),
            *contents.loop_pairs(loop, options.max_attribute_bytes),
        ],
        options,
        error=loop_error(loop),
        events=happenings.events(loop.happened, options),
        links=loop_links(start, options),
        dropped=loop.dropped,
    )
    if options.profile == "phoenix" and made.status is StatusCode.UNSET:
        return msgspec.structs.replace(made, status=StatusCode.OK)  # its list says "Unset" otherwise
    return made


def _status(loop: LoopClosed) -> str:
    if loop.rejected:
        return "rejected"
    if loop.outcome in {"error", "cancelled"}:
        return loop.outcome
    return "aborted" if loop.aborted else "completed"


def loop_frame(start: LoopStart, ended_ns: int, options: MappingOptions) -> Frame:
    """Returns what places a loop's span."""
    agent = of_loop(start, options)
    return Frame(
        name("invoke_agent", agent),
        (head("invoke_agent", start.identity.session_id, options, agent),),
        loop_place(start.identity, options),
        loop_parent(start, options),
        clamp_times(start.identity.started_ns, ended_ns),
        start.attributes + start.session_attributes,
    )


def start_pairs(start: LoopStart) -> list[Pair]:
    """Returns the attributes that a loop has from its AgentStart."""
    spawner = start.spawner if start.spawner and start.spawner.session_id else None
    return [
        (s.PHI_AGENT_ID, start.agent_id or None),
        (s.LOOP_ID, start.identity.loop_id),
        (s.LOOP_PARENT_ID, start.parent_loop_id or None),
        (s.LOOP_KIND, start.kind),
        (s.LOOP_TAG, start.tag),
        (s.SPAWN_SESSION, spawner.session_id if spawner else None),
        (s.SPAWN_LOOP, spawner.loop_id if spawner else None),
        *_config(start),
        *source_pairs(start.source),
    ]


def _config(start: LoopStart) -> list[Pair]:
    config = start.config
    if config is None:
        return []
    return [
        (s.PROVIDER, provider_name(config.api, config.provider)),
        (s.REQUEST_MODEL, config.model or None),
        (s.REQUEST_MAX_TOKENS, config.max_tokens),
        (s.REQUEST_TEMPERATURE, config.temperature),
        (s.REQUEST_THINKING, config.thinking_level if config.thinking_level != "off" else None),
        (s.CONFIG_ID, config.config_id),
        (s.MODEL_DISPLAY, config.name),
        (s.MODEL_API, config.api),
        (s.MODEL_REASONING, config.reasoning),
        (s.MODEL_CONTEXT, config.context_window),
    ]


def _usage(loop: LoopClosed) -> list[Pair]:
    if loop.usage == NO_USAGE:
        return []
    return [*raw_usage(loop.usage), (s.TOTAL_INPUT, loop.tokens.input), (s.TOTAL_OUTPUT, loop.tokens.output)]


def group_span(group: GroupClosed, options: MappingOptions) -> Span:
    """Returns the span of a parallel evaluation: a leaf that links to its branches."""
    return span(
        group_frame(group, options),
        [
            *group_pairs(group),
            (s.PARALLEL_SELECTED, group.selected.loop_id if group.selected else None),
            (s.PARALLEL_INDEX, group.selected_index),
            *_judge(group.evaluation_usage),
            (s.TIME_INFERRED, True if group.lost else None),
        ],
        options,
        error=PROCESS_LOST if group.lost else None,
        links=tuple(branch_link(branch, options) for branch in group.branches),
    )


def group_frame(group: GroupOpened | GroupClosed, options: MappingOptions) -> Frame:
    """Returns what places a group's span."""
    parent = 0 if options.trace_scope == "loop" else root_place(group.session_id, options).span_id
    return Frame(
        name("invoke_workflow", GROUP_NAME),
        _group_session(group.session_id, options),
        group_place(group.session_id, group.loop_ids, group.started_ns, options),
        parent,
        clamp_times(group.started_ns, group.ended_ns),
        group.attributes,
    )


def _group_session(session_id: str, options: MappingOptions) -> Parts:
    shared = head("invoke_workflow", session_id, options, options.agent_name)
    if options.profile != "phoenix" or options.trace_scope != "loop":
        return (shared,)
    # By these keys Phoenix makes every trace a turn of its session: a group would be one without a word in it.
    others = tuple(pair for pair in shared.pairs if pair[0] not in (s.CONVERSATION_ID, s.SESSION_ID))
    own = table(options.max_attribute_bytes, ((s.PARALLEL_SESSION, session_id),))
    return (others[:2] + own + others[2:],)  # behind the operation


def group_pairs(group: GroupOpened | GroupClosed) -> list[Pair]:
    """Returns the attributes that a group has from its ParallelLoopStart."""
    return [
        (s.WORKFLOW_NAME, GROUP_NAME),
        (s.PARALLEL_SIZE, len(group.loop_ids)),
        (s.PARALLEL_LOOPS, group.loop_ids),
    ]


def _judge(usage: Usage) -> list[Pair]:
    if usage == NO_USAGE:
        return []
    return [(s.PARALLEL_USAGE + key.removeprefix("phi.usage."), value) for key, value in raw_usage(usage)]
