"""The cursors on disk: one SQLite file a destination, owner only, its format numbered.

Rule 1: times have no declared type: one outside SQLite's integers, of the year 9999 say, is kept as text, whole.
Rule 2: numbers of files are never given twice: loops and other files name them.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from otel_phi.delivery.journal.private import make_file

_VERSION = 1
_BUSY_S = 5.0  # another watch of the same destination commits in milliseconds
SCHEMA = """
CREATE TABLE IF NOT EXISTS file (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, identity TEXT NOT NULL, head BLOB NOT NULL, head_bytes INTEGER NOT NULL,
    path BLOB NOT NULL, offset INTEGER NOT NULL, line INTEGER NOT NULL, read_bytes INTEGER NOT NULL, size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, follows INTEGER NOT NULL DEFAULT 0, gone INTEGER NOT NULL DEFAULT 0, seen_s INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS file_identity ON file (identity);
CREATE TABLE IF NOT EXISTS loop (
    loop_id TEXT NOT NULL, started_ns NOT NULL, session TEXT NOT NULL, session_id TEXT NOT NULL, caller TEXT,
    file INTEGER NOT NULL, done INTEGER NOT NULL DEFAULT 0, opened BLOB, latest_ns NOT NULL DEFAULT 0,
    seen_s INTEGER NOT NULL, PRIMARY KEY (loop_id, started_ns, session)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS loop_file ON loop (file) WHERE done = 0;
CREATE TABLE IF NOT EXISTS session (
    session TEXT PRIMARY KEY, session_id TEXT NOT NULL, agent_id TEXT NOT NULL, opened_ns NOT NULL,
    root INTEGER NOT NULL DEFAULT 0, seen_s INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS compacted (
    session TEXT NOT NULL, name TEXT NOT NULL, started_ns NOT NULL, file INTEGER NOT NULL, offset INTEGER NOT NULL, at_ns NOT NULL,
    seen_s INTEGER NOT NULL, PRIMARY KEY (session, name, started_ns, file)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sent (
    key BLOB PRIMARY KEY, file INTEGER NOT NULL, token INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sent_token ON sent (file, token);
PRAGMA user_version = 1;
"""


SET_ASIDE = ".set-aside"


def set_aside(path: Path) -> Path:
    """Renames a file that cannot be used, so that no one trips over it again, and returns its new name."""
    target = path.with_name(path.name + SET_ASIDE)
    for suffix in ("-wal", ""):
        with contextlib.suppress(OSError):
            path.with_name(path.name + suffix).replace(target.with_name(target.name + suffix))
    with contextlib.suppress(OSError):
        path.with_name(path.name + "-shm").unlink(missing_ok=True)
    return target


def connected(path: Path) -> sqlite3.Connection:
    """Opens the file, made if need be.

    Raises:
        OSError: it cannot be made.
        sqlite3.Error: it is damaged, or of a newer version.
    """
    with contextlib.suppress(FileExistsError):
        make_file(path)
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _VERSION):
            raise sqlite3.OperationalError(f"{path.name} was written by another version of otel-phi (format {version})")
        connection.executescript(SCHEMA)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def in_memory() -> sqlite3.Connection:
    """Opens cursors that nothing outlives."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(SCHEMA)
    return connection
