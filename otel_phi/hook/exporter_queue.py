"""The queue of one exporter: a journal's batches that wait for it or are under way, and how far all of them are settled."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

from otel_phi.delivery.journal.facts import Position
from otel_phi.delivery.sending.batch import Batch, Settled
from otel_phi.hook.live_sender import LiveSender


class _Sent:
    """A batch that is waiting or under way: how many of its spans are not settled, and what is settled once all are.

    What lies before `after` is settled as soon as all batches before it are: facts that made no span.
    """

    __slots__ = ("after", "position", "size_bytes", "unsettled")

    def __init__(self, batch: Batch, after: Position, position: Position) -> None:
        self.after, self.position = after, position
        self.unsettled = batch.count
        self.size_bytes = batch.size_bytes


class ExporterQueue:
    """An exporter's queue holds batches in order and moves a mark behind what is settled. For one thread.

    Args:
        sender: delivers the batches; shared by the journals of a process.
        mark: how far an earlier process came; what lies at or before it is not sent again.

    Attributes:
        mark: the end of the last fact before which everything is settled.
        size_bytes: of the batches not settled whole.
    """

    def __init__(self, sender: LiveSender, mark: Position) -> None:
        self._sender = sender
        self._ready: deque[Batch] = deque()
        self._order: deque[_Sent] = deque()
        self._by_key: dict[bytes, _Sent] = {}
        self.mark = mark
        self.size_bytes = 0

    @property
    def empty(self) -> bool:
        """Whether everything that was put here is settled."""
        return not self._order

    def put(self, batch: Batch, after: Position, position: Position) -> None:
        """Takes a batch; everything up to `after` is in those before it, up to `position` in it too."""
        sent = _Sent(batch, after, position)
        self.settled_to(after)
        self._order.append(sent)
        self._by_key.update(dict.fromkeys(batch.keys, sent))
        self._ready.append(batch)
        self.size_bytes += sent.size_bytes

    def push(self) -> None:
        """Hands the sender as much as it has room for."""
        while self._ready and self._sender.offer(self._ready[0]):
            self._ready.popleft()

    def settle(self, settled: Settled) -> bool:
        """Takes what became of a batch or a part of one; False if none of it is from here."""
        mine = False
        for key in settled.batch.keys:
            sent = self._by_key.pop(key, None)
            if sent is not None:
                sent.unsettled -= 1
                mine = True
        while self._order and not self._order[0].unsettled:
            done = self._order.popleft()
            self.mark = max(self.mark, done.position)
            self.size_bytes -= done.size_bytes
        if mine and self._order:
            self.mark = max(self.mark, self._order[0].after)
        return mine

    def settled_to(self, position: Position) -> None:
        """Moves the mark where nothing is waiting or under way: facts that made no span are settled with that."""
        if not self._order:
            self.mark = max(self.mark, position)

    def take_back(self, keys: Collection[bytes]) -> Iterable[Batch]:
        """Returns what of some keys has not been handed to the sender yet; it is out of the queue, and the caller settles it.

        The sender settles what it has of them itself: they are unwanted by now.
        """
        kept: deque[Batch] = deque()
        taken: list[Batch] = []
        for batch in self._ready:
            rest, gone = batch.without(keys)
            if rest is not None:
                kept.append(rest)
            if gone is not None:
                taken.append(gone)
        self._ready = kept
        self._sender.let_go()
        return taken
