"""Flush: a process of its own that sends what the outbox holds for one destination, for a person who waits.

Rule 1: journals of dead processes are adopted and sent; those of living ones are theirs, and are waited for.
Rule 2: it ends: with what waited when it began gone, or without progress for as long as its patience says.
Rule 3: however it ends, what is not settled is in the folder, for whoever comes next; and it says so.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from otel_phi.cli.outbox.letters import Letter, dead_letters
from otel_phi.cli.outbox.status import DestinationStatus, LeftAlone, OutboxStatus, ProcessStatus, outbox_status
from otel_phi.cli.outbox.view import settled_to
from otel_phi.cli.settling import GLANCE_S, Progress, Watched, close, settle
from otel_phi.delivery.exporters.open import open_exporters, resource_of
from otel_phi.delivery.journal.destination import Sealed
from otel_phi.delivery.journal.facts import Position
from otel_phi.delivery.journal.outbox import Folder, Outbox
from otel_phi.delivery.journal.private import where_state_is
from otel_phi.delivery.sending.stats import LiveStats
from otel_phi.hook import old_outbox
from otel_phi.hook.complaints import Complaints
from otel_phi.hook.destinations import destination_of, whose
from otel_phi.hook.live import LiveDelivery

if TYPE_CHECKING:
    from otel_phi.config import Config

INTERRUPTED = "interrupted"
# A folder without its lock is its owner's for five seconds: a living one makes the lock again within one (see `Outbox`).
LOCK_GONE_S = 8.0


class Flushed(msgspec.Struct, frozen=True, kw_only=True):
    """Says how a flush ended.

    Attributes:
        waited: whether there was anything to send.
        stats: of the spans that dead processes left.
        rejection: what the destination last said of spans it rejected, "" if nothing.
        letters: dead letters that were none before.
        trouble: why spans stayed, "" where none did but for those of living processes.
        stayed: what waited when it began, or was open in a dead process's journal, and still is.
        dead: how many dead letters lie there now.
        damaged: lines that could not be read any more, and missing files.
        last_error: what last kept a process's spans from getting through, None if nothing did.
        foreign: facts for this destination with other credentials.
        left_alone: what nobody sends, in this destination's folder.
        others: destinations for which something waits.
    """

    waited: bool
    stats: LiveStats = LiveStats()
    rejection: str = ""
    letters: tuple[Letter, ...] = ()
    trouble: str = ""
    stayed: tuple[ProcessStatus, ...] = ()
    dead: int = 0
    damaged: int = 0
    last_error: str | None = None
    foreign: int = 0
    left_alone: tuple[LeftAlone, ...] = ()
    others: tuple[DestinationStatus, ...] = ()


def flush_outbox(config: Config, *, any_credentials: bool = False) -> Flushed:
    """Sends what waits for a configuration's destination; blocks, bounded by `config.give_up_after_s` without progress.

    Args:
        config: where to.
        any_credentials: send also what was meant for the same destination with other headers.

    Raises:
        ConfigError: a header or certificate cannot be used.
    """
    state = where_state_is(config.state_folder)
    name, ours = destination_of(config).name, _remembered(whose(config, any_credentials=any_credentials))
    before = outbox_status(state)
    mine = [process for process in before.of(name).processes if _is_ours(process, ours)]
    if not any(_has_something(process) for process in mine) and not _old(before.folder):
        return _result(config, before, ours, waited=False)
    targets = {one.folder.path: one.view.end for one in mine if one.folder.alive and one.view.waiting}
    run = _Run(config, ours, any_credentials=any_credentials)
    run.send()
    if not run.trouble:
        run.wait_for_living(targets)
    after = outbox_status(state)
    damaged = max(run.damaged, sum(one.view.damaged_lines + one.view.missing_segments for one in mine))
    waited = bool(run.stats.accepted or targets or any(_has_something(process) for process in mine))
    found = _result(config, after, ours, waited=waited, targets=targets)
    return msgspec.structs.replace(
        found, stats=run.stats, rejection=run.rejection, trouble=run.trouble, damaged=damaged,
        letters=tuple(letter for letter in dead_letters(config) if letter not in run.letters),
    )  # fmt: skip


def _result(
    config: Config,
    found: OutboxStatus,
    ours: Callable[[Sealed], bool],
    *,
    waited: bool,
    targets: dict[Path, Position] | None = None,
) -> Flushed:
    """Says what lies there."""
    here = found.of(destination_of(config).name)
    names = {here.name}
    if _old(found.folder):
        names.add(old_outbox.old_name(config, found.folder.parent))
    mine = [process for process in here.processes if _is_ours(process, ours)]
    theirs = [process for process in here.processes if not _is_ours(process, ours)]
    return Flushed(
        waited=waited,
        stayed=tuple(process for process in mine if _stayed(process, targets or {})),
        dead=sum(len(process.letters) for process in here.processes),
        last_error=here.so_far.last_error,
        foreign=sum(_amount(process) for process in theirs),
        left_alone=tuple(one for one in found.left_alone if one.destination in names),
        others=tuple(one for one in found.destinations if one.name != here.name and (one.waiting or any(one.open))),
    )


def _has_something(process: ProcessStatus) -> bool:
    waits = process.view.waiting or process.retried
    return bool(waits or (not process.folder.alive and (any(process.view.open) or process.view.damaged)))


def _stayed(process: ProcessStatus, targets: dict[Path, Position]) -> bool:
    if process.folder.alive:
        target = targets.get(process.folder.path)
        return target is not None and process.view.settled < target
    return _has_something(process)


def _amount(process: ProcessStatus) -> int:
    """Returns how much of a process waits, at least one where anything does."""
    if process.folder.problem:
        return 0
    return max(process.view.waiting + len(process.retried), int(_has_something(process)))


def _is_ours(process: ProcessStatus, ours: Callable[[Sealed], bool]) -> bool:
    sealed: Sealed | None = process.folder.head or next(iter((*process.retried, *process.letters)), None)
    return sealed is not None and ours(sealed)


def _remembered(ours: Callable[[Sealed], bool]) -> Callable[[Sealed], bool]:
    """Asks once for each salt: the answer takes 10 ms."""
    known: dict[tuple[bytes, bytes], bool] = {}

    def asked(sealed: Sealed) -> bool:
        key = (sealed.salt, sealed.credentials)
        if key not in known:
            known[key] = ours(sealed)
        return known[key]

    return asked


def _old(folder: Path) -> bool:
    return bool(old_outbox.old_files(folder)) or (folder / old_outbox.KNOWN).exists()


class _Run:
    """One flush: a live delivery without a journal of its own, and the wait for others."""

    def __init__(self, config: Config, ours: Callable[[Sealed], bool], *, any_credentials: bool) -> None:
        self._config, self._ours, self._any_credentials = config, ours, any_credentials
        self._outbox = Outbox(where_state_is(config.state_folder))
        self.letters = dead_letters(config)
        self.trouble = self.rejection = ""
        self.stats = LiveStats()
        self.damaged = 0

    def send(self) -> None:
        """Adopts and sends, until no dead process's journal is left, or nothing moves any more."""
        blocked = [one for one in self._pending() if not os.access(one.path, os.W_OK)]
        if blocked:  # a volume that can only be read: what is sent could not be marked as sent
            self.trouble = f"{blocked[0].path} cannot be written to, so nothing can be taken from it"
            return
        watched = tuple(Watched(exporter) for exporter in open_exporters(self._config))
        delivery = LiveDelivery(
            self._config, resource_of(self._config), Complaints(self._config.display_endpoint),
            exporters=watched, own=False, any_credentials=self._any_credentials,
        )  # fmt: skip
        try:
            self.trouble = self._settled(delivery, watched)
        except KeyboardInterrupt:
            self.trouble = INTERRUPTED
        finally:
            close(delivery)
        self.stats, self.damaged = _sum(self.stats, delivery.stats()), self.damaged + delivery.damaged
        self.rejection = next((one.rejection for one in watched if one.rejection), self.rejection)

    def _settled(self, delivery: LiveDelivery, watched: tuple[Watched, ...]) -> str:
        """Waits, for folders too that lost their locks a moment ago; returns why it ended early, "" if it did not."""
        progress = Progress(LOCK_GONE_S)
        while True:
            trouble = settle(delivery, watched, self._config)
            pending = [] if trouble else self._pending()
            if not pending:
                return trouble
            if progress.waited_s([one.path for one in pending]) >= progress.limit_s:
                return f"{pending[0].path} cannot be adopted"
            time.sleep(GLANCE_S)

    def _pending(self) -> list[Folder]:
        """Returns dead processes' folders that are ours to send and are still there."""
        name = destination_of(self._config).name
        here = [one for one in self._outbox.folders() if one.path.parent.name == name and not one.alive]
        return [one for one in here if one.head is not None and one.segments and self._ours(one.head)]

    def wait_for_living(self, targets: dict[Path, Position]) -> None:
        """Waits until living processes have settled what they held at the start, or make no progress."""
        progress = Progress(self._config.give_up_after_s)
        try:
            while True:
                settled = {folder: settled_to(folder) for folder in targets}
                left = [folder for folder, to in settled.items() if to is not None and to < targets[folder]]
                if not left or progress.waited_s(settled) >= progress.limit_s:
                    return
                if any(not one.alive for one in self._outbox.folders() if one.path in left):
                    self.send()  # it has died meanwhile
                    if self.trouble:
                        return
                time.sleep(GLANCE_S)
        except KeyboardInterrupt:
            self.trouble = INTERRUPTED


def _sum(one: LiveStats, other: LiveStats) -> LiveStats:
    dropped = Counter(dict(one.dropped)) + Counter(dict(other.dropped))
    counts = ("accepted", "acknowledged", "rejected", "queued", "dead", "adopted", "posts", "retries")
    sums = {name: getattr(one, name) + getattr(other, name) for name in counts}
    return msgspec.structs.replace(other, dropped=tuple(dropped.items()), **sums)
