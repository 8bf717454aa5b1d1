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
from collections.abc import Iterable, Sequence

import msgspec

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
from otel_phi.delivery.sending.batch import Settled
from otel_phi.hook.accounts import Accounts
from otel_phi.hook.exporter_queue import ExporterQueue
from otel_phi.hook.findings import LOOP_NOT_OPEN, loop_not_open
from otel_phi.hook.journal_batches import ExportOptions, JournalBatches, Made
from otel_phi.hook.lookups import Lookups
from otel_phi.mapping.options import MappingOptions
from otel_phi.pipeline import Pipeline, session_of
from otel_phi.prices import prices_of, source_in
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.notices import LoopOpened, Notice, SessionOpened
from otel_phi.wire.events import AgentEvent, AgentStart, ToolExecutionEnd

# Mapped and not yet settled, a journal. Past it the journal itself is the buffer.
AHEAD_BYTES = 8 << 20
ADOPTED_AHEAD_BYTES = 1 << 20  # of each journal of a dead process that is held; at most eight are
READ_BYTES = 4 << 10  # of the journal at once: some two turns, a tenth of a millisecond of the interpreter
MAPPING_FAILED, SAMPLED_OUT, PURGED = "mapping_failed", "sampled_out", "purged"
RECORDING_FAILED, UNREADABLE = "recording_failed", "unreadable"


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
        self.journal, self._looks, self._accounts = journal, Lookups(journal, known), accounts
        self._adopted, self._breathe = adopted, options.breathe
        self._ahead_bytes = ADOPTED_AHEAD_BYTES if adopted else AHEAD_BYTES
        mapping = msgspec.json.decode(head.mapping, type=MappingOptions)
        self._price = prices_of(source_in(head.prices), options.on_unknown_model)
        # Who adopts a journal does not count what its owner may have counted.
        on_notice = None if adopted else options.on_notice
        self._pipeline = Pipeline(mapping, sample=head.sample, price=self._price, on_notice=on_notice)
        if journal.restored is not None:
            self._restore(journal.restored)
        self._batches = JournalBatches(journal, queues, accounts, number=number, adopted=adopted, options=options)
        self._read: deque[Entry] = deque()
        self._failed: Counter[str] = Counter()
        self._not_open = self._pipeline.core.counts[LOOP_NOT_OPEN]
        self._drop_until, self._drop_reason = START, ""
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
        return self._batches.settled

    @property
    def settled_position(self) -> Position:
        """The end of the last fact before which everything is settled with every exporter."""
        return self._batches.settled_position

    @property
    def position(self) -> Position:
        """The end of the last fact taken."""
        return self._batches.position

    def step(self) -> bool:
        """Takes facts until one made spans, or a slice is read; False if there is nothing to take, or no room."""
        self.caught_up = False
        if self._batches.is_full(self._ahead_bytes):
            return False
        if not self._read and not self._more():
            if self._at_end():
                return True
            self.caught_up = not self.journal.lags
            return False
        while self._read:
            entry = self._read.popleft()
            made = self._taken(entry)
            self._breathe()
            if made:
                self._put(made, entry.position)
                break
            self._batches.position = entry.position
        return True

    def push(self) -> None:
        """Hands on what was gathered: where there is nothing to read for now, or a batch is full."""
        self._batches.push()

    def acknowledge(self) -> None:
        """Moves the marks in the journal behind what is settled."""
        self._batches.acknowledge()

    def settle(self, exporter: int, settled: Settled) -> bool:
        """Takes what became of a batch with one exporter; False if it is none of this journal's."""
        return self._batches.settle(exporter, settled)

    def close(self, *, delete: bool) -> None:
        """Closes the journal; all of it is settled if it is to be deleted."""
        self.acknowledge()
        self.journal.close(delete=delete)

    def why_unwanted(self, key: bytes) -> str | None:
        """Returns why a span under way is not to be sent any more, None where it is, or is none of these."""
        return self._batches.why_unwanted(key)

    def drop_until(self, position: Position, reason: str) -> None:
        """Gives up what lies before a position, counted by `reason`: what waits goes now, what was not read yet as it is read."""
        if position > self._drop_until:
            self._drop_until, self._drop_reason = position, reason
            self._batches.give_up(None, reason, until=position)

    # --- reading ---------------------------------------------------------------------------------------------------------

    def _more(self) -> bool:
        self.acknowledge()  # a reader that is never done, or drops what it reads, moves the marks too
        self._read.extend(self.journal.read(READ_BYTES))
        if self.journal.wants_snapshot:  # nothing was read then
            self._write_snapshot()
            self._read.extend(self.journal.read(READ_BYTES))
        self._breathe()
        return bool(self._read)

    def _restore(self, state: bytes) -> None:
        for core in RecorderCore.restore_parts(state):
            self._pipeline.core = core
            self._breathe()
        self._pipeline.core.price_with(self._price)

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
        self._batches.position = max(self.position, self.journal.position)
        self._put(self._mapped(self.position, self._pipeline.core.flush(lost=True), silent=False), self.position)
        return True

    def _taken(self, entry: Entry) -> list[Made]:
        """Takes a fact; a fault of ours costs it alone."""
        try:
            return self._take(entry)
        except Exception as error:  # noqa: BLE001  # one fact's fault must not cost the others
            self._accounts.fault("recording", error)
            self._failed[RECORDING_FAILED] += 1
            return []

    def _take(self, entry: Entry) -> list[Made]:
        fact = entry.fact
        match fact:
            case Called(event=event, caller=caller):
                return self._record(entry.position, event, caller)
            case End():
                return self._mapped(entry.position, self._pipeline.core.flush())
            case Purge(session=session):
                self._purge(session)
            case Snapshot(state=state):  # the journal has a hole before it: what was open there is not known any more
                self._restore(state)
            case Unreadable():
                self._accounts.unreadable += 1
                self._failed[UNREADABLE] += 1
            case Head() | Carried() | LookedUp() | RootClaimed() | Purged():
                pass  # what the live thread wrote itself was taken in when it wrote it
            case _:
                return self._record(entry.position, fact, None)
        return []

    def _record(self, position: Position, event: AgentEvent, caller: str | None) -> list[Made]:
        if isinstance(event, AgentStart):
            self._looks.up(position, event.parent_loop_id, self._pipeline.core, int(event.timestamp))
        elif isinstance(event, ToolExecutionEnd):
            child_id = event.child_loop_id or (event.result.child_loop_id if event.result else None)
            self._looks.up(position, child_id, self._pipeline.core)
        notices = self._pipeline.core.on_event(event, caller)
        if notices:
            return self._mapped(position, notices)
        if self._pipeline.core.counts[LOOP_NOT_OPEN] != self._not_open:
            self._wonder(event)
        return []

    def _wonder(self, event: AgentEvent) -> None:
        """Says of an event of this process that it belongs to no open loop; what a dead process told helps nobody any more."""
        self._not_open = self._pipeline.core.counts[LOOP_NOT_OPEN]
        if not self._adopted:
            self._accounts.strange(LOOP_NOT_OPEN, str(loop_not_open(event)))

    # --- mapping ---------------------------------------------------------------------------------------------------------

    def _mapped(self, position: Position, notices: Iterable[Notice], *, silent: bool | None = None) -> list[Made]:
        """Returns the spans of notices; none where an earlier process has settled them: then they are replayed silently."""
        if position <= self.settled_position if silent is None else silent:
            self._breathe()
            return []
        return [made for notice in notices for made in self._spans(position, notice)]

    def _spans(self, position: Position, notice: Notice) -> list[Made]:
        before = self._pipeline.sampled_out
        try:
            spans = self._pipeline.spans(notice)
        except Exception as error:  # noqa: BLE001  # one notice's fault must not cost the others
            self._accounts.fault("mapping", error)
            self._accounts.drop(MAPPING_FAILED, 1)
            return []
        self._accounts.drop(SAMPLED_OUT, self._pipeline.sampled_out - before)
        if position <= self._drop_until:  # it is counted and claims nothing: another process may still send the root
            return [("", span) for span in spans]
        if isinstance(notice, LoopOpened):
            loop = notice.loop.identity
            self._looks.remember(loop)
        if isinstance(notice, SessionOpened) and spans and not self._looks.claim_root(position, notice.session_id):
            return []
        session = session_of(notice)
        return [(session, span) for span in spans]

    # --- batches and what is given up ------------------------------------------------------------------------------------

    def _put(self, made: Sequence[Made], position: Position) -> None:
        if position <= self._drop_until:
            self._accounts.drop(self._drop_reason, len(made))
            self._batches.position = position
        else:
            self._batches.put(made, position)

    def _purge(self, session: str | None) -> None:
        """Forgets a session, or all: what waits of it and what is open."""
        core = self._pipeline.core
        if session is None:
            core.forget_all()
        else:
            core.forget_session(session)
        self._batches.give_up(session, PURGED)
