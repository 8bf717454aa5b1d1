"""Open loops, turns and groups to values that can be written, and back to what goes on.

Fields of the same name and meaning are copied by name: a state's fields are the list of what is kept.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from otel_phi.recorder.groups import OpenGroup
from otel_phi.recorder.loops import OpenLoop
from otel_phi.recorder.notices import Compaction, LoopStart, Timed, TurnClosed
from otel_phi.recorder.references import References
from otel_phi.recorder.states import (
    NO_TOKENS,
    NONE_CLOSED,
    NOTHING_HAPPENED,
    Branch,
    GroupState,
    Happened,
    HappeningsState,
    Indexes,
    LastTurn,
    LoopState,
    ToolState,
    TurnState,
    sealed,
    unsealed,
)
from otel_phi.recorder.turns import Happenings, OpenTool, OpenTurn
from otel_phi.wire.events import GenericEvent
from otel_phi.wire.messages import NO_USAGE, ToolResultMessage

T = TypeVar("T")


def _plain_fields(state: type[msgspec.Struct], *own: str) -> tuple[str, ...]:
    """Returns the fields of a state that are copied by name: all but those that have a form of their own."""
    return tuple(name for name in state.__struct_fields__ if name not in own)


_LOOP = _plain_fields(LoopState, "contents", "start", "closed", "turn", "last_turn", "happenings", "usage", "tokens")
_TURN = _plain_fields(TurnState, "happenings", "tools", "results")
_TURN_MADE = ("index", "repeat", "started_ns", "triggered_by", "source_ns")  # what a turn begins with
_TURN_LATER = tuple(name for name in _TURN if name not in _TURN_MADE)
_TOOL = _plain_fields(ToolState)
_TOOL_LATER = tuple(name for name in _TOOL if name not in {"call_id", "name", "started_ns", "inferred"})
_LAST_TURN = _plain_fields(LastTurn, "happened")


def _named(source: object, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(source, name) for name in names}


def _copy(source: object, target: object, names: tuple[str, ...]) -> None:
    for name in names:
        setattr(target, name, getattr(source, name))


def _or(default: T, value: T) -> T:
    """Returns the default itself for a value that equals it: that is not written."""
    return default if value == default else value


# --- loops -------------------------------------------------------------------------------------------------------------


def loop_state(loop: OpenLoop) -> LoopState:
    """Returns an open loop as a value."""
    last = loop.last_turn
    return LoopState(
        start=loop.start,
        closed=_or(NONE_CLOSED, Indexes(**loop.closed.dump())),
        usage=_or(NO_USAGE, loop.usage),
        tokens=_or(NO_TOKENS, loop.tokens),
        turn=None if loop.turn is None else _turn_state(loop.turn),
        last_turn=None if last is None else _last_turn_state(last),
        happenings=_happenings_state(loop.happenings),
        contents=None if loop.contents is None else loop.contents.state(),
        **_named(loop, _LOOP),
    )


def open_loop(state: LoopState, references: References) -> OpenLoop:
    """Returns the open loop that `loop_state` was given."""
    loop = OpenLoop(state.start, references)
    _copy(state, loop, (*_LOOP, "usage", "tokens"))
    loop.closed.load(state.closed.floor, state.closed.repeats, state.closed.sparse)
    loop.turn = None if state.turn is None else _open_turn(state.turn)
    loop.last_turn = None if state.last_turn is None else _last_turn(state.last_turn, state.start)
    _fill(loop.happenings, state.happenings)
    loop.contents = None if state.contents is None else state.contents.contents()
    return loop


def _last_turn_state(turn: TurnClosed) -> LastTurn:
    return LastTurn(happened=_happened_states(turn.happened), **_named(turn, _LAST_TURN))


def _last_turn(state: LastTurn, start: LoopStart) -> TurnClosed:
    happened = tuple(_timed(item) for item in state.happened)
    return TurnClosed(loop=start, happened=happened, **_named(state, _LAST_TURN))


# --- turns -------------------------------------------------------------------------------------------------------------


def _turn_state(turn: OpenTurn) -> TurnState:
    return TurnState(
        happenings=_happenings_state(turn.happenings),
        tools=tuple([ToolState(**_named(tool, _TOOL)) for tool in turn.tools]),
        results=tuple([sealed(_whole(message)) for message in turn.results]),
        **_named(turn, _TURN),
    )


def _whole(message: ToolResultMessage) -> ToolResultMessage:
    """Returns a result message as it is written, whether it is lean or not."""
    if message.__class__ is ToolResultMessage:
        return message
    return ToolResultMessage(
        **{name: getattr(message, name) for name in ToolResultMessage.__struct_fields__ if hasattr(message, name)}
    )


def _open_turn(state: TurnState) -> OpenTurn:
    turn = OpenTurn(**_named(state, _TURN_MADE))
    _copy(state, turn, _TURN_LATER)
    turn.take_tools([_open_tool(tool) for tool in state.tools])
    turn.results = [unsealed(message) for message in state.results]
    _fill(turn.happenings, state.happenings)
    return turn


def _open_tool(state: ToolState) -> OpenTool:
    tool = OpenTool(state.call_id, state.name, state.started_ns, inferred=state.inferred)
    _copy(state, tool, _TOOL_LATER)
    return tool


# --- what happened -----------------------------------------------------------------------------------------------------


def _happenings_state(happenings: Happenings) -> HappeningsState:
    begun_ns, begun = happenings.compaction or (None, None)
    items = _happened_states(happenings.items)
    state = HappeningsState(items=items, dropped=happenings.dropped, compaction_ns=begun_ns, compaction=begun)
    return _or(NOTHING_HAPPENED, state)


def _fill(happenings: Happenings, state: HappeningsState) -> None:
    happenings.items = [_timed(item) for item in state.items]
    happenings.dropped = state.dropped
    if state.compaction is not None and state.compaction_ns is not None:
        happenings.compaction = (state.compaction_ns, state.compaction)


def _happened_states(items: tuple[Timed, ...] | list[Timed]) -> tuple[Happened, ...]:
    return tuple([_happened_state(item) for item in items])


def _happened_state(item: Timed) -> Happened:
    what = item.what
    if isinstance(what, Compaction):
        return Happened(time_ns=item.time_ns, started=what.started, ended=what.ended)
    if isinstance(what, GenericEvent):
        return Happened(time_ns=item.time_ns, unknown=sealed(what))
    return Happened(time_ns=item.time_ns, event=sealed(what))


def _timed(state: Happened) -> Timed:
    if state.event is not None:
        return Timed(state.time_ns, unsealed(state.event))
    if state.unknown is not None:
        return Timed(state.time_ns, unsealed(state.unknown))
    return Timed(state.time_ns, Compaction(state.started, state.ended))


# --- groups ------------------------------------------------------------------------------------------------------------


def group_state(group: OpenGroup, held: tuple[str, ...] | None) -> GroupState:
    """Returns an open group as a value; `held` is what `OpenGroups.held` says of it."""
    branches = tuple([Branch(loop, group.ended.get(loop)) for loop in group.started.values()])
    verdict = None if group.verdict is None else sealed(group.verdict)
    return GroupState(
        announced=sealed(group.announced), verdict=verdict, branches=branches, held=held, attributes=group.attributes
    )


def open_group(state: GroupState) -> OpenGroup:
    """Returns the open group that `group_state` was given."""
    group = OpenGroup(state.announced)
    for branch in state.branches:
        group.add(branch.loop)
        if branch.ended_ns is not None:
            group.end(branch.loop, branch.ended_ns)
    group.verdict, group.attributes = state.verdict, state.attributes
    return group
