"""Where the tool executions of closed turns stand, so that a loop that a tool ran hangs under it however late it ends.

Rule 1: only loops that were read from an agent's records are remembered: there a sub-agent's file can end long after its parent's turn.
Rule 2: the table is bounded. A tool forgotten is as one never seen: the loop stands under its parent loop, or the root.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

import msgspec

from otel_phi.recorder.identities import ToolPlace, is_same
from otel_phi.recorder.loops import OpenLoop
from otel_phi.recorder.notices import LoopStart, Notice, TurnClosed
from otel_phi.recorder.references import session_key

# The turns of an hour, several sub-agents at once; under 1 MB when full. Past it the tool that ended longest ago is forgotten.
MAX_REMEMBERED_TOOLS = 4_096


class ToolPlaces:
    """Remembers the latest tool executions, by session and call id."""

    def __init__(self) -> None:
        self._places: OrderedDict[tuple[str, str], ToolPlace] = OrderedDict()

    def __len__(self) -> int:
        return len(self._places)

    def take(self, notices: Iterable[Notice]) -> None:
        """Remembers the executions of the turns that have closed."""
        for notice in notices:
            if isinstance(notice, TurnClosed) and notice.loop.source is not None:
                self._take(notice)

    def _take(self, turn: TurnClosed) -> None:
        for tool in turn.tools:
            if tool.outcome != "not_executed":
                self.put(ToolPlace(turn.loop.identity, turn.index, turn.repeat, tool.call_id, tool.repeat))
        while len(self._places) > MAX_REMEMBERED_TOOLS:
            self._places.popitem(last=False)

    def put(self, place: ToolPlace) -> None:
        """Remembers one execution, as the latest."""
        key = (session_key(place.loop.session_id), place.call_id)
        self._places.pop(key, None)
        self._places[key] = place

    def all(self) -> Iterable[ToolPlace]:
        """Returns what is remembered, the one forgotten next first."""
        return self._places.values()

    def under(self, start: LoopStart, open_loops: Mapping[str, OpenLoop]) -> LoopStart:
        """Returns a loop's start with the place of the tool that ran it, if it is known now and was not before."""
        if start.tool_call_id is None or start.tool is not None:
            return start
        place = _in_open_turn(start, start.tool_call_id, open_loops)
        if place is None:
            place = self._places.get((session_key(start.identity.session_id), start.tool_call_id))
        # Of a loop that began before: so no circle can form, whatever the loops name as their parents.
        if place is None or (start.parent is None and place.loop.started_ns >= start.identity.started_ns):
            return start
        return msgspec.structs.replace(start, tool=place)


def _in_open_turn(start: LoopStart, call_id: str, open_loops: Mapping[str, OpenLoop]) -> ToolPlace | None:
    """Returns the place of a tool in an open turn: of the parent loop, or, where none is named, of any loop of the session that was read."""
    if start.parent is not None:
        parent = open_loops.get(start.parent.loop_id)
        return (
            parent.tool_place(call_id) if parent is not None and is_same(parent.start.identity, start.parent) else None
        )
    if start.source is None:
        return None
    key = session_key(start.identity.session_id)
    others = (one for one in open_loops.values() if not is_same(one.start.identity, start.identity))
    found = (one.tool_place(call_id) for one in others if session_key(one.start.identity.session_id) == key)
    return next((place for place in found if place is not None), None)
