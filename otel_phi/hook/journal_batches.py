"""The batches of one journal: spans that are gathered, batches that wait or are under way, and how far all of it is settled.

    spans ─ put ─▶ gathered ─ cut ─▶ batch ─▶ ExporterQueue, one an exporter ─▶ sender
                                                └─ settle ◀─ what became of it ─▶ journal.acknowledge, or a dead letter

Rule 1: the journal's mark moves over a fact once all spans of it and of all facts before it are settled, with every exporter.
Rule 2: what is given up (a purge, a bound) is taken back where it waits; of what is under way it is said why it is unwanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from otel_phi.clock import wall_ns
from otel_phi.delivery.journal.dead_letters import DeadLetter, DeadLetters
from otel_phi.delivery.journal.facts import START, Position
from otel_phi.delivery.journal.journal import Journal
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.delivery.otlp.resource import Resource
from otel_phi.delivery.sending.batch import Batch, Settled, dead_letter
from otel_phi.hook.accounts import Accounts
from otel_phi.hook.exporter_queue import ExporterQueue
from otel_phi.mapping.span import Span
from otel_phi.recorder.notices import Notice

# A batch is gathered in slices and held in memory: a small one takes a moment to compress, and little is under way when
# bounds bite.
MAX_BATCH_BYTES = 512 << 10
# An exporter that is down keeps the others from nothing until it is so many times as far behind: 64 MiB, some 100,000 spans.
# Then all wait for it; the journal has room for four times that.
BEHIND = 8

_Value = str | bool | int | float | tuple[str, ...]  # of a resource's attribute
Made = tuple[str, Span]  # a span and the session it is of


class ExportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Export options are what all journals of a process have in common.

    Attributes:
        max_batch_bytes: bound of a batch before compression.
        on_span: called with each span that is mapped to be sent, None for nobody.
        on_notice: called with each notice of this process's own journal, None for nobody; it must not raise.
        on_unknown_model: called with a sentence for each model without a price, where prices are asked for.
        breathe: called in long work without a span, so that other threads get the interpreter.
    """

    max_batch_bytes: int = MAX_BATCH_BYTES
    on_span: Callable[[Span], None] | None = None
    on_notice: Callable[[Notice], None] | None = None
    on_unknown_model: Callable[[str], None] = lambda _: None
    breathe: Callable[[], None] = lambda: None


class JournalBatches:
    """The batches of a journal. For one thread.

    Args:
        journal: gets the marks, and keeps the dead letters.
        queues: one an exporter, in the order of the journal's head.
        accounts: where spans are counted.
        number: tells these spans from those of other journals that go through the same senders.
        adopted: whether the journal is a dead process's.
        options: what all journals of the process have in common.

    Attributes:
        position: the end of the last fact whose spans were put.
    """

    def __init__(
        self,
        journal: Journal,
        queues: Sequence[ExporterQueue],
        accounts: Accounts,
        *,
        number: int,
        adopted: bool,
        options: ExportOptions,
    ) -> None:
        head = journal.head
        attributes = msgspec.json.decode(head.resource, type=tuple[tuple[str, _Value], ...])
        self._encoder = Encoder(Resource(attributes, head.resource_schema_url))
        self._journal, self._queues, self._accounts = journal, queues, accounts
        self._adopted, self._options = adopted, options
        self._prefix, self._next_key = number.to_bytes(4, "big"), 0
        self._keys: list[bytes] = []  # of the spans gathered
        self._entries: list[bytes] = []  # these spans, encoded
        self._gathered_bytes = 0
        self._full_bytes = options.max_batch_bytes * 15 // 16  # mostly another turn's spans do not go in
        self._after = START  # the end of the last fact none of whose spans is among these
        self._facts: dict[bytes, tuple[str, Position]] = {}  # session and place of what the spans not settled come of
        self._unwanted: dict[bytes, str] = {}
        self._marked = [queue.mark for queue in queues]
        self.position = START

    @property
    def settled(self) -> bool:
        """Whether everything put so far is settled with every exporter."""
        return not self._keys and all(queue.empty for queue in self._queues)

    @property
    def settled_position(self) -> Position:
        """The end of the last fact before which everything is settled with every exporter."""
        return min(queue.mark for queue in self._queues)

    def is_full(self, ahead_bytes: int) -> bool:
        """Tells whether so much is not settled with any exporter, or `BEHIND` times as much with the one furthest behind.

        A batch is held once for all of them: what one that is down costs is what it has not got yet.
        """
        sizes = [queue.size_bytes + self._gathered_bytes for queue in self._queues]
        return min(sizes) > ahead_bytes or max(sizes) > BEHIND * ahead_bytes

    def put(self, made: Sequence[Made], position: Position) -> None:
        """Gathers the spans of one fact; a batch that is full is cut, within a fact too.

        None holds spans of two segments: one that goes for the bounds must not be held by what the next one begins with.
        """
        if self._keys and self._facts[self._keys[-1]][1].segment != position.segment:
            self._cut()
        origin = ("", position)
        for session, span in made:
            if self._options.on_span is not None:
                self._options.on_span(span)
            entry = self._encoder.span(span)
            if self._gathered_bytes + len(entry) > self._options.max_batch_bytes:
                self._cut()
            key = self._prefix + self._next_key.to_bytes(8, "big")
            self._next_key += 1
            if origin[0] != session:
                origin = (
                    session,
                    position,
                )  # one for all spans of a fact: each is one more for the collector to look at
            self._facts[key] = origin
            if not self._keys:
                self._after = self.position
            self._keys.append(key)
            self._entries.append(entry)
            self._gathered_bytes += len(entry)
        self._accounts.made(len(made), adopted=self._adopted)
        self.position = position
        if self._gathered_bytes >= self._full_bytes:
            self.push()

    def push(self) -> None:
        """Hands on what was gathered: where there is nothing to read for now, or a batch is full."""
        self._cut()
        for queue in self._queues:
            queue.push()
        self.acknowledge()

    def acknowledge(self) -> None:
        """Moves the marks in the journal behind what is settled."""
        for number, queue in enumerate(self._queues):
            if not self._keys:
                queue.settled_to(self.position)
            if queue.mark > self._marked[number]:
                self._journal.acknowledge(queue.mark, number)
                self._marked[number] = queue.mark

    def settle(self, exporter: int, settled: Settled) -> bool:
        """Takes what became of a batch with one exporter; False if it is none of this journal's."""
        if not self._queues[exporter].settle(settled):
            return False
        session, _ = self._facts.get(settled.batch.keys[0], ("", START))
        if exporter == 0:
            self._accounts.settled(settled)
        if len(self._queues) == 1:
            for key in settled.batch.keys:
                self._facts.pop(key, None)
                self._unwanted.pop(key, None)
        elif self.settled:
            self._facts.clear()
            self._unwanted.clear()
        if settled.dead is not None:
            self._keep_dead(settled.batch, settled.dead, session)
        return True

    def _cut(self) -> None:
        """Makes a batch of what was gathered, for every exporter; everything up to `position` is in it or before it."""
        if not self._keys:
            return
        envelope = self._encoder.envelope
        size_bytes = self._gathered_bytes + envelope.size_bytes
        batch = Batch(envelope, tuple(self._entries), tuple(self._keys), size_bytes)
        self._keys, self._entries, self._gathered_bytes = [], [], 0
        for queue in self._queues:
            queue.put(batch, self._after, self.position)

    def _keep_dead(self, batch: Batch, reason: str, session: str) -> None:
        """Keeps a span that its destination will not take beside the journal, for whoever asks."""
        if self._journal.folder is None:
            return
        letter, head = dead_letter(batch, reason), self._journal.head
        kept = DeadLetters(self._journal.folder).append(
            DeadLetter(
                entry=batch.entries[0],
                envelope=batch.envelope.parts,
                trace_id=letter.trace_id.to_bytes(16, "big"),
                span_id=letter.span_id.to_bytes(8, "big"),
                name=letter.name,
                session_id=session,
                reason=reason,
                at_ns=wall_ns(),
                shown=head.destination.shown,
                salt=head.salt,
                credentials=head.credentials,
            )
        )
        if not kept:
            self._accounts.trouble("dead_letters", "a span was refused for good, and there is no room to keep it")

    # --- giving up -------------------------------------------------------------------------------------------------------

    def give_up(self, session: str | None, reason: str, *, until: Position | None = None) -> None:
        """Gives up what is not settled: taken back where it waits, unwanted where it is under way.

        Args:
            session: of this session, None for all.
            reason: the word to count it by.
            until: what comes of facts up to there, None for all.
        """
        self._cut()
        facts = self._facts.items()
        gone = frozenset(key for key, (one, at) in facts if session in (None, one) and (until is None or at <= until))
        self._unwanted.update(dict.fromkeys(gone, reason))
        for number, queue in enumerate(self._queues):
            for batch in queue.take_back(gone):
                self.settle(number, Settled(batch, discarded=reason))

    def why_unwanted(self, key: bytes) -> str | None:
        """Returns why a span under way is not to be sent any more, None where it is, or is none of these."""
        return self._unwanted.get(key)
