"""Spans that are ready: made before, kept on disk, and sent as they are: dead letters to be tried again, an old outbox's rows.

    source ─ read ─▶ batch ─▶ ExporterQueue ─▶ sender ─▶ what became of it ─▶ source: forget them, or keep as dead letters

It stands beside `JournalExport` in the live thread's list and has the same methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from otel_phi.delivery.journal.facts import START, Position
from otel_phi.delivery.otlp.encoder import Envelope
from otel_phi.delivery.sending.batch import Batch, Settled
from otel_phi.hook.accounts import Accounts
from otel_phi.hook.exporter_queue import ExporterQueue
from otel_phi.hook.journal_batches import ExportOptions
from otel_phi.hook.journal_export import ADOPTED_AHEAD_BYTES, PURGED

READ_BYTES = 256 << 10
_NUMBER_AT = 4  # of a key: what is before it says whose spans these are


class ReadySpan(NamedTuple):
    """A span that is to be sent as it is.

    Attributes:
        number: tells it from the others of its source.
        entry: the span's bytes.
        envelope: the bytes around it.
    """

    number: int
    entry: bytes
    envelope: tuple[bytes, ...]


class ReadySource(Protocol):
    """A source of ready spans, claimed by this process."""

    def read(self, max_bytes: int) -> list[ReadySpan]:
        """Returns the next spans; none at the end."""

    def forget(self, numbers: Sequence[int]) -> None:
        """Removes spans that are settled. What the disk does not take now is sent again one day, the same bytes."""

    def refused(self, number: int, reason: str) -> bool:
        """Makes a dead letter of a span; False where there is no room: it is lost."""

    def is_gone(self, number: int) -> bool:
        """Tells whether a span was purged meanwhile."""

    def close(self, *, delete: bool) -> None:
        """Lets it go; all of it is settled if it is to be deleted."""


class ReadySpans:
    """An export of ready spans reads a source, hands batches on, and has the source forget what is settled. For one thread.

    Args:
        source: where they lie.
        queues: one an exporter.
        accounts: where spans are counted.
        number: tells these spans from those of journals that go through the same senders.
        options: what all exports of the process have in common.

    Attributes:
        ended: whether the source was read to its end.
    """

    def __init__(
        self,
        source: ReadySource,
        queues: Sequence[ExporterQueue],
        accounts: Accounts,
        *,
        number: int,
        options: ExportOptions,
    ) -> None:
        self._source, self._queues, self._accounts, self._options = source, queues, accounts, options
        self._prefix = number.to_bytes(_NUMBER_AT, "big")
        self._gathered: list[ReadySpan] = []
        self._gathered_bytes = 0
        self._under_way: dict[int, int] = {}  # a span's number to how many exporters have not settled it
        self._done: list[int] = []
        self._position = START
        self.ended = False

    @property
    def settled(self) -> bool:
        """Whether everything taken so far is settled with every exporter."""
        return not self._gathered and all(queue.empty for queue in self._queues)

    def why_unwanted(self, key: bytes) -> str | None:
        """Returns why a span under way is not to be sent any more, None where it is, or is none of these."""
        gone = key.startswith(self._prefix) and self._source.is_gone(_number(key))
        return PURGED if gone else None

    def step(self) -> bool:
        """Takes some spans; False if there are none, or no room."""
        if self.ended or max(queue.size_bytes for queue in self._queues) + self._gathered_bytes > ADOPTED_AHEAD_BYTES:
            return False
        found = self._source.read(READ_BYTES)
        self.ended = not found
        for span in found:
            self._put(span)
        return bool(found)

    def push(self) -> None:
        """Hands on what was gathered."""
        self._cut()
        for queue in self._queues:
            queue.push()
        self.acknowledge()

    def acknowledge(self) -> None:
        """Has the source forget what every exporter has settled."""
        done, self._done = self._done, []
        if done:
            self._source.forget(done)

    def settle(self, exporter: int, settled: Settled) -> bool:
        """Takes what became of a batch with one exporter; False if it is none of these spans."""
        if not self._queues[exporter].settle(settled):
            return False
        if exporter == 0:
            self._accounts.settled(settled)
        numbers = [_number(key) for key in settled.batch.keys]
        if settled.dead is not None and not self._source.refused(numbers[0], settled.dead):
            self._accounts.trouble("dead_letters", "a span was refused for good, and there is no room to keep it")
        for number in numbers:
            self._under_way[number] -= 1
            if not self._under_way[number]:
                del self._under_way[number]
                self._done.append(number)
        return True

    def close(self, *, delete: bool) -> None:
        """Lets the source go."""
        self.acknowledge()
        self._source.close(delete=delete)

    def _put(self, span: ReadySpan) -> None:
        """Gathers a span; a batch holds spans of one envelope."""
        other = bool(self._gathered) and self._gathered[0].envelope != span.envelope
        if other or self._gathered_bytes + len(span.entry) > self._options.max_batch_bytes:
            self._cut()
        self._gathered.append(span)
        self._gathered_bytes += len(span.entry)
        self._under_way[span.number] = len(self._queues)
        self._accounts.made(1, adopted=True)

    def _cut(self) -> None:
        if not self._gathered:
            return
        resource, scope, scope_tail, tail = self._gathered[0].envelope
        envelope = Envelope((resource, scope, scope_tail, tail))
        keys = tuple(self._prefix + span.number.to_bytes(8, "big") for span in self._gathered)
        entries = tuple(span.entry for span in self._gathered)
        batch = Batch(envelope, entries, keys, self._gathered_bytes + envelope.size_bytes)
        self._gathered, self._gathered_bytes = [], 0
        before, self._position = self._position, Position(self._position.segment, self._position.offset + 1)
        for queue in self._queues:
            queue.put(batch, before, self._position)


def _number(key: bytes) -> int:
    return int.from_bytes(key[_NUMBER_AT:], "big")
