"""Where the tool executions of closed turns stand, so that a loop that a tool ran hangs under it however late it ends.

Rule 1: only loops that were read from an agent's records are remembered: there a sub-agent's file can end long after its parent's turn.
Rule 2: the table is bounded. A tool forgotten is as one never seen: the loop stands under its parent loop, or the root.
"""

from __future__ import annotations

from collections import OrderedDict

from otel_phi.recorder.notices import ToolPlace, TurnClosed
from otel_phi.recorder.references import session_key

# The turns of an hour, several sub-agents at once; under 1 MB when full. Past it the tool that ended longest ago is forgotten.
MAX_REMEMBERED_TOOLS = 4_096


class ToolPlaces:
    """Remembers the latest tool executions, by session and call id."""

    def __init__(self) -> None:
        self._places: OrderedDict[tuple[str, str], ToolPlace] = OrderedDict()

    def __len__(self) -> int:
        return len(self._places)

    def take(self, turn: TurnClosed) -> None:
        """Remembers the executions of a turn."""
        if turn.loop.source is None:
            return
        loop = turn.loop.identity
        for tool in turn.tools:
            if tool.outcome != "not_executed":
                place = ToolPlace(loop, turn.index, turn.repeat, tool.call_id, tool.repeat)
                self._places[session_key(loop.session_id), tool.call_id] = place
        while len(self._places) > MAX_REMEMBERED_TOOLS:
            self._places.popitem(last=False)

    def find(self, session_id: str, call_id: str) -> ToolPlace | None:
        """Returns where the latest execution of a call stands, None where it is not remembered."""
        return self._places.get((session_key(session_id), call_id))
