"""The shelves: all stocks the courier takes spans from, in order, with what is under way from each."""

from __future__ import annotations

import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from otel_phi.delivery.claims import Claims
from otel_phi.delivery.outbox import Outbox
from otel_phi.delivery.rows import Item
from otel_phi.delivery.sending.batch import Batch, Settled
from otel_phi.delivery.sending.counts import Counts
from otel_phi.delivery.sending.stats import LiveStats
from otel_phi.delivery.statements import SLICE_ROWS
from otel_phi.delivery.stocks import OutboxStock, RootStock, SpillStock, Stock
from otel_phi.delivery.store import Store

BREATH_S = 0.0005  # RELIABILITY 2.8: 20 rows and half a millisecond keep the agent's p99 at 0.35 ms
DAMAGED, PURGED = "damaged", "purged"
_LOOK_ROWS = 200  # looked up at one hold of the locks: a tenth of a millisecond
_KEY = struct.Struct(">QQ")  # stock, row


class Shelves:
    """Gathers requests and settles them. Used by the courier's thread alone.

    Roots come first, then our own rows, then those of dead processes in the order they were adopted.

    Args:
        store: our own stocks.
        counts: gets what becomes of the spans.
        max_bytes: bound of a request before compression.

    Attributes:
        purged: rows that were under way have been purged by others; there may be more of them.
        gate: held while files are used that no other lock guards; a fork waits for it.
    """

    def __init__(self, store: Store, counts: Counts[LiveStats], max_bytes: int) -> None:
        self.gate = threading.Lock()
        self._store = store
        self._counts = counts
        self._max_bytes = max_bytes
        self._roots = RootStock(store)
        self._claims = Claims(store, counts)
        self._stocks: dict[int, Stock] = {0: self._roots, 1: SpillStock(store, self._claims)}
        self._last = 1
        self._carry: dict[int, list[Item]] = {}
        self._under_way: Counter[int] = Counter()
        self._again: list[Callable[[], bool]] = []
        self.purged = False

    @property
    def idle(self) -> bool:
        """Tells whether nothing is under way."""
        return not any(self._under_way.values())

    @property
    def waiting(self) -> int:
        """Returns how many rows wait in files, those under way left out."""
        return sum(outbox.rows - self._under_way[number] for number, outbox in self._files())

    @property
    def roots_under_way(self) -> set[int]:
        """Returns the numbers of the roots under way."""
        return self._roots.under_way

    @property
    def adopted(self) -> list[Outbox]:
        """Returns the files of dead processes, the oldest adoption first."""
        return [outbox for _, outbox in self._files() if outbox is not self._store.outbox]

    def adopt(self, outbox: Outbox) -> None:
        """Takes a dead process's file; its rows count as accepted by this one from now on."""
        self._counts.add(accepted=outbox.rows, queued=outbox.rows, adopted=outbox.rows)
        self._add(outbox)

    def claim(self) -> bool:
        """Claims a slice of roots that could not be claimed in time; False if there is none, or it is still too early."""
        return any(self._claims.from_file(outbox) for _, outbox in self._files())

    def gather(self) -> Batch | None:
        """Returns a request's worth of spans that share an envelope; what no longer fits is carried to the next."""
        keys: list[bytes] = []
        entries: list[bytes] = []
        envelope, size = None, 0
        for number, found in self._slices():
            for at, item in enumerate(found):
                envelope = envelope or item.envelope
                more = size + len(item.entry) if entries else envelope.size_bytes + len(item.entry)
                if entries and (more > self._max_bytes or item.envelope.parts != envelope.parts):
                    self._carry[number] = found[at:]
                    return Batch(envelope, tuple(entries), tuple(keys), size)
                size = more
                entries.append(item.entry)
                keys.append(_KEY.pack(number, item.number))
        return Batch(envelope, tuple(entries), tuple(keys), size) if envelope else None

    def missing(self, keys: Iterable[bytes]) -> set[bytes]:
        """Returns those of the keys under way whose spans were purged. Called by the sender's thread."""
        missing: set[bytes] = set()
        for number, rows in _by_stock(keys).items():
            stock = self._stocks.get(number)
            for start in range(0, len(rows) if stock is not None else 0, _LOOK_ROWS):
                some = rows[start : start + _LOOK_ROWS]
                with self.gate:
                    found = stock.present(some) if stock is not None else set(some)
                missing.update(_KEY.pack(number, row) for row in some if row not in found)
        return missing

    def settle(self, settled: Settled) -> None:
        """Lets rows go, slice by slice, then counts them: what the counts call settled is off the disk."""
        buckets: Counter[str] = Counter()
        for start in range(0, settled.batch.count, SLICE_ROWS):
            for stock_number, rows in _by_stock(settled.batch.keys[start : start + SLICE_ROWS]).items():
                stock = self._stocks.get(stock_number)  # none, if its file was set aside meanwhile
                buckets.subtract(stock.buckets(rows) if stock else {"queued": len(rows)})
                if stock is not None:
                    self._let_go(stock, rows, settled.dead)
                self._under_way[stock_number] -= len(rows)
        count = settled.batch.count
        self.purged |= settled.discarded == PURGED
        if settled.discarded is not None:
            self._counts.drop(settled.discarded, count, **buckets)
        elif settled.dead is not None:
            self._counts.add(dead=count, **buckets)
        else:
            self._counts.add(acknowledged=count - settled.rejected, rejected=settled.rejected, **buckets)

    def tidy(self) -> None:
        """Puts our own file on, replaces one that is damaged, closes adopted ones that are drained. Holds `gate`."""
        self._again = [step for step in self._again if not step()]
        own = self._store.outbox
        files = self._files()
        for number, outbox in files:
            if outbox.damaged:
                self._lose(number, outbox)
            elif outbox is not own and not self._under_way[number] and outbox.rows <= 0:
                outbox.close()
                del self._stocks[number]
        own = self._store.outbox
        if own is not None and all(outbox is not own for _, outbox in files):
            self._add(own)

    def recount(self) -> None:
        """Finds what others purged or retried in files of ours, and reads from the first row again. Holds `gate`."""
        if not self.idle or self._carry or self._again:
            return
        self.purged = False
        for _, outbox in self._files():
            gone = outbox.recount()
            if gone > 0:
                self._counts.drop(PURGED, gone, queued=-gone)
            elif gone < 0:
                self._counts.add(queued=-gone, dead=gone)
        self._recount_roots()

    def write_off(self) -> None:
        """Counts as lost what was under way from files that were set aside: the sender is closed, nobody will send it."""
        for number in [number for number in self._under_way if number not in self._stocks]:
            lost = self._under_way.pop(number)
            self._counts.drop(DAMAGED, lost, queued=-lost)

    def close(self) -> None:
        """Closes all files; those with nothing left are removed, the others are for whoever comes next."""
        for _, outbox in self._files():
            own = outbox is self._store.outbox
            owed = own and self._store.known is not None and bool(self._store.known.waiting(outbox.name))
            outbox.close(keep=owed)
        if self._store.known is not None:
            self._store.known.write_loops()
            self._store.known.close()

    def _recount_roots(self) -> None:
        own, known = self._store.outbox, self._store.known
        believed = self._store.roots  # before the table is asked: a root claimed meanwhile is none too few
        found = known.waiting(own.name) if own is not None and known is not None else None
        if found is not None and found < believed:
            self._store.owe(found - believed)
            self._counts.drop(PURGED, believed - found, queued=found - believed)
        self._store.owes_roots = True

    def _lose(self, number: int, outbox: Outbox) -> None:
        lost = max(outbox.rows - self._under_way[number] - len(outbox.held), 0)
        del self._stocks[number]
        self._store.set_aside(outbox)
        self._counts.drop(DAMAGED, lost, queued=-lost)

    def _slices(self) -> Iterator[tuple[int, list[Item]]]:
        for number, stock in list(self._stocks.items()):
            while True:
                found = self._carried(number, stock)
                if not found:
                    with self.gate:
                        found = stock.load()
                    self._under_way[number] += len(found)
                if not found:
                    break
                yield number, found
                time.sleep(BREATH_S)

    def _carried(self, number: int, stock: Stock) -> list[Item]:
        """Returns what had no room in the last request, which may have been long ago: not what was purged since."""
        found = self._carry.pop(number, [])
        missing = {_KEY.unpack(key)[1] for key in self.missing(_KEY.pack(number, item.number) for item in found)}
        if missing:
            rows = sorted(missing)
            self._under_way[number] -= len(rows)
            buckets = stock.buckets(rows)
            self._let_go(stock, rows, None)
            self._counts.drop(PURGED, len(rows), **{name: -count for name, count in buckets.items()})
            self.purged = True
        return [item for item in found if item.number not in missing]

    def _let_go(self, stock: Stock, rows: list[int], dead: str | None) -> None:
        step = _step(stock, rows, dead)
        with self.gate:
            if not step():
                # A full disk: while we live the rows are not read again, and deleting them is tried again.
                self._again.append(step)
        time.sleep(BREATH_S)

    def _add(self, outbox: Outbox) -> None:
        self._last += 1
        self._stocks[self._last] = OutboxStock(outbox)

    def _files(self) -> list[tuple[int, Outbox]]:
        return [(number, stock.outbox) for number, stock in self._stocks.items() if isinstance(stock, OutboxStock)]


def _by_stock(keys: Iterable[bytes]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for key in keys:
        stock, number = _KEY.unpack(key)
        found.setdefault(stock, []).append(number)
    return found


def _step(stock: Stock, rows: list[int], dead: str | None) -> Callable[[], bool]:
    return lambda: stock.delete(rows) if dead is None else stock.bury(rows[0], dead)
