"""Sessions that are no file of their own: those of opencode's database, and those that it kept in many files.

Rule: each is a file as far as a reader can see, with records of its own; its path says where it is: `opencode.db#ses_...`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from otel_phi.sources.agent_order import AgentFile
from otel_phi.sources.agents.adapter import Group
from otel_phi.sources.agents.opencode import Opencode
from otel_phi.sources.agents.opencode_lines import created_ns
from otel_phi.sources.agents.reading import ident
from otel_phi.sources.lines import GZIP_MAGIC
from otel_phi.sources.opencode_database import MAGIC, Database
from otel_phi.sources.opencode_folder import Folder, file_kind
from otel_phi.sources.opencode_rows import SessionRow

_HEAD_BYTES = 1 << 16
_MS = 1_000_000
_OPENCODE = Opencode()


def sessions_in(path: Path) -> list[AgentFile] | None:
    """Returns the sessions of a database or of a session's file in a folder of files; None for any other file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if head.startswith(MAGIC):
        return database_sessions(path)
    if head.startswith(GZIP_MAGIC) or file_kind(path, head) != "session":
        return None
    return [_folder_session(path)]


def database_sessions(path: Path) -> list[AgentFile]:
    """Returns the sessions of opencode's database; a sub-agent's are of their root's session.

    Raises:
        OSError: it cannot be read.
    """
    database = Database(path)
    rows = {row.id: row for row in database.sessions()}
    roots = {row.id: _root(row, rows) for row in rows.values()}
    written: dict[bytes, int] = {}
    for row in rows.values():  # while a sub-agent works, its parent only waits
        written[roots[row.id]] = max(written.get(roots[row.id], 0), row.written_ms)
    share = path.stat().st_size // max(len(rows), 1)
    return [_database_session(database, row, roots[row.id], written[roots[row.id]], share) for row in rows.values()]


def _root(row: SessionRow, rows: dict[bytes, SessionRow]) -> bytes:
    root, passed = row.id, {row.id}
    while (parent := rows[root].parent if root in rows else b"") and parent not in passed:
        passed.add(parent)
        root = parent
    return root


def _database_session(database: Database, row: SessionRow, root: bytes, written_ms: int, size_bytes: int) -> AgentFile:
    own, key = (value.decode("utf-8", "replace") for value in (row.id, root))
    is_main = not row.parent or own == key
    group = Group(
        key=key,
        main=is_main,
        agent_id="" if is_main else own,
        started_ns=row.created_ms * _MS,
        forked_from=row.origin.decode("utf-8", "replace"),
    )
    path = Path(f"{database.path}#{own}")
    return AgentFile(path, _OPENCODE, group, size_bytes, written_ms * _MS, partial(database.records, row))


def _folder_session(path: Path) -> AgentFile:
    folder = Folder(path)
    info, (size_bytes, written_ns) = folder.info, folder.look()
    own, parent = ident(info.id) or path.stem, ident(info.parentID)
    group = Group(key=parent or own, main=not parent, agent_id=own if parent else "", started_ns=created_ns(info))
    return AgentFile(path, _OPENCODE, group, size_bytes, written_ns, folder.records)
