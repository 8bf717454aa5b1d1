"""opencode's database, read beside a living opencode: `opencode.db`, SQLite in WAL mode.

    session ──< message ──< part        each message with its parts is one record, see `agents.opencode_lines` and `opencode_queries`

Rule 1: nothing is written, beside it neither. With `-wal` and `-shm` there it is opened read-only and sees what was committed a moment
        ago; with neither nobody has it open, and it is read as a file that does not change. If it has changed by the time a batch was
        read, the batch is read again. A `-wal` alone, as in a copy of the folder, or with a `-shm` that is another user's, would need one:
        database and `-wal` are copied first.
Rule 2: nobody waits for us: it is open for a batch of messages and closed again, whatever becomes of them then.
Rule 3: a batch is one transaction: a message is never half of two states. What is written later comes with a later batch, or a later run.
Rule 4: memory is bounded by a batch, whatever the session's length.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import msgspec

from otel_phi.sources import opencode_queries as queries
from otel_phi.sources.opencode_rows import Place, SessionRow

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")
MAGIC = b"SQLite format 3\x00"
# A writer without WAL holds the file for milliseconds; opencode itself waits as long.
_BUSY_S = 5.0
_TRIES = 5  # so often a batch is read again because somebody began to write
_HEADER_BYTES = 100
_WRITE_VERSION = 18  # byte of the header: 2 in WAL mode


class Look(msgspec.Struct, frozen=True):
    """A look says what lay there at a moment: length and time of the database, and whether the files of a living one were beside."""

    size_bytes: int
    changed_ns: int
    has_wal: bool
    has_shm: bool

    @property
    def is_open(self) -> bool:
        """Whether somebody has it open in WAL mode, or had until he was killed."""
        return self.has_wal and self.has_shm


class Database:
    """A database is opencode's, at a path.

    Args:
        path: the main file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._copied: tuple[Look, Path] | None = None

    def read(self, ask: Callable[[sqlite3.Connection], T]) -> T:
        """Asks something in one transaction.

        Raises:
            OSError: it cannot be read, or is damaged.
        """
        import sqlite3  # loaded where there is a database

        try:
            return self._read(ask)
        except sqlite3.Error as error:
            raise OSError(str(error)) from None

    def _read(self, ask: Callable[[sqlite3.Connection], T]) -> T:
        import sqlite3

        for attempt in range(_TRIES):
            before = self._look()
            fixed = not before.is_open and self._is_in_wal_mode()
            try:
                with closing(self._connection(before, fixed=fixed)) as connection:
                    connection.execute("BEGIN")
                    found = ask(connection)
            except sqlite3.Error:
                if not fixed or self._look() == before or attempt == _TRIES - 1:
                    raise
                continue
            if not fixed or self._look() == before:
                return found
        raise OSError("the database changed each time it was read: try again")

    def _look(self) -> Look:
        facts = self.path.stat()
        wal, shm = Path(f"{self.path}-wal"), Path(f"{self.path}-shm")
        has_shm = shm.exists() and os.access(shm, os.W_OK)  # a reader marks there what it reads
        has_wal = wal.exists() and (has_shm or wal.stat().st_size > 0)
        return Look(facts.st_size, facts.st_mtime_ns, has_wal, has_shm)

    def _is_in_wal_mode(self) -> bool:
        with self.path.open("rb") as stream:
            head = stream.read(_HEADER_BYTES)
        return len(head) > _WRITE_VERSION and head[_WRITE_VERSION] == 2

    def _connection(self, look: Look, *, fixed: bool) -> sqlite3.Connection:
        import sqlite3

        path = self._copy(look) if fixed and look.has_wal else self.path
        options = "mode=ro" if not fixed or look.has_wal else "mode=ro&immutable=1"
        address = f"file:{quote(str(path.absolute()))}?{options}"
        connection = sqlite3.connect(address, uri=True, timeout=_BUSY_S, isolation_level=None)
        connection.text_factory = bytes  # what is no UTF-8 costs what it stands in
        return connection

    def _copy(self, look: Look) -> Path:
        if self._copied is None or self._copied[0] != look:
            folder = Path(tempfile.mkdtemp(prefix="otel-phi-"))
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            for name in (self.path.name, f"{self.path.name}-wal"):
                shutil.copyfile(self.path.with_name(name), folder / name)
            self._copied = (look, folder)
        return self._copied[1] / self.path.name

    # --- what is in it -----------------------------------------------------------------------------------------------------

    def is_opencodes(self) -> bool:
        """Says whether it has opencode's tables.

        Raises:
            OSError: it cannot be read.
        """
        return self.read(queries.is_opencodes)

    def sessions(self) -> list[SessionRow]:
        """Returns all sessions.

        Raises:
            OSError: it cannot be read.
        """
        return self.read(queries.sessions)

    def records(self, session: SessionRow, after: Place = queries.START) -> Iterator[tuple[int, bytes]]:
        """Yields a session's records with their positions, which grow with the messages' times.

        Args:
            session: the session.
            after: leave out the messages up to that place.

        Raises:
            OSError: it cannot be read.
        """
        yield 0, session.header()
        position = 0
        while found := self.read(partial(queries.batch, session_id=session.id, after=after)):
            for _, created_ms, record in found:
                position = max(position + 1, created_ms)
                yield position, record
            after = found[-1][0]

    def changed_since(self, mark_ms: int) -> tuple[set[str], int]:
        """Returns the ids of the sessions that were written to since a mark, and the next mark.

        A session counts as written to with its own row and with its messages': a message's row is written when it begins and when it
        is complete. What was written in the mark's own millisecond is named again.

        Args:
            mark_ms: as it was returned before, 0 for all.

        Raises:
            OSError: it cannot be read.
        """
        return self.read(partial(queries.changed, mark_ms=mark_ms))
