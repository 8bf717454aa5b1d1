"""Upkeep: what the courier does now and then. Adoption, bounds, checkpoints, the counters that `status` shows."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from pathlib import Path

import msgspec

from otel_phi.delivery import outbox_schema, unsaid
from otel_phi.delivery.adoption import Adoption, by_age, rows_in, shrink, unheld, written_ns
from otel_phi.delivery.known_bounds import SHARE, KnownBounds
from otel_phi.delivery.outbox import CLOCK_SET_NS, Outbox
from otel_phi.delivery.sending.counts import Counts
from otel_phi.delivery.sending.stats import LiveStats
from otel_phi.delivery.shelves import Shelves
from otel_phi.delivery.store import Store

SCAN_S = 5.0  # a dead process's spans wait that long; a scan lists one folder
RECOUNT_S = 60.0
SWEEP_S = 3_600.0
# "A few MiB" (RELIABILITY 8): larger logs make checkpoints long, smaller ones make them many.
WAL_BYTES = 4 << 20
# Files of dead processes held at once, at four descriptors each: agents that end often leave hundreds while a collector is
# down, and descriptors are the agent's.
MAX_ADOPTED = 8
_FREE_BYTES = 1 << 20  # of a file that may stay unused
_LEAST_ROW_BYTES = 64  # on disk: a span's two ids and two times take 46, its key 24
_GIVE_BACKS = 64  # a quarter of a MiB each: what a second has to evict at most
OUTBOX_FULL, TOO_OLD = "outbox_full", "too_old"


class Limits(msgspec.Struct, frozen=True):
    """Bounds of the whole outbox folder; what is over them goes, the oldest first.

    Attributes:
        bytes: on disk; an eighth of it at most for the table that all processes share.
        age_s: of a span, a root that waits, a dead letter, or a file set aside.
        spans: of all files, whoever they are of; session roots that wait are bounded by bytes and age alone.
    """

    bytes: int = 256 << 20  # RELIABILITY 5.4; some 300,000 spans without content
    age_s: float = 7 * 86_400.0
    spans: int = 1_000_000


class Upkeep:
    """Knows what is due. Used by the courier's thread alone, but for `hurry`.

    Args:
        store: our own spans.
        shelves: gets what is adopted.
        counts: gets what is evicted.
        limits: the folder's bounds.

    Attributes:
        scans: how often the folder was looked through.
        more: files of dead processes wait until some of those held are sent.
    """

    def __init__(self, store: Store, shelves: Shelves, counts: Counts[LiveStats], limits: Limits) -> None:
        self._store = store
        self._shelves = shelves
        self._counts = counts
        self._limits = limits
        self._adoption = Adoption(store.place.folder, store.place.destination)
        self._due = {"scan": 0.0, "bounds": 0.0, "count": 0.0, "recount": time.monotonic() + RECOUNT_S, "sweep": 0.0}
        self._told = LiveStats()
        self._told_trouble: str | None = None
        self.scans = 0
        self.more = False

    def hurry(self) -> None:
        """Makes the next round look through the folder."""
        self._due["scan"] = 0.0

    def run(self, trouble: str | None) -> None:
        """Does what is due. The caller holds the shelves' gate.

        Args:
            trouble: why nothing gets through now, None while all is well.
        """
        self._shelves.tidy()
        if self._store.outbox is None:
            self.scans += 1
            return
        for outbox in (self._store.outbox, *self._shelves.adopted):
            outbox.checkpoint(WAL_BYTES)
        if self._store.known is not None:
            self._store.known.write_loops()
        if self._is_due("scan", SCAN_S) or (self.more and len(self._shelves.adopted) <= MAX_ADOPTED // 2):
            self._scan(trouble)
        if self._is_due("bounds", 1.0):
            if self._store.known is not None:
                self._store.known.checkpoint()
            self._enforce()
        if self._is_due("recount", RECOUNT_S) or self._shelves.purged:
            self._shelves.recount()
        if self._is_due("sweep", SWEEP_S) and self._store.known is not None:
            self._store.known.sweep()

    def tell(self, trouble: str | None) -> None:
        """Adds what happened since the last time to the destination's counters."""
        now, told, known = self._counts.now, self._told, self._store.known
        if known is None or (now == told and trouble == self._told_trouble):
            return
        dropped = sum(count for _, count in now.dropped) - sum(count for _, count in told.dropped)
        added = (now.acknowledged - told.acknowledged, now.rejected - told.rejected, now.dead - told.dead, dropped)
        known.count(self._store.place.endpoint, added, trouble)
        self._told, self._told_trouble = now, trouble

    def _is_due(self, what: str, every_s: float) -> bool:
        now = time.monotonic()
        if now < self._due[what]:
            return False
        self._due[what] = now + every_s
        return True

    def _scan(self, trouble: str | None) -> None:
        self._store.renew()
        found, more = self._adoption.scan(MAX_ADOPTED - len(self._shelves.adopted))
        for outbox in found:
            self._shelves.adopt(outbox)
        self.more = more  # after that: whoever waits for a flush looks at both
        own, known = self._store.outbox, self._store.known
        if own is not None and known is not None:
            taken = known.take_over(own.name, self._is_dead)
            if taken:
                self._counts.add(accepted=taken, queued=taken, adopted=taken)
                self._store.owe(taken)
        if bounds := self._known_bounds():
            self._give_up_roots(TOO_OLD, bounds.expire(self._oldest_ns(), self._shelves.roots_under_way))
        self.tell(trouble)
        self.scans += 1

    # --- bounds ----------------------------------------------------------------------------------------------------

    def _enforce(self) -> None:
        oldest_ns = self._oldest_ns()
        if bounds := self._known_bounds():
            self._give_up_roots(OUTBOX_FULL, bounds.shrink(self._limits.bytes // SHARE, self._shelves.roots_under_way))
        held = self._held()
        for outbox in held:
            self._evict(outbox, TOO_OLD, older_than_ns=oldest_ns)
            outbox.forget_dead(oldest_ns)
        for path in self._files():
            if CLOCK_SET_NS <= written_ns(path) < oldest_ns:
                self._remove_unheld(path, TOO_OLD)
        over = self._used_bytes() - self._limits.bytes
        if over > 0:
            self._make_room(over)
        # The files of others are opened only where they may hold so many, and not each second.
        many = self._used_bytes() > self._limits.spans * _LEAST_ROW_BYTES and self._is_due("count", SCAN_S)
        mine = sum(outbox.rows for outbox in held)
        if many or mine > self._limits.spans:
            self._make_fewer(mine)

    def _make_fewer(self, mine: int) -> None:
        """Keeps to the count of spans, in the order of `_make_room`."""
        held = self._held()
        found = {path: rows_in(path) for path in self._files() if all(outbox.path != path for outbox in held)}
        over = mine + sum(found.values()) - self._limits.spans
        for path, rows in found.items():
            if over > 0 and self._remove_unheld(path, OUTBOX_FULL):
                over -= rows
                found[path] = 0
        over = over * mine // max(mine + sum(found.values()), 1) + (over > 0)
        for outbox in held:
            while over > 0 and (gone := self._evict_slice(outbox, OUTBOX_FULL)):
                over -= gone

    def _known_bounds(self) -> KnownBounds | None:
        known, own = self._store.known, self._store.outbox
        if known is None or own is None:
            return None
        return KnownBounds(known, lambda owner: owner == own.name or self._is_dead(owner))

    def _give_up_roots(self, reason: str, gone: Counter[str]) -> None:
        """Counts roots that waited and had to go, given by owner."""
        own = self._store.outbox
        ours = gone.pop(own.name, 0) if own is not None else 0
        others = sum(gone.values())
        self._store.owe(-ours)
        self._counts.drop(reason, ours, queued=-ours)
        self._counts.drop(reason, others, accepted=others, adopted=others)

    def _is_dead(self, name: str) -> bool:
        """Tells whether an owner of roots is dead; those we adopted do not look so, since we hold their locks."""
        return any(outbox.name == name for outbox in self._shelves.adopted) or self._adoption.is_dead(name)

    def _make_room(self, over: int) -> None:
        """Removes whole files nobody holds, then rows of those we adopted, then our own, the oldest first."""
        files = self._files()
        over -= sum(shrink(path) for path in files)
        for path in files:
            if over <= 0:
                return
            over -= self._remove_unheld(path, OUTBOX_FULL)
        held = self._held()
        mine, all_of_it = sum(outbox.used_bytes() for outbox in held), self._used_bytes()
        # What is held by others is theirs to shrink, and they do, each second: of several, each gives its part.
        over = over * mine // max(all_of_it, 1) + 1
        for outbox in held:
            while over > 0:
                before = outbox.used_bytes()
                if not self._evict_slice(outbox, OUTBOX_FULL):
                    break
                over -= before - outbox.used_bytes()
            self._give_back(outbox)

    def _give_back(self, outbox: Outbox) -> None:
        """Returns free pages to the file system: other processes see the file's size alone."""
        for _ in range(_GIVE_BACKS):
            if outbox_schema.size_bytes(outbox.path) - outbox.used_bytes() < _FREE_BYTES:
                return
            outbox.checkpoint(0)

    def _oldest_ns(self) -> int:
        return time.time_ns() - int(self._limits.age_s * 1e9)

    def _held(self) -> list[Outbox]:
        own = self._store.outbox
        return [*self._shelves.adopted, *([own] if own else [])]

    def _evict(self, outbox: Outbox, reason: str, *, older_than_ns: int) -> None:
        while self._evict_slice(outbox, reason, older_than_ns):
            pass

    def _evict_slice(self, outbox: Outbox, reason: str, older_than_ns: int | None = None) -> int:
        gone = outbox.evict(older_than_ns=older_than_ns)
        if gone:
            self._counts.drop(reason, gone, queued=-gone)
        return gone

    def _used_bytes(self) -> int:
        """Returns what the folder holds; of files we hold, the pages in use: the rest is used again, the logs are short."""
        held = {outbox.path.name: outbox for outbox in self._held()}
        ours = {name + suffix for name in held for suffix in ("-wal", "-shm")}
        total = 0
        for path in self._store.place.folder.glob("*"):
            if path.name in ours:
                continue
            with contextlib.suppress(OSError):
                outbox = held.get(path.name)
                total += path.stat().st_size if outbox is None else outbox.used_bytes()
        return total

    def _files(self) -> list[Path]:
        """Returns all outboxes and files set aside, whoever they are of, the oldest first."""
        folder = self._store.place.folder
        return by_age(folder, f"*-*{outbox_schema.SUFFIX}") + by_age(folder, f"*{outbox_schema.SET_ASIDE}")

    def _remove_unheld(self, path: Path, reason: str) -> int:
        """Removes a file that no living process holds, counts its spans, and returns its bytes."""
        gone = unheld(path) if path.exists() else None
        if gone is None:
            return 0
        spans, size = gone
        self._counts.drop(reason, spans, accepted=spans, adopted=spans)
        unsaid.warn("%s is removed with %d spans: %s", path, spans, reason.replace("_", " "))
        return size
