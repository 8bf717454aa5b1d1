"""What a person changes in the outbox: dead letters are to be sent again, a session or all of it is purged.

Both work beside processes that live: a file is renamed, lines are blanked where they stand, and their owner is told.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from otel_phi.delivery.journal import filelock
from otel_phi.delivery.journal.adoption import remove_folder
from otel_phi.delivery.journal.dead_letters import DeadLetters
from otel_phi.delivery.journal.outbox import LOCK, Folder, Outbox
from otel_phi.delivery.journal.private import where_state_is
from otel_phi.delivery.journal.purge import purge as purge_folder
from otel_phi.hook import old_outbox
from otel_phi.hook.old_open_rows import CLOSED
from otel_phi.hook.retry_file import LOCK_SUFFIX, retry, retry_files
from otel_phi.recorder import snapshot
from otel_phi.recorder.core import RecorderCore


def retry_letters(state_dir: Path) -> int:
    """Lets all dead letters be sent again, and files that were set aside be read again if they now can be.

    Returns:
        How many dead letters.

    Raises:
        OSError: a file cannot be renamed.
    """
    outbox = Outbox(where_state_is(state_dir))
    for path in old_outbox.set_aside_files(outbox.folder):
        with contextlib.suppress(sqlite3.Error, old_outbox.UnusableError):
            old_outbox.connected(path).close()  # folds its log into the file
            path.rename(path.with_name(path.name.removesuffix(old_outbox.SET_ASIDE)))
    count = 0
    for one in outbox.folders():
        letters = DeadLetters(one.path)
        some = len(letters.read())
        if some and retry(one.path):
            count += some
    return count


def purge(state_dir: Path, session: str | None = None) -> tuple[int, list[str]]:
    """Deletes what waits, what was refused and what is open.

    Args:
        state_dir: the state folder.
        session: only this session's, None for all.

    Returns:
        How many facts and dead letters, and what was left alone, with why.
    """
    outbox = Outbox(where_state_is(state_dir))
    count, alone = 0, []
    for one in outbox.folders():
        some, why = _tried(one, session)
        count += some
        alone += [f"{one.path}: {why}"] if why else []
    return count + _purge_old(outbox.folder, session), alone


def _tried(one: Folder, session: str | None) -> tuple[int, str]:
    """Returns how many were purged of a folder, and why it was left alone, "" if it was not."""
    try:
        count = _purged(one, session)
    except OSError as error:
        return 0, error.strerror or type(error).__name__
    return count, one.problem if one.path.exists() else ""


def _purged(one: Folder, session: str | None) -> int:
    count = sum(_purged_letters(path, session) for path in retry_files(one.path))
    if not one.problem:
        return count + purge_folder(one.path, session, _sessions_of, without=_without)
    if session is None and not one.alive:
        lock = filelock.acquire(one.path / LOCK)
        if lock is not None:
            remove_folder(one.path, lock)
            return count + 1
    return count


def _purged_letters(path: Path, session: str | None) -> int:
    letters = DeadLetters(path.parent, path.name)
    count = letters.remove(lambda letter: session is None or letter.session_id == session)
    if session is None and not path.with_name(path.name + LOCK_SUFFIX).exists():
        letters.clear()
    return count


def _sessions_of(state: bytes) -> Mapping[str, str]:
    try:
        return snapshot.sessions_of(state)
    except ValueError:  # nobody can read it, so nothing of it leaves
        return {}


def _without(state: bytes, session: str | None) -> bytes:
    """Returns a state without what a session, or everybody, holds open."""
    try:
        core = RecorderCore.restore(state)
    except ValueError:
        return state
    if session is None:
        core.forget_all()
    else:
        core.forget_session(session)
    return core.snapshot()


# --- the format before the journal -----------------------------------------------------------------------------------------


def _purge_old(folder: Path, session: str | None) -> int:
    where, values = ("", ()) if session is None else (" WHERE session = ?", (session.encode("utf-8", "surrogatepass"),))
    count = 0
    for path in old_outbox.old_files(folder):
        with contextlib.suppress(sqlite3.Error, old_outbox.UnusableError):
            count += _purge_old_spans(path, where, values)
    with contextlib.suppress(sqlite3.Error):
        count += _purge_old_roots(folder / old_outbox.KNOWN, where, values)
    if session is None:
        for path in (*old_outbox.old_files(folder), *old_outbox.set_aside_files(folder)):
            _remove_old(path)
    return count


def _purge_old_spans(path: Path, where: str, values: tuple[bytes, ...]) -> int:
    with contextlib.closing(old_outbox.connected(path)) as connection:
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute(CLOSED)  # their spans are counted
        deleted = (f"DELETE FROM {table}{where}" for table in ("span", "dead", "open"))  # noqa: S608  # our own names
        count = sum(connection.execute(statement, values).rowcount for statement in deleted)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return count


def _purge_old_roots(known: Path, where: str, values: tuple[bytes, ...]) -> int:
    if not known.exists():
        return 0
    unsent = f"{where} AND entry IS NOT NULL" if where else " WHERE entry IS NOT NULL"
    columns = "entry = NULL, resource = NULL, scope = NULL, scope_tail = NULL, tail = NULL"
    with contextlib.closing(sqlite3.connect(known, timeout=2.0, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete=ON")
        return connection.execute(f"UPDATE root SET {columns}{unsent}", values).rowcount  # noqa: S608  # our own names


def _remove_old(path: Path) -> None:
    lock = None
    with contextlib.suppress(OSError):
        lock = filelock.acquire(path.with_suffix(old_outbox.LOCK_SUFFIX))
    if lock is not None:
        old_outbox.remove(path)
        lock.release(remove=True)
