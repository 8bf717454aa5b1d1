"""Lookups: what a journal's live thread asks of the table that processes share, each answer written down as a fact.

Rule 1: nothing that was built on an answer leaves before its fact is in the journal: a replay needs no other table, and makes
        the same bytes.
"""

from __future__ import annotations

from otel_phi.delivery.journal.facts import LookedUp, Position, RootClaimed
from otel_phi.delivery.journal.journal import Journal
from otel_phi.delivery.journal.known import Known
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.identities import UNKNOWN, LoopIdentity
from otel_phi.recorder.references import session_key


class Lookups:
    """Lookups are asked for one journal. For one thread.

    Args:
        journal: where answers are written down, and found again in a replay.
        known: what the processes of this machine know together.
    """

    def __init__(self, journal: Journal, known: Known) -> None:
        self._journal, self._known = journal, known

    def up(self, position: Position, loop_id: str | None, core: RecorderCore, before_ns: int | None = None) -> None:
        """Finds a loop that a stream refers to and has not shown: another process, or an earlier one, may have.

        Args:
            position: of the fact that refers to it.
            loop_id: the loop, None for none.
            core: remembers it.
            before_ns: when it must have begun at the latest; None where that does not matter.
        """
        if not loop_id or core.seen(loop_id):
            return
        found = self._journal.looked_up.get(position)
        if found is None:
            session_id, started_ns = self._known.loop(loop_id) or (None, 0)
            found = LookedUp(at=position, loop_id=loop_id, session_id=session_id, started_ns=started_ns)
            self._journal.write(found)
        if found.session_id is not None and (before_ns is None or found.started_ns < before_ns):
            core.remember(LoopIdentity(found.session_id, loop_id, found.started_ns, UNKNOWN))

    def remember(self, loop: LoopIdentity) -> None:
        """Tells other processes of a loop."""
        self._known.remember(loop.loop_id, loop.session_id, loop.started_ns)

    def claim_root(self, position: Position, session_id: str) -> bool:
        """Says whether a session's root is this journal's to send: the first to claim it sends it."""
        written = self._journal.claimed.get(position)
        if written is not None:
            return written.won
        name = self._journal.head.destination.name
        won = self._known.claim_root(name, session_key(session_id), self._journal.owner)
        self._journal.write(RootClaimed(at=position, session=session_id, won=won))
        return won
