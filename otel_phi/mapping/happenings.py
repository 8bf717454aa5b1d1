"""What happens within a turn or loop, as span events."""

from __future__ import annotations

from collections.abc import Iterable

from otel_phi.mapping import semconv as s
from otel_phi.mapping.attributes import Pair, table
from otel_phi.mapping.build import clamp_time
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import SpanEvent
from otel_phi.recorder.notices import Compaction, Occurrence, Timed
from otel_phi.wire.events import CompactionEnded, GenericEvent, InputRejected, PrunApplied, RevertApplied


def events(happened: Iterable[Timed], options: MappingOptions) -> list[SpanEvent]:
    """Returns one span event for each happening, in their order."""
    found = []
    for item in happened:
        name, pairs = _event(item.what)
        found.append(SpanEvent(name, clamp_time(item.time_ns), table(options.max_attribute_bytes, pairs)))
    return found


def milliseconds(duration_ns: int) -> float:
    """Returns a duration in milliseconds, never negative."""
    return max(duration_ns, 0) / 1_000_000


def _event(what: Occurrence) -> tuple[str, list[Pair]]:
    match what:
        case Compaction():
            return s.EVENT_COMPACTION, _compaction(what)
        case PrunApplied():
            return s.EVENT_PRUN, [(s.PRUN_TOKENS, what.tokens_removed), (s.PRUN_MESSAGES, what.messages_removed)]
        case RevertApplied():
            return s.EVENT_REVERT, [
                (s.REVERT_CATEGORY, what.category or None),
                (s.REVERT_APPLIED, what.applied),
                (s.REVERT_TARGET, what.target),
                (s.REVERT_ABANDONED, len(what.abandoned_node_ids)),
            ]
        case InputRejected():
            return s.EVENT_REJECTED, []  # the reason is content
        case GenericEvent():
            return s.EVENT_UNKNOWN, [(s.EVENT_TYPE, what.type)]


def _compaction(what: Compaction) -> list[Pair]:
    pairs: list[Pair] = []
    if what.started is not None:
        pairs += [
            (s.COMPACTION_TOKENS, what.started.estimated_tokens),
            (s.COMPACTION_MESSAGES, what.started.message_count or None),
        ]
    if what.ended is not None:
        pairs += [
            *_counted(what.ended),
            (s.COMPACTION_LOOPS, what.ended.loops_compacted),
        ]
    if what.started and what.ended and what.started.timestamp is not None and what.ended.timestamp is not None:
        pairs.append((s.COMPACTION_DURATION_MS, milliseconds(what.ended.timestamp - what.started.timestamp)))
    return pairs


def _counted(ended: CompactionEnded) -> list[Pair]:
    """Returns what a compaction saved; no context has no message, so 0 of both is a source that does not say."""
    messages = ended.messages_before or ended.messages_after
    return [
        (s.COMPACTION_MESSAGES_BEFORE, ended.messages_before if messages else None),
        (s.COMPACTION_MESSAGES_AFTER, ended.messages_after if messages else None),
        (s.COMPACTION_TOKENS_BEFORE, ended.estimated_tokens_before),
        (s.COMPACTION_TOKENS_AFTER, ended.estimated_tokens_after if messages else ended.estimated_tokens_after or None),
    ]
