"""The outbox as a person sees it: what waits for each destination and why, read beside processes that live.

process folders ─▶ JournalView, dead letters ─┐
known.sqlite3: what became of spans so far ───┼▶ OutboxStatus ─▶ text, and JSON: the same numbers
old files, what nobody can read ──────────────┘
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import msgspec

from otel_phi.cli import words
from otel_phi.cli.outbox.view import JournalView, view_of
from otel_phi.delivery.journal.dead_letters import DeadLetter, DeadLetters
from otel_phi.delivery.journal.known import SoFar, counts_so_far
from otel_phi.delivery.journal.outbox import FOLDER, Folder, Outbox
from otel_phi.delivery.journal.private import where_state_is
from otel_phi.hook import old_outbox
from otel_phi.hook.retry_file import retry_files
from otel_phi.recorder.snapshot import OpenWork


class ProcessStatus(msgspec.Struct, frozen=True):
    """A process's status is what its folder holds.

    Attributes:
        folder: as the outbox lists it.
        view: what its journal holds.
        letters: its dead letters.
        retried: dead letters that wait to be sent again.
        retried_bytes: their files' bytes.
    """

    folder: Folder
    view: JournalView
    letters: tuple[DeadLetter, ...] = ()
    retried: tuple[DeadLetter, ...] = ()
    retried_bytes: int = 0

    @property
    def shown(self) -> str:
        """The destination in words, "" where nothing says."""
        shown = (letter.shown for letter in (*self.letters, *self.retried))
        return self.folder.destination.shown or next((one for one in shown if one), "")


class DestinationStatus(msgspec.Struct, frozen=True):
    """A destination's status is what the outbox holds for it.

    Attributes:
        name: its folder's name.
        shown: endpoint and protocol in words, without secrets; "" where nothing says.
        processes: its process folders that can be read, the oldest first.
        so_far: what became of its spans.
    """

    name: str
    shown: str = ""
    processes: tuple[ProcessStatus, ...] = ()
    so_far: SoFar = SoFar()

    @property
    def waiting(self) -> int:
        """How many facts wait."""
        return sum(one.view.waiting for one in self.processes)

    @property
    def retried(self) -> int:
        """How many dead letters wait to be sent again."""
        return sum(len(one.retried) for one in self.processes)

    @property
    def open(self) -> OpenWork:
        """How many loops, turns and groups are open."""
        work = [one.view.open for one in self.processes]
        return OpenWork(sum(w.loops for w in work), sum(w.turns for w in work), sum(w.groups for w in work))

    @property
    def oldest_ns(self) -> int | None:
        """When the oldest fact that waits was recorded, None if none waits."""
        return min((one.view.oldest_ns for one in self.processes if one.view.oldest_ns is not None), default=None)

    @property
    def bytes(self) -> int:
        """Bytes on disk, dead letters and all."""
        return sum(one.folder.bytes + one.folder.dead_letters + one.retried_bytes for one in self.processes)

    @property
    def letters(self) -> tuple[DeadLetter, ...]:
        """Its dead letters, the oldest first."""
        return tuple(sorted((letter for one in self.processes for letter in one.letters), key=lambda one: one.at_ns))

    @property
    def living(self) -> tuple[int, ...]:
        """Ids of the processes that live."""
        return tuple(one.folder.pid for one in self.processes if one.folder.alive)

    @property
    def damaged_lines(self) -> int:
        """Lines that cannot be read any more."""
        return sum(one.view.damaged_lines for one in self.processes)

    @property
    def missing_segments(self) -> int:
        """Files gone from the middle of a journal."""
        return sum(one.view.missing_segments for one in self.processes)

    @property
    def damage(self) -> tuple[str, ...]:
        """What is damaged, with the folder it is in."""
        return tuple(f"{one.folder.path.name}/{message}" for one in self.processes for message in one.view.messages)

    @property
    def silent(self) -> bool:
        """Whether there is nothing to say of it: nothing waits, is open, was refused or is damaged, and nobody lives."""
        some = self.waiting or self.retried or any(self.open) or self.letters or self.living
        return not (some or self.damaged_lines or self.missing_segments)


class LeftAlone(msgspec.Struct, frozen=True):
    """Something is left alone: nobody sends it, or only who is asked to.

    Attributes:
        path: what, relative to the outbox folder.
        reason: why, and what to do.
        destination: the name of the destination: of the folder it lies in, or in an old file's name.
    """

    path: str
    reason: str
    destination: str = ""


class OutboxStatus(msgspec.Struct, frozen=True):
    """An outbox's status is what its folder holds.

    Attributes:
        folder: its path.
        destinations: sorted by name.
        left_alone: what no process sends by itself.
    """

    folder: Path
    destinations: tuple[DestinationStatus, ...] = ()
    left_alone: tuple[LeftAlone, ...] = ()

    @property
    def waiting(self) -> int:
        """How many facts wait."""
        return sum(one.waiting for one in self.destinations)

    @property
    def dead(self) -> int:
        """How many dead letters there are."""
        return sum(len(one.letters) for one in self.destinations)

    @property
    def bytes(self) -> int:
        """Bytes on disk."""
        return sum(one.bytes for one in self.destinations)

    def of(self, name: str) -> DestinationStatus:
        """Returns one destination's status."""
        return next((one for one in self.destinations if one.name == name), DestinationStatus(name))


def outbox_status(state_dir: Path) -> OutboxStatus:
    """Looks through the outbox of a state folder; one that does not exist holds nothing. Nothing is made or changed."""
    state = where_state_is(state_dir)
    outbox = Outbox(state)
    so_far = counts_so_far(state)
    found: dict[str, list[ProcessStatus]] = {}
    alone: list[LeftAlone] = []
    for folder in outbox.folders():
        try:
            process = process_status(folder)
        except OSError as error:
            alone.append(_alone(folder, f"cannot be read: {error.strerror or type(error).__name__}"))
            continue
        if folder.problem:
            alone.append(_alone(folder, folder.problem))
        found.setdefault(folder.path.parent.name, []).append(process)
    alone += _old(outbox.folder)
    names = sorted({*found, *so_far})
    destinations = tuple(_destination(name, found.get(name, ()), so_far.get(name, SoFar())) for name in names)
    return OutboxStatus(state / FOLDER, destinations, tuple(alone))


def process_status(folder: Folder) -> ProcessStatus:
    """Looks into a process's folder.

    Raises:
        OSError: it cannot be read.
    """
    again = retry_files(folder.path)
    return ProcessStatus(
        folder,
        view_of(folder.path, living=folder.alive) if not folder.problem else JournalView(),
        tuple(DeadLetters(folder.path).read()),
        tuple(letter for path in again for letter in DeadLetters(folder.path, path.name).read()),
        sum(path.stat().st_size for path in again if path.exists()),
    )


def _destination(name: str, processes: Iterable[ProcessStatus], so_far: SoFar) -> DestinationStatus:
    every = tuple(processes)
    shown = next((one.shown for one in reversed(every) if one.shown), so_far.shown)
    return DestinationStatus(name, shown, every, so_far)


def _alone(folder: Folder, reason: str) -> LeftAlone:
    return LeftAlone(f"{folder.path.parent.name}/{folder.path.name}", reason, folder.path.parent.name)


def _old(folder: Path) -> list[LeftAlone]:
    """Names files of the format before the journal, with the destination's name as that format had it."""
    found = [_old_file(path, f"of an older otel-phi: {_said_of(path)}") for path in old_outbox.old_files(folder)]
    reason = "of an older otel-phi, damaged or of another version: set aside"
    return [*found, *(_old_file(path, reason) for path in old_outbox.set_aside_files(folder))]


def _old_file(path: Path, reason: str) -> LeftAlone:
    return LeftAlone(path.name, reason, path.name.partition("-")[0])


def _said_of(path: Path) -> str:
    queries = (
        "SELECT (SELECT count(*) FROM span) + (SELECT count(*) FROM open WHERE key NOT IN (SELECT key FROM span))",
        "SELECT count(*) FROM dead",
    )
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=1.0)) as connection:
            spans, dead = (connection.execute(query).fetchone()[0] for query in queries)
            endpoint = old_outbox.endpoint_of(connection)
    except sqlite3.Error:
        return "it cannot be read now"
    where = f" --endpoint {endpoint}" if endpoint else ""
    letters = f" and {words.many(dead, 'dead letter')}" if dead else ""
    return f"{words.many(spans, 'span')}{letters}; `otel-phi flush{where}`, with the agent's headers, sends them"
