"""A journal's facts replayed through a recorder, as its sender does it, but with nothing written down and nothing sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from otel_phi.delivery.journal.facts import (
    Called,
    Carried,
    End,
    Entry,
    Head,
    LookedUp,
    Position,
    Purge,
    Purged,
    RootClaimed,
    Snapshot,
    Unreadable,
)
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.identities import UNKNOWN, LoopIdentity
from otel_phi.recorder.notices import Notice
from otel_phi.wire.costs import Price
from otel_phi.wire.events import AgentEvent, AgentStart

# What opens or closes a loop, turn or group. All else needs no decoding where only that is asked, and each loop has a turn.
STRUCTURAL = tuple(
    f'{{"type":"{name}"'.encode()
    for name in (
        "AgentStart", "_Called", "AgentEnd", "TurnStart", "TurnEnd", "ParallelLoopStart", "ParallelLoopEnd", "End", "Purge"
    )
)  # fmt: skip


def is_structural(body: bytes) -> bool:
    """Tells whether a line opens or closes something."""
    return body.startswith(STRUCTURAL)


class Replay:
    """A replay takes entries in order and says what they open and close.

    Args:
        state: the snapshot before the first entry, None for nothing.
        looked_up: what the sender found in `known`, by the position it is about.
        price: says what model calls cost, None for nobody.

    Attributes:
        core: what is open after the entries so far.
        bad_states: how many snapshots were of another format, or damaged; what was open before them is not known.
    """

    def __init__(
        self,
        state: bytes | None,
        looked_up: Mapping[Position, LookedUp] | None = None,
        price: Price | None = None,
    ) -> None:
        self.bad_states = 0
        self._price = price
        self.core = RecorderCore(price=price) if state is None else self._restored(state)
        self._looked_up = looked_up or {}

    def _restored(self, state: bytes) -> RecorderCore:
        try:
            core = RecorderCore.restore(state)
        except ValueError:
            self.bad_states += 1
            core = RecorderCore()
        core.price_with(self._price)
        return core

    def take(self, entry: Entry) -> Sequence[Notice]:
        """Takes an entry; returns what it opened and closed."""
        fact = entry.fact
        match fact:
            case Called(event=event, caller=caller):
                return self._record(entry.position, event, caller)
            case End():
                return self.core.flush()
            case Purge(session=session):
                if session is None:
                    self.core.forget_all()
                else:
                    self.core.forget_session(session)
            case Snapshot(state=state):
                self.core = self._restored(state)
            case Head() | Carried() | LookedUp() | RootClaimed() | Purged() | Unreadable():
                pass
            case _:
                return self._record(entry.position, fact, None)
        return ()

    def _record(self, position: Position, event: AgentEvent, caller: str | None) -> Sequence[Notice]:
        found = self._looked_up.get(position)
        if found is not None and found.session_id is not None and not self.core.seen(found.loop_id):
            before_ns = int(event.timestamp) if isinstance(event, AgentStart) else None
            if before_ns is None or found.started_ns < before_ns:
                self.core.remember(LoopIdentity(found.session_id, found.loop_id, found.started_ns, UNKNOWN))
        return self.core.on_event(event, caller)
