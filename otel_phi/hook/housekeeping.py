"""The outbox as a living process sees it: a journal of its own, those of dead processes, and the bounds of all.

Rule 1: a dead process's journal for the same destination and credentials is adopted, sent to its end and deleted; a process
        that records nothing does that too.
Rule 2: over the bounds, dead processes' folders go first, then our own oldest segments; each is read to be counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from otel_phi.clock import monotonic
from otel_phi.delivery.journal.dead_letters import keep_within
from otel_phi.delivery.journal.destination import credentials, new_salt
from otel_phi.delivery.journal.facts import Head, Position
from otel_phi.delivery.journal.journal import Journal
from otel_phi.delivery.journal.known import Known
from otel_phi.delivery.journal.outbox import MAX_AGE_S, MAX_BYTES, Found, Outbox
from otel_phi.delivery.journal.private import state_folder
from otel_phi.delivery.otlp.resource import Resource
from otel_phi.hook.complaints import Complaints
from otel_phi.hook.destinations import destination_of, secrets_of, whose
from otel_phi.hook.journal_export import JournalExport
from otel_phi.hook.ready_spans import ReadySpans
from otel_phi.mapping.price_table import NO_PRICES
from otel_phi.pipeline import mapping_for
from otel_phi.version import __version__
from otel_phi.wire.messages import NULL

if TYPE_CHECKING:
    from otel_phi.config import Config

SYNC_S = 1.0  # DESIGN 6: power loss costs that
SCAN_S = 5.0  # a dead process's facts wait that long; a scan lists one folder
# A server that forks its workers in C (uWSGI) forks another within two seconds after one died, while a thread of ours may hold
# the interpreter: that worker hangs for ever. So its own process, which records nothing, looks seldom, not in step with the
# server's seconds, and leaves it some time before it adopts; removed locks are made again in time.
IDLE_LOOK_S = 2.3
IDLE_DEAD_S = 4.0
BOUNDS_S = 10.0
SWEEP_S, SWEEP_DELAY_S = 3_600.0, 60.0  # nothing is swept while an agent starts
# Journals of dead processes held at once, at three descriptors each: agents that end often leave hundreds while a collector
# is down, and descriptors are the agent's.
MAX_ADOPTED = 8
OUTBOX_FULL, TOO_OLD = "outbox_full", "too_old"
_REASONS = {"size": OUTBOX_FULL, "age": TOO_OLD}
_END = Position(1 << 62, 1 << 62)


class Limits(msgspec.Struct, frozen=True):
    """Limits bound the whole outbox folder; what is over them goes, the oldest first.

    Attributes:
        bytes: on disk.
        age_s: since a segment was begun.
    """

    bytes: int = MAX_BYTES
    age_s: float = MAX_AGE_S


class Housekeeping:
    """Housekeeping makes the journals and does what is due now and then. For the live thread, but for `hurry`.

    Args:
        config: where and how.
        resource: who produces the spans.
        complaints: gets what is to be said.
        limits: the folder's bounds.
        any_credentials: adopt what was meant for the same destination with other headers.
    """

    def __init__(
        self,
        config: Config,
        resource: Resource,
        complaints: Complaints,
        limits: Limits,
        *,
        any_credentials: bool = False,
    ) -> None:
        self._config, self._complaints, self._limits = config, complaints, limits
        self.ours = whose(config, any_credentials=any_credentials)
        self._no_folder = ""
        self._headers, self._certificate = secrets_of(config)
        self.destination = destination_of(config)
        self.head = self._head_of(resource)
        state = self._state_folder(config.state_dir)
        self.outbox = None if state is None else Outbox(state)
        self.known = Known(state) if state is not None else Known.in_memory()
        self._due = dict.fromkeys(("sync", "scan", "bounds", "sweep") if self.outbox is not None else ("sync",), 0.0)
        self._due["sweep"] = monotonic() + SWEEP_DELAY_S
        self._roll_at = 0.0
        self._abandoned: set[Path] = set()
        self._said: set[str] = set()
        # A look through the folder that found more than can be held at once.
        self._adoptable: Iterator[Found] | None = None
        self._idle = self._hurried = False
        self._full = False  # as many as can be held are: one more is looked for once one of them is sent
        self.done = False

    def _state_folder(self, asked: Path | None) -> Path | None:
        """Returns where state is kept: the folder asked for, a private one inside it, or none, which is said."""
        if asked is None:
            self._no_folder = "no state folder can be named: there is no home folder; set OTEL_PHI_STATE_DIR"
            return None
        try:
            folder, warning = state_folder(asked)
        except OSError as error:
            self._no_folder = f"{asked}: {error.strerror or error}"
            return None
        if warning:
            self._complaints.add("state_folder", warning)
        return folder

    def _head_of(self, resource: Resource) -> Head:
        salt = new_salt()
        mapping = mapping_for(self._config, resource.get("service.name"))
        return Head(
            destination=self.destination,
            version=__version__,
            resource=msgspec.Raw(msgspec.json.encode(resource.attributes)),
            resource_schema_url=resource.schema_url,
            mapping=msgspec.Raw(msgspec.json.encode(mapping)),
            prices=NULL if self._config.prices == NO_PRICES else msgspec.Raw(msgspec.json.encode(self._config.prices)),
            sample=self._config.sample_ratio,
            exporters=self._config.exporter_names,
            salt=salt,
            credentials=credentials(salt, self._headers, self._certificate),
        )

    def own_journal(self, *, files: bool) -> Journal:
        """Makes this process's journal: in a folder of its own, or in memory where that cannot be, which is said."""
        if not files:
            return Journal.in_memory(self.head, "")
        if self.outbox is None:
            reason = self._no_folder
        else:
            try:
                return Journal.create(self.outbox.place(self.destination), self.head)
            except OSError as error:
                reason = f"{self.outbox.folder}: {error.strerror or error}"
        self._complaints.add("in_memory", f"spans wait in memory, and are lost with the process: {reason}")
        return Journal.in_memory(self.head, reason)

    def hurry(self) -> None:
        """Makes the next look go through the folder, and roll where the journal refuses lines."""
        self.done, self._hurried = False, True
        self._due["scan"] = self._roll_at = 0.0

    @property
    def idle(self) -> bool:
        """Whether this process has recorded nothing, and holds nothing of others."""
        return self._idle

    def next_look_s(self) -> float:
        """Returns the seconds until something is due."""
        due = min(at_s for what, at_s in self._due.items() if what != "scan" or not self._full)
        return max(due - monotonic(), 0.0)

    def leave(self, journal: Journal) -> None:
        """Takes note of a journal that cannot be read here: it is not adopted again by this process."""
        if journal.folder is not None:
            self._abandoned.add(journal.folder)

    def look(self, exports: Sequence[JournalExport | ReadySpans], adopt: Callable[[Journal, str], None]) -> None:
        """Does what is due.

        Args:
            exports: this process's journal, then what is held now of dead ones.
            adopt: takes such a journal; with a reason, to be read and dropped instead of sent.
        """
        journals = [one for one in exports if isinstance(one, JournalExport)]
        own, held = journals[0].journal, len(exports) - 1
        self._idle = not held and not own.lines
        if own.due() and monotonic() >= self._roll_at:
            self._roll_at = monotonic() + SYNC_S
            own.roll()
        if self._is_due("sync", IDLE_LOOK_S if self._idle else SYNC_S):
            own.sync()
            self.say_damage(own)
        if self.outbox is None:
            self.done = True
            return
        # As soon as there is room for the next, and without a new look: a folder of hundreds is looked through once.
        self._full = held >= MAX_ADOPTED
        if not self._full and (self._adoptable is not None or self._is_due("scan", SCAN_S)):
            self._tried("adoption", self._scan, self.outbox, MAX_ADOPTED - held, adopt)
        if self._is_due("bounds", BOUNDS_S):
            self._tried("bounds", self._bound, self.outbox, journals, adopt)
        if self._is_due("sweep", SWEEP_S):
            self.known.sweep()

    def say_damage(self, own: Journal) -> None:
        """Says what could not be read of this process's own journal, and what was removed of it: each once."""
        for message in own.stats().messages:
            if message not in self._said:
                self._said.add(message)
                self._complaints.add(f"damage: {message}", f"{own.folder}: {message}")

    def _tried(self, what: str, act: Callable[..., None], *given: object) -> None:
        """Does something; a fault of it, each time perhaps, keeps neither a span from leaving nor a flush from its answer."""
        try:
            act(*given)
        except Exception as error:  # noqa: BLE001  # as said
            self._complaints.failed(what, error)

    def _is_due(self, what: str, every_s: float) -> bool:
        now = monotonic()
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + every_s
        return True

    def _scan(self, outbox: Outbox, room: int, adopt: Callable[[Journal, str], None]) -> None:
        if self._adoptable is None:
            dead_for_s = IDLE_DEAD_S if self._idle and not self._hurried else 0.0
            self._adoptable = outbox.adoptable(self.destination, self.ours, dead_for_s=dead_for_s)
        for found in self._adoptable:
            if found.folder in self._abandoned:
                found.lock.release()
                continue
            adopted = self._opened(found)
            if adopted is not None:
                adopt(adopted, "")
                room -= 1
            if not room:
                return
        self._adoptable = None
        if not self.done:  # somebody waits
            self.done = not self._left(outbox)
            self._due["scan"] = min(self._due["scan"], monotonic() + SYNC_S)
        self._hurried = self._hurried and not self.done

    def _left(self, outbox: Outbox) -> bool:
        """Says whether a dead process's journal lies there that is ours and was not adopted: its lock was removed just now, say."""
        return any(
            one.destination.name == self.destination.name
            and not (one.alive or one.own or one.problem)
            and one.head is not None
            and bool(one.segments)
            and self.ours(one.head)
            and one.path not in self._abandoned
            for one in outbox.folders()
        )

    def _opened(self, found: Found) -> Journal | None:
        try:
            return Journal.adopt(found)
        except OSError as error:
            found.lock.release()
            self._complaints.add(
                "adoption", f"{found.folder} cannot be adopted: {error.strerror or type(error).__name__}"
            )
            return None

    def _bound(self, outbox: Outbox, journals: Sequence[JournalExport], adopt: Callable[[Journal, str], None]) -> None:
        held = {export.journal.folder: export for export in journals}
        for excess in outbox.keep_within(self._limits.bytes, self._limits.age_s):
            reason = _REASONS.get(excess.reason, OUTBOX_FULL)
            if excess.folder in held:
                end = _END if excess.segment is None else Position(excess.segment, _END.offset)
                held[excess.folder].drop_until(end, reason)
                continue
            found = outbox.take(excess.folder)
            journal = None if found is None else self._opened(found)
            if journal is not None:
                adopt(journal, reason)
        if keep_within(outbox):
            self._complaints.add("dead_letters_full", "dead letters were over their bound: the oldest are deleted")
