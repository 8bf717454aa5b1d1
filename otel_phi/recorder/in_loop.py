"""What an event does to its open loop, by its class; what opens and closes loops is the core's own.

A table, not a `match`: it is asked for every event, and the tenth arm of a `match` costs ten times the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import UNSET

from otel_phi.recorder.loops import OpenLoop
from otel_phi.recorder.notices import Notice
from otel_phi.wire import events as e
from otel_phi.wire.lean import LEAN

_NOTHING: tuple[Notice, ...] = ()


def _tool_started(loop: OpenLoop, event: e.ToolExecutionStart) -> Sequence[Notice]:
    turn, cut = (loop.turn, _NOTHING) if loop.turn is not None else loop.current_turn()
    turn.tool_started(event)
    if event.timestamp is not UNSET:
        loop.seen(event.timestamp)
    return cut


def _tool_ended(loop: OpenLoop, event: e.ToolExecutionEnd) -> Sequence[Notice]:
    turn, cut = (loop.turn, _NOTHING) if loop.turn is not None else loop.current_turn()
    turn.tool_ended(event)
    if event.timestamp is not UNSET:
        loop.seen(event.timestamp)
    return cut


def _compaction_started(loop: OpenLoop, event: e.CompactionStarted) -> Sequence[Notice]:
    loop.scope.compaction_started(loop.seen(event.timestamp), event)
    return _NOTHING


def _compaction_ended(loop: OpenLoop, event: e.CompactionEnded) -> Sequence[Notice]:
    loop.compaction_ended(loop.seen(event.timestamp), event)
    return _NOTHING


def _prun_applied(loop: OpenLoop, event: e.PrunApplied) -> Sequence[Notice]:
    loop.happened(loop.seen(event.timestamp), event)
    return _NOTHING


def _revert_applied(loop: OpenLoop, event: e.RevertApplied) -> Sequence[Notice]:
    loop.happened(loop.last_ns if event.timestamp is None else int(event.timestamp), event)
    return _NOTHING


def _input_rejected(loop: OpenLoop, event: e.InputRejected) -> Sequence[Notice]:
    loop.input_refused = True
    loop.happened(loop.last_ns, event)
    return _NOTHING


# None where the loop ignored it.
IN_LOOP: dict[type, Callable[[OpenLoop, Any], Sequence[Notice] | None]] = {
    e.TurnStart: OpenLoop.turn_started,
    e.TurnRequest: OpenLoop.requested,
    e.TurnEnd: OpenLoop.turn_ended,
    e.MessageEnd: OpenLoop.message_ended,
    e.ToolExecutionStart: _tool_started,
    e.ToolExecutionEnd: _tool_ended,
    e.CompactionStarted: _compaction_started,
    e.CompactionEnded: _compaction_ended,
    e.PrunApplied: _prun_applied,
    e.RevertApplied: _revert_applied,
    e.InputRejected: _input_rejected,
}
# Lean events have the fields that are asked for here.
IN_LOOP |= {lean: IN_LOOP[getattr(e, lean.__name__)] for lean in LEAN}
