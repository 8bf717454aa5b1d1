"""What else happens within a turn or loop, as it may be said: compactions, pruning, reverts, refusals, side calls, unknown events."""

from __future__ import annotations

from msgspec import UNSET

from otel_phi.policy.parts import old_if_equal, usage
from otel_phi.policy.words import (
    CATEGORIES,
    GIVEN_FLAGS,
    GIVEN_NUMBERS,
    IDENTIFIERS,
    NUMBERS,
    TIMES,
    checked,
    error_word,
    name,
    one_of,
    word,
)
from otel_phi.wire import events as e
from otel_phi.wire.times import Instant


def compaction_started(event: e.CompactionStarted) -> e.CompactionStarted:
    """Leaves a CompactionStarted as it is."""
    checked({str}, event.loop_id)
    checked({int}, event.estimated_tokens, event.message_count)
    checked(TIMES, event.timestamp)
    return event


def compaction_ended(event: e.CompactionEnded) -> e.CompactionEnded:
    """Leaves a CompactionEnded as it is."""
    checked({str}, event.loop_id)
    checked({int}, event.messages_before, event.messages_after, event.loops_compacted)
    checked({int}, event.estimated_tokens_before, event.estimated_tokens_after)
    checked(TIMES, event.timestamp)
    return event


def prun_applied(event: e.PrunApplied) -> e.PrunApplied:
    """Leaves of a PrunApplied its counts."""
    checked({str}, event.loop_id)
    checked({int}, event.tokens_removed, event.messages_removed)
    checked({tuple}, event.pruned_timestamps)
    checked({int}, *event.pruned_timestamps)
    checked(TIMES, event.timestamp)
    return old_if_equal(
        e.PrunApplied(
            loop_id=event.loop_id,
            tokens_removed=event.tokens_removed,
            messages_removed=event.messages_removed,
            pruned_timestamps=event.pruned_timestamps,
            timestamp=event.timestamp,
        ),
        event,
    )


def revert_applied(event: e.RevertApplied) -> e.RevertApplied:
    """Leaves of a RevertApplied its category and its nodes."""
    checked({str}, event.loop_id)
    checked({bool}, event.applied)
    checked(NUMBERS, event.target)
    checked({tuple}, event.abandoned_node_ids)
    checked({int}, *event.abandoned_node_ids)
    checked(TIMES, event.timestamp)
    return old_if_equal(
        e.RevertApplied(
            loop_id=event.loop_id,
            category=one_of(CATEGORIES, event.category) or "",
            target=event.target,
            abandoned_node_ids=event.abandoned_node_ids,
            applied=event.applied,
            timestamp=event.timestamp,
        ),
        event,
    )


def side_call(event: e.SideCall) -> e.SideCall:
    """Leaves of a SideCall its ids, times and usage, and how the call went."""
    checked({str}, event.id, event.session_id)
    checked(IDENTIFIERS, event.loop_id)
    checked({Instant, int}, event.start)
    checked(TIMES, event.end)
    checked(GIVEN_NUMBERS, event.first_token_ms)
    checked(GIVEN_FLAGS, event.streamed)
    error = event.error_type
    return old_if_equal(
        e.SideCall(
            id=event.id,
            session_id=event.session_id,
            start=event.start,
            loop_id=event.loop_id,
            model=name(event.model),
            provider=word(event.provider),
            usage=usage(event.usage),
            end=event.end,
            kind=word(event.kind),
            stop_reason=word(event.stop_reason),
            error_type=UNSET if error is UNSET else error_word(error),
            first_token_ms=event.first_token_ms,
            streamed=event.streamed,
        ),
        event,
    )


def generic(event: e.GenericEvent) -> e.GenericEvent:
    """Leaves of an unknown event its type, loop and time."""
    checked(IDENTIFIERS, event.loop_id)
    checked(TIMES, event.timestamp)
    return old_if_equal(e.GenericEvent(type=word(event.type), loop_id=event.loop_id, timestamp=event.timestamp), event)


def input_rejected(event: e.InputRejected) -> e.InputRejected:
    """Leaves of an InputRejected that there was one."""
    checked({str}, event.loop_id)
    return old_if_equal(e.InputRejected(loop_id=event.loop_id), event)
