"""The outbox: one SQLite file that one process writes, with its spans, its dead letters and what it holds open.

Rules
1. One connection writes, behind one lock, in short statements; whoever cannot have the lock in time goes without.
2. A row is deleted when the destination has acknowledged, rejected or refused it, never before.
3. Rows are numbered in the order they were written; reading moves a cursor, so that what is under way is read once.
4. The number of a row is never used twice, so that a dead letter comes back under its own.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from otel_phi.delivery import outbox_schema
from otel_phi.delivery.envelopes import Envelopes
from otel_phi.delivery.journal.filelock import FileLock
from otel_phi.delivery.open_rows import OpenRows
from otel_phi.delivery.otlp.encoder import Envelope
from otel_phi.delivery.outbox_log import OutboxLog
from otel_phi.delivery.rows import Change, Claim, Item, Row
from otel_phi.delivery.statements import COLUMNS, SLICE_ROWS, Statement, delete, insert_rows, numbered
from otel_phi.delivery.unclaimed import CLAIMED, Unclaimed

_SLICE_BYTES = 1 << 20
# 2020: what is older was told by a clock that had not been set yet, and its age is not known.
CLOCK_SET_NS = 1_577_836_800 * 10**9
LOCK_SUFFIX = ".lock"


class Outbox:
    """Is one open outbox file, ours or a dead process's.

    Args:
        path: the file.
        file_lock: says to others that it is taken.
        connection: from `outbox_schema`.
        envelope: what stands around the rows to come; None for a file that gets none.

    Attributes:
        lock: guards the connection; held for single slices.
        rows: how many wait or are under way, as far as we know: others may purge or retry.
        error: the last failure, "" while all goes well.
        damaged: the file's content cannot be trusted.
        last: the change that was written last.
        open_rows: what it holds open; guarded by `lock`.
        adopted: it is a dead process's.
        held: numbers of rows that came here while a request from memory had them under way: they are not read.
    """

    def __init__(
        self, path: Path, file_lock: FileLock, connection: sqlite3.Connection, envelope: Envelope | None = None
    ) -> None:
        self.path, self._file_lock, self._connection = path, file_lock, connection
        self.lock = threading.Lock()
        self.error, self.damaged = "", False
        self.last: Change | None = None
        self.adopted = envelope is None
        self.held: set[int] = set()
        self._log = OutboxLog(path, self.lock, connection)
        self._cursor = 0
        self._envelopes = Envelopes(connection)
        self._unclaimed = Unclaimed(connection, self._envelopes)
        self.open_rows = OpenRows(connection)
        self._next = 1 + self._one(outbox_schema.LAST_NUMBER)
        self.rows = self._one("SELECT count(*) FROM span")
        self._envelope_id = 0
        if envelope is not None:
            self._envelope_id = self._envelopes.add(envelope)

    @property
    def name(self) -> str:
        """Returns the file's name without its suffix: it tells processes and destinations apart."""
        return self.path.name.removesuffix(outbox_schema.SUFFIX)

    def about(self, facts: Iterable[tuple[str, str]]) -> None:
        """Writes what `status` shows of this file."""
        with self.lock, contextlib.suppress(sqlite3.Error):
            self._connection.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", facts)

    # --- writing -------------------------------------------------------------------------------------------------

    def write_locked(self, change: Change) -> bool:
        """Writes a change in one transaction, all or nothing; False if the disk did not take it. The caller holds `lock`.

        An agent's interrupt (Ctrl-C) passes; `last` tells whether the change was written before it.
        """
        added_ns, first, first_open = time.time_ns(), self._next, self.open_rows.next_number
        try:
            statements = [
                *insert_rows(change.rows, first, self._envelope_id, added_ns),
                *self.open_rows.inserts(change.opened, self._envelope_id, added_ns),
            ]
            if not change.told:
                statements += self.open_rows.effects(change)
            if not self._run(statements):
                return False
            self._took(change, first, first_open)
        except BaseException:
            if self.last is not change and self._wrote(change, first, first_open, added_ns):
                self._took(change, first, first_open)
            raise
        return True

    def _took(self, change: Change, first: int, first_open: int) -> None:
        self.open_rows.took(change, first, first_open)
        self._unclaimed.took(change, first)
        self.error = ""
        self._next, self.rows, self.last = first + len(change.rows), self.rows + len(change.rows), change

    def _wrote(self, change: Change, first: int, first_open: int, added_ns: int) -> bool:
        """Tells whether an interrupted write was done; one that only closes and extends can be done twice."""
        if change.rows:
            return bool(self._one(f"SELECT EXISTS (SELECT 1 FROM span WHERE id = {first})"))  # noqa: S608  # a number
        query = f"SELECT EXISTS (SELECT 1 FROM open WHERE id = {first_open} AND added_ns = {added_ns})"  # noqa: S608
        return bool(change.opened and self._one(query))

    def bury(self, number: int, reason: str) -> bool:
        """Makes a dead letter of a row."""
        copy = f"INSERT OR REPLACE INTO dead SELECT {COLUMNS}, ? FROM span WHERE id = ?"  # noqa: S608  # our own names
        return self._transaction((copy, (reason, number)), delete("span", (number,)), gone=(number,))

    def bury_foreign(self, row: Row, reason: str) -> bool:
        """Makes a dead letter of a span that is no row here: a session's root, or one that was in memory."""
        with self.lock:
            number, self._next = self._next, self._next + 1
        values = (number, row.key, row.session, self._envelope_id, time.time_ns(), row.entry, reason)
        return self._transaction(("INSERT INTO dead VALUES (?, ?, ?, ?, ?, ?, ?)", values))

    def delete(self, numbers: Sequence[int]) -> bool:
        """Deletes rows, a slice at a time; False if the disk did not let us."""
        done = True
        for start in range(0, len(numbers), SLICE_ROWS):
            chunk = numbers[start : start + SLICE_ROWS]
            done &= self._transaction(delete("span", chunk), gone=chunk)
        return done

    # --- reading -------------------------------------------------------------------------------------------------

    def load(self) -> list[Item]:
        """Returns the next slice of rows that wait and moves on; nothing once all are under way."""
        found: list[Item] = []
        total = 0
        with self.lock:
            where = f"(id > ?{numbered('OR id IN', self._unclaimed.released)})"
            query = f"SELECT id, envelope, entry FROM span WHERE {where}{CLAIMED}{self._unheld()} ORDER BY id LIMIT ?"  # noqa: S608
            for number, envelope, entry in self._connection.execute(query, (self._cursor, SLICE_ROWS)):
                found.append(Item(number, self._envelopes.get(envelope), entry))
                self._cursor = max(self._cursor, number)
                self._unclaimed.released.discard(number)
                total += len(entry)
                if total > _SLICE_BYTES:
                    break
        return found

    def claimable(self) -> list[Claim]:
        """Returns a slice of the roots that nobody has claimed."""
        with self.lock:
            return self._unclaimed.load(self.held)

    def release(self, number: int) -> bool:
        """Makes an unclaimed root a row like the others."""
        with self.lock:
            return self._run([self._unclaimed.release(number)])

    def present(self, numbers: Sequence[int]) -> set[int]:
        """Returns those of some rows' numbers that others have not deleted."""
        with self.lock:
            query = f"SELECT id FROM span WHERE 1{numbered('AND id IN', numbers)}"  # noqa: S608
            return {number for (number,) in self._connection.execute(query)}

    def recount(self) -> int:
        """Counts again, reads from the first row again, and returns by how many `rows` was too high (purged) or low (retried)."""
        with self.lock:
            self._cursor = 0
            found = self._one("SELECT count(*) FROM span")
            gone, self.rows = self.rows - found, found
            return gone

    def first(self) -> int:
        """Returns the number of the oldest row that is not settled, one past the last where all are."""
        with self.lock:
            return self._one("SELECT min(id) FROM span") or self._next

    @property
    def next_number(self) -> int:
        """Returns the number the next row will get."""
        return self._next

    def is_empty(self) -> bool:
        """Tells whether the file holds nothing that anyone may want."""
        return not any(self._one(f"SELECT EXISTS (SELECT 1 FROM {table})") for table in ("span", "dead", "open"))  # noqa: S608

    # --- bounds and upkeep -----------------------------------------------------------------------------------------

    def used_bytes(self) -> int:
        """Returns the bytes of the pages that hold something."""
        with self.lock:
            pages, free = self._one("PRAGMA page_count"), self._one("PRAGMA freelist_count")
            return (pages - free) * self._one("PRAGMA page_size")

    def evict(self, older_than_ns: int | None = None) -> int:
        """Deletes the oldest rows that are not under way, a slice of them, and returns how many."""
        least, limit = (-(2**63), 2**63 - 1) if older_than_ns is None else (CLOCK_SET_NS, older_than_ns)
        query = f"SELECT id FROM span WHERE (id > ? OR envelope < 0) AND added_ns >= ? AND added_ns < ?{self._unheld()} ORDER BY id LIMIT ?"  # noqa: S608
        with self.lock:
            found = self._connection.execute(query, (self._cursor, least, limit, SLICE_ROWS)).fetchall()
        return len(found) if found and self.delete([number for (number,) in found]) else 0

    def forget_dead(self, older_than_ns: int) -> None:
        """Deletes dead letters nobody asked for."""
        self._transaction(("DELETE FROM dead WHERE added_ns >= ? AND added_ns < ?", (CLOCK_SET_NS, older_than_ns)))

    def checkpoint(self, over_bytes: int) -> None:
        """Moves the write-ahead log into the file once it passes `over_bytes`."""
        try:
            self._log.shorten(over_bytes)
        except (OSError, sqlite3.Error, outbox_schema.UnusableError) as error:
            self.error = str(error)

    def close(self, *, keep: bool = False) -> bool:
        """Closes the file and lets it go; one that holds nothing is removed.

        Args:
            keep: do not remove it in any case.

        Returns:
            Whether it was removed.
        """
        with self.lock:
            removed = False
            with contextlib.suppress(sqlite3.Error):
                removed = not keep and self.is_empty()
            self._log.close()
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            if removed:
                outbox_schema.remove(self.path)
            self._file_lock.release(remove=removed)
            return removed

    # --- inside ------------------------------------------------------------------------------------------------------

    def _one(self, query: str) -> int:
        return int(self._connection.execute(query).fetchone()[0] or 0)

    def _unheld(self) -> str:
        return numbered("AND id NOT IN", self.held)

    def fold(self) -> bool:
        """Writes a slice of what rows say of open ones, before they leave; False if there is none, or the disk is full."""
        with self.lock:
            rows = self.open_rows.owing(SLICE_ROWS)
            if not rows or not self._run(self.open_rows.owed(rows)):
                return False
            self.open_rows.paid(rows)
            return True

    def _transaction(self, *statements: Statement, gone: Sequence[int] = ()) -> bool:
        """Writes statements, after what the rows that go with them say of open ones."""
        with self.lock:
            if not self._run([*self.open_rows.owed(gone), *statements]):
                return False
            self.open_rows.paid(gone)
            self.rows -= len(gone)
            return True

    def _run(self, statements: Sequence[Statement]) -> bool:
        """Writes all or nothing. The caller holds `lock`."""
        execute = self._connection.execute
        try:
            if len(statements) == 1:  # a transaction of its own
                execute(*statements[0])
                return True
            execute("BEGIN IMMEDIATE")
            for statement, values in statements:
                execute(statement, values)
            execute("COMMIT")
        except sqlite3.Error as error:
            self.failed(error)
            return False
        except BaseException:  # an interrupt of the agent's, or a signal handler's exit
            self._undo()
            raise
        return True

    def _undo(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def failed(self, error: BaseException) -> None:
        """Notes a failure; what was half done is undone."""
        self._undo()
        self.error = str(error) or type(error).__name__
        self.damaged = self.damaged or outbox_schema.is_damage(error)
