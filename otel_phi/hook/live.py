"""Live delivery: the thread that turns what an agent's threads append into spans that arrive.

    hook(event) ─▶ journal (a file) ─▶ JournalExport ─▶ ExporterQueue ─▶ LiveSender ─▶ exporter
                   dead processes' journals ─▶ one each ─┘                  └─▶ what became of it ─▶ mark in the journal

Rule 1: an agent's thread appends, and rings the bell where a fact opened or closed something and this thread sleeps. All else
        happens here.
Rule 2: this thread lets the interpreter go after every turn it maps: an agent that computes gets it within a fraction of a
        millisecond.
Rule 3: it goes on whatever happens: a fault of one step is counted and said, and the next step is taken.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from otel_phi.clock import monotonic
from otel_phi.config import Config
from otel_phi.delivery.exporters.exporter import Exporter, Nowhere
from otel_phi.delivery.exporters.open import open_exporters
from otel_phi.delivery.journal.facts import START, End, Position
from otel_phi.delivery.journal.journal import Journal
from otel_phi.delivery.otlp.resource import Resource
from otel_phi.delivery.sending.batch import Settled
from otel_phi.delivery.sending.stats import LiveStats, Progress, Stats
from otel_phi.hook.accounts import Accounts
from otel_phi.hook.bell import Bell
from otel_phi.hook.breath import Breath
from otel_phi.hook.c_forks import is_about_to_fork
from otel_phi.hook.complaints import Complaints
from otel_phi.hook.exporter_queue import ExporterQueue
from otel_phi.hook.flushes import Flush, Flushes
from otel_phi.hook.housekeeping import IDLE_LOOK_S, Housekeeping, Limits
from otel_phi.hook.journal_batches import MAX_BATCH_BYTES, ExportOptions
from otel_phi.hook.journal_export import JournalExport
from otel_phi.hook.leftovers import Leftovers
from otel_phi.hook.live_sender import LiveSender
from otel_phi.hook.ready_spans import ReadySource, ReadySpans
from otel_phi.hook.shared_counts import SharedCounts
from otel_phi.mapping.span import Span
from otel_phi.metrics.metrics import metrics_of
from otel_phi.own_threads import leave_signals_to_others

PUSH_EVERY_S = 0.1  # of a steady stream, be the batch full or not: a request takes a millisecond of the interpreter
_EVERYTHING = Position(1 << 62, 0)
GLANCE_S = 0.2  # between looks of one who waits whether the thread still lives
# A worker forked in C beside a thread at work hangs. Of uWSGI that is known (`is_about_to_fork`); else nothing is done at first.
START_S = 1.0
IDLE_S = 1.0  # between looks at the folder, the locks and the clock where nothing happens


class LiveDelivery:
    """A live delivery owns a process's journal and the thread that sends it, and what dead processes left.

    Args:
        config: where and how.
        resource: who produces the spans.
        complaints: gets what is to be said; spoken by the thread.
        exporters: destinations of your own instead of the configured ones; closed at shutdown.
        own: whether this process journals facts of its own; false for a `flush`, which sends what others left.
        any_credentials: adopt what was meant for the same destination with other headers.
        limits: bounds of the outbox folder.
        on_span: called by the thread with each span that is to be sent.

    Attributes:
        journal: this process's own.
        bell: wakes the thread.
    """

    def __init__(
        self,
        config: Config,
        resource: Resource,
        complaints: Complaints,
        *,
        exporters: Sequence[Exporter] | None = None,
        own: bool = True,
        any_credentials: bool = False,
        limits: Limits | None = None,
        on_span: Callable[[Span], None] | None = None,
    ) -> None:
        self._config, self._complaints = config, complaints
        self._exporters = tuple(open_exporters(config) if exporters is None else exporters)
        self._metrics = metrics_of(config, resource, complaints.failed, recorded=own and config.metrics.on)
        self._accounts = Accounts(complaints)
        self._flushes = Flushes()
        self._outcomes: queue.SimpleQueue[tuple[int, Settled]] = queue.SimpleQueue()
        self.bell = Bell()
        self._stopping = self._ending = self._whole = False
        self._deferred = False  # whether the thread is to start as soon as this process forks no more
        self._until = 0.0  # when a close has to be done
        # As the senders said last: to ask one takes its lock, which an interrupt of the asker could leave held.
        self._progress = [(Progress(Stats()), 0.0)] * len(self._exporters)
        self._thread: threading.Thread | None = None
        self._breathe, self._pushed_at = Breath(), 0.0
        self._senders = [self._sender(number, exporter) for number, exporter in enumerate(self._exporters)]
        self._numbers = 0
        self._options = ExportOptions(
            max_batch_bytes=min(config.max_request_bytes, MAX_BATCH_BYTES), on_span=on_span, breathe=self._breathe,
            on_notice=self._metrics.record, on_unknown_model=lambda said: complaints.add(f"no_price: {said}", said),
        )  # fmt: skip
        shared = any_credentials
        kept = Housekeeping(config, resource, complaints, limits or Limits(), any_credentials=shared)
        self._housekeeping = kept
        self._leftovers = Leftovers(kept.outbox, kept.head, kept.ours, config, complaints, any_credentials=shared)
        self._shared_counts = SharedCounts(self._housekeeping.known, self._housekeeping.destination)
        self._damaged = 0
        writes = own and not all(isinstance(exporter, Nowhere) for exporter in self._exporters)
        self.journal: Journal = self._housekeeping.own_journal(files=writes)
        self._own = self._export(self.journal)
        self._metrics.observe(self.stats, lambda: self.journal.stats().file_bytes)
        self._exports: list[JournalExport | ReadySpans] = [self._own]
        self.start()

    def start(self) -> None:
        """Starts the thread, where there may be one; else whoever adopts the journal sends it."""
        self._deferred = is_about_to_fork()
        if self._deferred:
            return
        thread = threading.Thread(target=self._run, name="otel-phi", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # an isolated interpreter has no threads
            self._complaints.add(
                "no_thread", "no thread can be started here: another process of this destination sends what is recorded"
            )
        else:
            self._thread = thread

    def wake(self) -> None:
        """Rings the bell, from any thread: something opened or closed."""
        if self.bell.asleep:
            if self._deferred:
                self.start()
            self.bell.ring()
            self.bell.asleep = self._deferred  # so that the next one looks again

    # --- for the agent's threads -----------------------------------------------------------------------------------------

    def flush(self, timeout_s: float) -> bool:
        """Waits until all that was appended so far is settled, and what dead processes left; false if it is not in time."""
        asked, until = self.begin_flush(), monotonic() + timeout_s
        try:
            while not asked.wait(min(until - monotonic(), GLANCE_S)) and asked.answer is None and self._runs():
                if monotonic() >= until:
                    return False
            return asked.answer is True or self._whole
        finally:
            asked.abandoned = True

    def begin_flush(self) -> Flush:
        """Asks for a flush, and does not wait."""
        asked = self._flushes.ask()
        self.bell.ring()
        return asked

    def end(self) -> None:
        """Has it written down that no more facts come: what is open leaves as aborted, here and wherever this is replayed."""
        self._ending = True
        self.bell.ring()

    def close(self, timeout_s: float) -> None:
        """Ends the thread and closes everything; what is not settled stays in the folder. Repeatable."""
        self._until = monotonic() + timeout_s
        self._stopping = True
        self.bell.ring()
        if self._thread is None:
            self._finish()
        else:
            self._thread.join(max(timeout_s, 0.0))

    def _runs(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def stats(self) -> LiveStats:
        """Returns the counts as they stand; they balance at any moment."""
        now = monotonic()
        progress = [
            msgspec.structs.replace(said, next_try_s=max(said.next_try_s - (now - at), 0.0))
            for said, at in list(self._progress)
        ]
        return self._accounts.with_progress(progress, self.journal.stats().in_memory)

    @property
    def damaged(self) -> int:
        """How many lines of dead processes' journals could not be read any more, or were no facts; so far."""
        return self._damaged + self._accounts.unreadable

    @property
    def waiting(self) -> int:
        """How many facts of this process were appended and not read yet."""
        return self.journal.stats().waiting

    @property
    def open_loops(self) -> int:
        """How many loops are open in what was read so far."""
        return self._own.open_loops

    @property
    def ignored(self) -> dict[str, int]:
        """Facts read so far that said nothing a span could show, by reason."""
        return self._own.ignored

    def before_fork(self) -> None:
        """Closes the table that processes share, and keeps the thread from it until the fork is done."""
        self._housekeeping.known.before_fork()

    def after_fork_in_parent(self) -> None:
        """Lets the thread go on with it."""
        self._housekeeping.known.after_fork()

    # --- the thread ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        leave_signals_to_others()
        self.bell.wait(START_S)
        while not self._stopping:
            try:
                busy = self._round()
                if busy:
                    self.bell.flowing()
                elif not self._stopping:
                    longest_s = IDLE_LOOK_S if self._housekeeping.idle else IDLE_S
                    self.bell.sleep(min(self._housekeeping.next_look_s(), longest_s), self._own.step)
            except Exception as error:  # noqa: BLE001  # rule 3
                self._complaints.failed("delivery", error)
                busy = False
                time.sleep(IDLE_S)  # a fault that repeats must not take a core
            self._complaints.speak()
            if busy:
                self._breathe()
        self._finish()

    def _round(self) -> bool:
        """Does what there is to do; false if that is nothing for now."""
        self._take_flushes()  # before the step: what was appended before a flush is read by it, or it is not caught up
        self._write_end()  # after that: an end comes before the flush that waits for it
        settled = self._take_outcomes()
        steps = [self._step(export) for export in list(self._exports)]  # each of them, in turn
        busy = any(steps)
        if not busy or self._is_time_to_push():
            for export in self._exports:
                export.push()
        if not busy:
            for sender in self._senders:
                sender.rest()
        self._let_go()
        self._housekeeping.look(self._exports, self._adopt)
        self._leftovers.look(len(self._exports) - 1, self._send_again)
        self._answer()
        self._shared_counts.write(self.stats)
        return settled or busy

    def _is_time_to_push(self) -> bool:
        """Says whether a steady stream has made a batch wait for long enough, full or not."""
        now = monotonic()
        if now - self._pushed_at < PUSH_EVERY_S or not self._senders[0].has_room():
            return False
        self._pushed_at = now
        return True

    def _step(self, export: JournalExport | ReadySpans) -> bool:
        try:
            return export.step()
        except Exception as error:
            if export is self._own:
                raise
            self._exports.remove(export)
            self._complaints.failed("adoption", error)
            if isinstance(export, JournalExport):
                self._housekeeping.leave(export.journal)
            export.close(delete=False)
            return True

    def _abandon(self, journal: Journal, error: Exception) -> None:
        """Leaves a dead process's journal to others: what is wrong with it must not keep this one from its own."""
        self._complaints.failed("adoption", error)
        self._housekeeping.leave(journal)
        journal.close(delete=False)

    def _take_outcomes(self) -> bool:
        took = False
        while not self._outcomes.empty():
            number, settled = self._outcomes.get()
            any(export.settle(number, settled) for export in self._exports)
            self._breathe()
            took = True
        if took:
            for export in self._exports:
                export.acknowledge()
        return took

    def _let_go(self) -> None:
        """Closes the journals of dead processes that are settled to their end."""
        for export in [export for export in self._exports if export.ended and export.settled]:
            self._exports.remove(export)
            self._say_damage(export)
            export.close(delete=True)

    def _say_damage(self, export: JournalExport | ReadySpans) -> None:
        """Says what could not be read of a journal at its end; of a dead process's it is counted here."""
        if export is self._own:
            self._housekeeping.say_damage(self.journal)
        elif isinstance(export, JournalExport):
            stats = export.journal.stats()
            self._damaged += stats.damaged_lines + stats.missing_segments
            for message in stats.messages:
                self._complaints.add(f"damage: {message}", f"{export.journal.folder}: {message}")

    def _send_again(self, source: ReadySource) -> None:
        self._numbers += 1
        queues = [ExporterQueue(sender, START) for sender in self._senders]
        self._exports.append(ReadySpans(source, queues, self._accounts, number=self._numbers, options=self._options))

    def _adopt(self, journal: Journal, reason: str) -> None:
        try:
            export = self._export(journal, adopted=True)
        except Exception as error:  # noqa: BLE001  # a state that another version wrote, say
            self._abandon(journal, error)
            return
        if reason:
            export.drop_until(_EVERYTHING, reason)
        self._exports.append(export)

    def _take_flushes(self) -> None:
        if self._flushes.take():
            self._housekeeping.hurry()
            self._leftovers.hurry()

    def _write_end(self) -> None:
        if self._ending:
            self._ending = False
            self.journal.write(End(reason="shutdown"))

    def _answer(self) -> None:
        """Answers those who wait for a flush."""
        done = len(self._exports) == 1 and self._housekeeping.done and self._leftovers.done
        position = self._own.position if self._own.caught_up else None
        self._flushes.answer(position, self._own.settled_position, others_done=done)

    def _finish(self) -> None:
        """Closes everything; journals, own and adopted ones, that are not settled stay for the next process."""
        self._write_end()
        for sender in self._senders:
            sender.close(grace_s=max(self._until - monotonic(), 0.0) / 2)
        self._take_outcomes()
        whole = True
        for export in self._exports:
            ended = self._own.caught_up and self.journal.end() if export is self._own else export.ended
            self._say_damage(export)
            done = export.settled and ended
            export.close(delete=done)
            whole &= done
        self._whole = whole
        self._flushes.give_up(answer=whole)
        self._shared_counts.write(self.stats, now=True)
        self._housekeeping.known.close()
        for exporter in self._exporters:
            exporter.close(whole=True)
        self._metrics.close(max(self._until - monotonic(), 0.0))
        self._complaints.speak()

    # --- making ----------------------------------------------------------------------------------------------------------

    def _export(self, journal: Journal, *, adopted: bool = False) -> JournalExport:
        marks = journal.acknowledged
        queues = [ExporterQueue(sender, mark) for sender, mark in zip(self._senders, marks, strict=True)]
        self._numbers += 1
        known = self._housekeeping.known
        return JournalExport(
            journal, queues, known, self._accounts, number=self._numbers, adopted=adopted, options=self._options
        )

    def _sender(self, number: int, exporter: Exporter) -> LiveSender:
        def settled(what: Settled) -> None:
            self._outcomes.put((number, what))
            self.bell.ring()

        def progressed(now: Progress) -> None:
            self._progress[number] = (now, monotonic())
            self._complaints.trouble(now)

        return LiveSender(
            self._metrics.timed(exporter),
            unwanted=self._unwanted,
            timeout_s=self._config.timeout_s,
            on_settled=settled,
            on_progress=progressed,
        )

    def _unwanted(self, key: bytes) -> str | None:
        return next((found for export in list(self._exports) if (found := export.why_unwanted(key))), None)
