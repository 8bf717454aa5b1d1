"""A journal on its way out: what an agent's threads appended becomes spans, batches and acknowledgements.

    journal.read ─▶ fact ─ pipeline ─▶ spans ─ batcher ─▶ batch ─ sender ─▶ what became of it ─▶ journal.acknowledge
                     └─ lookups in `known` and claims of roots, written down before anything built on them leaves

Rule 1: a fact at or before the acknowledged mark is replayed silently; what lies behind it is mapped and sent.
Rule 2: the mark moves over a fact once all spans of it and of all facts before it are settled, with every exporter.
Rule 3: mapping runs ahead of sending, within a bound: a collector that does not answer must not keep `known` and the counts
        from what has happened.
Rule 4: what is dropped for the bound of the folder is read and counted span by span; its open loops go on.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence

import msgspec

from otel_phi.clock import wall_ns
from otel_phi.delivery.journal.dead_letters import DeadLetter, DeadLetters
from otel_phi.delivery.journal.facts import (
    START,
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
from otel_phi.delivery.journal.journal import Journal
from otel_phi.delivery.journal.known import Known
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.delivery.otlp.resource import Resource
from otel_phi.delivery.sending.batch import Batch, Settled, dead_letter
from otel_phi.hook.accounts import Accounts
from otel_phi.hook.exporter_queue import ExporterQueue
from otel_phi.hook.lookups import Lookups
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.pipeline import Pipeline, session_of
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.notices import LoopOpened, Notice, SessionOpened
from otel_phi.wire.events import AgentEvent, AgentStart, ToolExecutionEnd

# A batch is gathered in slices and held in memory: a small one takes a moment to compress, and little is under way when
# bounds bite.
MAX_BATCH_BYTES = 1 << 20
# Mapped and not yet settled, a journal: eight batches. Past it the journal itself is the buffer.
AHEAD_BYTES = 8 << 20
ADOPTED_AHEAD_BYTES = 1 << 20  # of each journal of a dead process that is held; at most eight are
READ_BYTES = 8 << 10  # of the journal at once: some five turns, a quarter of a millisecond of the interpreter
MAPPING_FAILED, SAMPLED_OUT, PURGED = "mapping_failed", "sampled_out", "purged"
RECORDING_FAILED, UNREADABLE = "recording_failed", "unreadable"
_Value = str | bool | int | float | tuple[str, ...]  # of a resource's attribute
_Made = tuple[str, Span]  # a span and the session it is of


class ExportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Export options are what all journals of a process have in common.

    Attributes:
        max_batch_bytes: bound of a batch before compression.
        on_span: called with each span that is mapped to be sent, None for nobody.
        breathe: called in long work without a span, so that other threads get the interpreter.
    """

    max_batch_bytes: int = MAX_BATCH_BYTES
    on_span: Callable[[Span], None] | None = None
    breathe: Callable[[], None] = lambda: None


class JournalExport:
    """A journal's export reads, records, maps and acknowledges one journal, in steps of about one turn. For one thread.

    Args:
        journal: this process's own, or a dead process's, adopted.
        queues: one an exporter, in the order of the head's.
        known: what the processes of this machine know together.
        accounts: where spans are counted.
        number: tells this journal's spans from those of others that go through the same senders.
        adopted: whether the journal is a dead process's: at its end what is open leaves as lost.
        options: what all journals of the process have in common.

    Attributes:
        journal: as given.
        position: the end of the last fact taken.
        unwanted: keys of spans that were purged while they were under way.
        caught_up: whether the last step found that all appended before it was read.
        ended: whether an adopted journal was read to its end.
    """

    def __init__(
        self,
        journal: Journal,
        queues: Sequence[ExporterQueue],
        known: Known,
        accounts: Accounts,
        *,
        number: int,
        adopted: bool = False,
        options: ExportOptions,
    ) -> None:
        head = journal.head
        self.journal, self._queues, self._looks, self._accounts = journal, queues, Lookups(journal, known), accounts
        self._adopted, self._options, self._breathe = adopted, options, options.breathe
        self._ahead_bytes = ADOPTED_AHEAD_BYTES if adopted else AHEAD_BYTES
        self._prefix = number.to_bytes(4, "big")
        mapping = msgspec.json.decode(head.mapping, type=MappingOptions)
        self._pipeline = Pipeline(mapping, sample=head.sample)
        if journal.restored is not None:
            self._pipeline.core = RecorderCore.restore(journal.restored)
        attributes = msgspec.json.decode(head.resource, type=tuple[tuple[str, _Value], ...])
        self._encoder = Encoder(Resource(attributes, head.resource_schema_url))
        self._read: deque[Entry] = deque()
        self._gathered: list[tuple[bytes, bytes]] = []  # key and encoded span
        self._gathered_bytes = 0
        self._sessions: dict[bytes, str] = {}  # of the spans that are not settled
        self._next_key = 0
        self._failed: Counter[str] = Counter()
        self._drop_until, self._drop_reason = START, ""
        self._marked = [queue.mark for queue in queues]
        self.position = START
        self.unwanted: frozenset[bytes] = frozenset()
        self.caught_up = self.ended = False

    # --- what the live thread asks ---------------------------------------------------------------------------------------

    @property
    def open_loops(self) -> int:
        """How many loops are open."""
        return self._pipeline.open_loops

    @property
    def ignored(self) -> dict[str, int]:
        """Facts that said nothing a span could show, by reason."""
        return {
            **dict(self._pipeline.counts),
            **dict(self._failed),
        }  # each copied by one step of C: another thread asks

    @property
    def settled(self) -> bool:
        """Whether everything taken so far is settled with every exporter."""
        return not self._gathered and all(queue.empty for queue in self._queues)

    @property
    def settled_position(self) -> Position:
        """The end of the last fact before which everything is settled with every exporter."""
        return min(queue.mark for queue in self._queues)

    def step(self) -> bool:
        """Takes facts until one made spans, or a slice is read; False if there is nothing to take, or no room."""
        self.caught_up = False
        if max(queue.size_bytes for queue in self._queues) + self._gathered_bytes > self._ahead_bytes:
            return False
        if not self._read and not self._more():
            if self._at_end():
                return True
            self.caught_up = not self.journal.lags
            return False
        while self._read:
            entry = self._read.popleft()
            made = self._taken(entry)
            if made:
                self._put(made, entry.position)
                break
            self.position = entry.position
        return True

    def push(self) -> None:
        """Hands on what was gathered: where there is nothing to read for now, or a batch is full."""
        self._cut(self.position)
        for queue in self._queues:
            queue.push()
        self.acknowledge()

    def acknowledge(self) -> None:
        """Moves the marks in the journal behind what is settled."""
        for number, queue in enumerate(self._queues):
            if not self._gathered:
                queue.settled_to(self.position)
            if queue.mark > self._marked[number]:
                self.journal.acknowledge(queue.mark, number)
                self._marked[number] = queue.mark

    def settle(self, exporter: int, settled: Settled) -> bool:
        """Takes what became of a batch with one exporter; False if it is none of this journal's."""
        if not self._queues[exporter].settle(settled):
            return False
        session = self._sessions.get(settled.batch.keys[0], "")
        if exporter == 0:
            self._accounts.settled(settled)
        if len(self._queues) == 1:
            for key in settled.batch.keys:
                self._sessions.pop(key, None)
        elif self.settled:
            self._sessions.clear()
        if settled.dead is not None:
            self._keep_dead(settled.batch, settled.dead, session)
        return True

    def _keep_dead(self, batch: Batch, reason: str, session: str) -> None:
        """Keeps a span that its destination will not take beside the journal, for whoever asks."""
        if self.journal.folder is None:
            return
        letter = dead_letter(batch, reason)
        kept = DeadLetters(self.journal.folder).append(
            DeadLetter(
                entry=batch.entries[0],
                envelope=batch.envelope.parts,
                trace_id=letter.trace_id.to_bytes(16, "big"),
                span_id=letter.span_id.to_bytes(8, "big"),
                name=letter.name,
                session_id=session,
                reason=reason,
                at_ns=wall_ns(),
            )
        )
        if not kept:
            self._accounts.trouble("dead_letters", "a span was refused for good, and there is no room to keep it")

    def drop_until(self, position: Position, reason: str) -> None:
        """Gives up what lies before a position, counted by `reason`: what waits goes now, what was not read yet as it is read."""
        if position > self._drop_until:
            self._drop_until, self._drop_reason = position, reason
            self._take_back(list(self._sessions), reason)

    # --- reading ---------------------------------------------------------------------------------------------------------

    def _more(self) -> bool:
        self._read.extend(self.journal.read(READ_BYTES))
        if self.journal.wants_snapshot:  # nothing was read then
            self._write_snapshot()
            self._read.extend(self.journal.read(READ_BYTES))
        return bool(self._read)

    def _write_snapshot(self) -> None:
        parts = []
        for part in self._pipeline.core.snapshot_parts():
            parts.append(part)
            self._breathe()
        self.journal.snapshot(b"".join(parts))

    def _at_end(self) -> bool:
        """Closes what a dead process left open, once; False: there is nothing more."""
        if not self._adopted or self.ended:
            return False
        self.ended = True
        self.position = max(self.position, self.journal.position)
        self._put(self._mapped(self.position, self._pipeline.core.flush(lost=True), silent=False), self.position)
        return True

    def _taken(self, entry: Entry) -> list[_Made]:
        """Takes a fact; a fault of ours costs it alone."""
        try:
            return self._take(entry)
        except Exception as error:  # noqa: BLE001  # one fact's fault must not cost the others
            self._accounts.fault("recording", error)
            self._failed[RECORDING_FAILED] += 1
            return []

    def _take(self, entry: Entry) -> list[_Made]:
        fact = entry.fact
        match fact:
            case Called(event=event, caller=caller):
                return self._record(entry.position, event, caller)
            case End():
                return self._mapped(entry.position, self._pipeline.core.flush())
            case Purge(session=session):
                self._purge(session)
            case Snapshot(state=state):  # the journal has a hole before it: what was open there is not known any more
                self._pipeline.core = RecorderCore.restore(state)
            case Unreadable():
                self._accounts.unreadable += 1
                self._failed[UNREADABLE] += 1
            case Head() | Carried() | LookedUp() | RootClaimed() | Purged():
                pass  # what the live thread wrote itself was taken in when it wrote it
            case _:
                return self._record(entry.position, fact, None)
        return []

    def _record(self, position: Position, event: AgentEvent, caller: str | None) -> list[_Made]:
        if isinstance(event, AgentStart):
            self._looks.up(position, event.parent_loop_id, self._pipeline.core, int(event.timestamp))
        elif isinstance(event, ToolExecutionEnd):
            child_id = event.child_loop_id or (event.result.child_loop_id if event.result else None)
            self._looks.up(position, child_id, self._pipeline.core)
        notices = self._pipeline.core.on_event(event, caller)
        return self._mapped(position, notices) if notices else []

    # --- mapping ---------------------------------------------------------------------------------------------------------

    def _mapped(self, position: Position, notices: Iterable[Notice], *, silent: bool | None = None) -> list[_Made]:
        """Returns the spans of notices; none where an earlier process has settled them: then they are replayed silently."""
        if position <= self.settled_position if silent is None else silent:
            self._breathe()
            return []
        return [made for notice in notices for made in self._spans(position, notice)]

    def _spans(self, position: Position, notice: Notice) -> list[_Made]:
        before = self._pipeline.sampled_out
        try:
            spans = self._pipeline.spans(notice)
        except Exception as error:  # noqa: BLE001  # one notice's fault must not cost the others
            self._accounts.fault("mapping", error)
            self._accounts.drop(MAPPING_FAILED, 1)
            return []
        self._accounts.drop(SAMPLED_OUT, self._pipeline.sampled_out - before)
        if isinstance(notice, LoopOpened):
            loop = notice.loop.identity
            self._looks.remember(loop)
        if isinstance(notice, SessionOpened) and spans and not self._looks.claim_root(position, notice.session_id):
            return []
        session = session_of(notice)
        return [(session, span) for span in spans]

    # --- batches ---------------------------------------------------------------------------------------------------------

    def _put(self, made: Sequence[_Made], position: Position) -> None:
        """Gathers the spans of one fact; a batch that is full is cut, within a fact too."""
        if position <= self._drop_until:
            self._accounts.drop(self._drop_reason, len(made))
            self.position = position
            return
        for session, span in made:
            if self._options.on_span is not None:
                self._options.on_span(span)
            entry = self._encoder.span(span)
            if self._gathered_bytes + len(entry) > self._options.max_batch_bytes:
                self._cut(self.position)
            key = self._prefix + self._next_key.to_bytes(8, "big")
            self._next_key += 1
            self._sessions[key] = session
            self._gathered.append((key, entry))
            self._gathered_bytes += len(entry)
        self._accounts.made(len(made), adopted=self._adopted)
        self.position = position
        if self._gathered_bytes >= self._options.max_batch_bytes // 2:
            self.push()

    def _cut(self, position: Position) -> None:
        """Makes a batch of what was gathered, for every exporter; everything up to `position` is in it or before it."""
        if not self._gathered:
            return
        keys, entries = zip(*self._gathered, strict=True)
        envelope = self._encoder.envelope
        batch = Batch(envelope, entries, keys, self._gathered_bytes + envelope.size_bytes)
        self._gathered, self._gathered_bytes = [], 0
        for queue in self._queues:
            queue.put(batch, position)

    # --- giving up -------------------------------------------------------------------------------------------------------

    def _purge(self, session: str | None) -> None:
        """Forgets a session, or all: what waits of it and what is open."""
        core = self._pipeline.core
        if session is None:
            core.forget_all()
        else:
            core.forget_session(session)
        self._take_back([key for key, one in self._sessions.items() if session in (None, one)], PURGED)

    def _take_back(self, keys: Sequence[bytes], reason: str) -> None:
        self._cut(self.position)
        gone = frozenset(keys)
        self.unwanted |= gone
        for number, queue in enumerate(self._queues):
            for batch in queue.take_back(gone):
                self.settle(number, Settled(batch, discarded=reason))
