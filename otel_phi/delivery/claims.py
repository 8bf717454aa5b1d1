"""Claims made late: session roots whose process could not ask the table of all processes within the agent's 5 ms.

Rule 1: of all processes of a session one wins, late or not: it sends the root, from the table; the others drop theirs.
Rule 2: what is won is in the table before it is deleted where it was: killed in between, it leaves once all the same.
Rule 3: a root that another process has was never ours: it is taken out of what this one accepted.
"""

from __future__ import annotations

import sqlite3

from otel_phi.delivery.outbox import Outbox
from otel_phi.delivery.outbox_recovery import start_of
from otel_phi.delivery.rows import Claim, Item
from otel_phi.delivery.sending.counts import Counts
from otel_phi.delivery.sending.stats import LiveStats
from otel_phi.delivery.store import Store

_WAIT_S = 0.1  # for the table; a fork may be waiting for us, and the next round asks again


class Claims:
    """Settles them. Used by the courier's thread alone, with the shelves' gate held.

    Args:
        store: says who we are.
        counts: gets what becomes of them.
    """

    def __init__(self, store: Store, counts: Counts[LiveStats]) -> None:
        self._store = store
        self._counts = counts

    def from_file(self, outbox: Outbox) -> bool:
        """Claims a slice of a file's; False if there was none, or the table is still busy."""
        try:
            found = outbox.claimable()
        except sqlite3.Error as error:
            outbox.failed(error)
            return False
        return bool(found) and all(self._settled(outbox, claim) for claim in found)

    def from_memory(self, found: list[Item]) -> list[Item]:
        """Returns what is to be sent of what the disk does not take: a root of another process, or in the table, is not."""
        return [item for item in found if not (item.unclaimed and self._settled_in_memory(item))]

    def _settled(self, outbox: Outbox, claim: Claim) -> bool:
        known = self._store.known
        won = self._won(claim, adopted=outbox.adopted)
        if won is None:
            # Where there is no table, and never will be, it leaves as it is.
            return (known is None or not known.usable or self._store.outbox is None) and outbox.release(claim.number)
        if not outbox.delete([claim.number]):
            return False  # a full disk: another time it will be found claimed
        gone = -int(outbox.adopted)
        self._counts.add(accepted=-1, queued=-1, adopted=gone)
        return True

    def _settled_in_memory(self, item: Item) -> bool:
        row = self._store.spill.under_way(item.number)
        if row is None or self._won(Claim(item.number, item.envelope, row), adopted=False) is None:
            return False
        self._store.spill.settle(item.number)
        self._counts.add(accepted=-1, deferred=-1)
        return True

    def _won(self, claim: Claim, *, adopted: bool) -> bool | None:
        """Claims a root; whoever wins counts what is in the table, besides the row that is still to be deleted."""
        known, own = self._store.known, self._store.outbox
        if known is None or own is None:
            return None
        won = known.claim(claim.row, start_of(claim.row.entry), claim.envelope, own.name, wait_s=_WAIT_S)
        if won:
            self._counts.add(accepted=1, queued=1, adopted=int(adopted))
            self._store.owe(1)
        return won
