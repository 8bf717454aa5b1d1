"""Loops and parallel evaluations as they may be said."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw

from otel_phi.policy import parts
from otel_phi.policy.parts import old_if_equal, usage
from otel_phi.policy.words import (
    GIVEN_IDENTIFIERS,
    IDENTIFIERS,
    OUTCOMES,
    TIMES,
    agent_name,
    checked,
    error_word,
    one_of,
)
from otel_phi.wire import events as e
from otel_phi.wire.callers import traceparent_alone
from otel_phi.wire.times import Instant


def agent_start(event: e.AgentStart) -> e.AgentStart:
    """Leaves of an AgentStart its ids, its kind, the configuration, the caller, and what its configurer says of the agent."""
    checked({str}, event.session_id, event.loop_id, event.agent_id)
    checked(IDENTIFIERS, event.parent_loop_id)
    checked({Instant, int}, event.timestamp)
    checked({Raw}, event.metadata)
    checked(GIVEN_IDENTIFIERS, event.parent_session_id, event.parent_tool_call_id)
    return old_if_equal(
        e.AgentStart(
            session_id=event.session_id,
            loop_id=event.loop_id,
            timestamp=event.timestamp,
            agent_id=event.agent_id,
            parent_loop_id=event.parent_loop_id,
            continuation_kind=parts.kind(event.continuation_kind),
            metadata=traceparent_alone(event),
            config_snapshot=parts.config(event.config_snapshot),
            parent_session_id=event.parent_session_id,
            parent_tool_call_id=event.parent_tool_call_id,
            agent_name=UNSET if event.agent_name is UNSET else agent_name(event.agent_name),
            attributes=UNSET if event.attributes is UNSET else parts.attributes(event.attributes),
            source=UNSET if event.source is UNSET else parts.source(event.source),
            session_attributes=UNSET
            if event.session_attributes is UNSET
            else parts.attributes(event.session_attributes),
        ),
        event,
    )


def agent_end(event: e.AgentEnd) -> e.AgentEnd:
    """Leaves of an AgentEnd its usage, and that an input was refused without the reason."""
    checked({str}, event.loop_id)
    checked(TIMES, event.timestamp)
    outcome, error = event.outcome, event.error_type
    return old_if_equal(
        e.AgentEnd(
            loop_id=event.loop_id,
            usage=usage(event.usage),
            timestamp=event.timestamp,
            rejection=None if event.rejection is None else "",  # its words are content, that there is one is not
            outcome=UNSET if outcome is UNSET else one_of(OUTCOMES, outcome) or UNSET,
            error_type=UNSET if error is UNSET else error_word(error),
        ),
        event,
    )


def parallel_start(event: e.ParallelLoopStart) -> e.ParallelLoopStart:
    """Leaves a ParallelLoopStart as it is."""
    checked({str}, event.session_id)
    checked({tuple}, event.loop_ids)
    checked({str}, *event.loop_ids)
    checked(TIMES, event.timestamp)
    return event


def parallel_end(event: e.ParallelLoopEnd) -> e.ParallelLoopEnd:
    """Leaves a ParallelLoopEnd as it is."""
    checked({str}, event.session_id, event.selected_loop_id)
    checked({int}, event.selected_config_index)
    checked(TIMES, event.timestamp)
    used = usage(event.evaluation_usage)
    return event if used is event.evaluation_usage else msgspec.structs.replace(event, evaluation_usage=used)
