"""What the cursors remember of other agents' sessions: the claims, which files are one session, where a pause was told.

Rule 1: a claim is on disk before anything leaves that it let through: a watch that was killed decides the same again.
Rule 2: claims are a destination's own. What another destination was sent is no copy here.
Rule 3: a claim is kept for a year after it was last asked for: agents delete their files after 30 days, what was resumed from them later.
"""

from __future__ import annotations

from otel_phi.clock import monotonic, wall_ns
from otel_phi.watch.cursors import Cursors

KEPT_MONTHS = 13
_MONTH_S = 30 * 86_400
_EPOCH_S = 1_577_836_800  # 2020: a month's number takes a byte or two
_DAY_S = 86_400


class AgentRows:
    """Keeps what is known of agents' files and calls. For one thread.

    Args:
        cursors: where it is kept.
    """

    def __init__(self, cursors: Cursors) -> None:
        self._cursors = cursors
        self._pending: dict[bytes, bytes] = {}
        self._asked: set[bytes] = set()  # of those on disk, what has to be kept longer
        self._month = 0
        self._swept = 0.0
        self.sweep()

    # --- claims ------------------------------------------------------------------------------------------------------

    def claim(self, key: bytes, owner: bytes) -> bool:
        """Takes a key for an owner, see `Claims`; on disk with the next `commit`."""
        pending = self._pending.get(key)
        if pending is not None:
            return pending == owner
        found = self._cursors.ask("SELECT owner, month FROM claim WHERE key = ?", key)
        if not found:
            self._pending[key] = owner
            return True
        if found[0][1] < self._month:
            self._asked.add(key)
        return bool(found[0][0] == owner)

    def commit(self) -> None:
        """Writes the claims made since the last time."""
        if self._pending or self._asked:
            with self._cursors.transaction():
                rows = [(key, owner, self._month) for key, owner in self._pending.items()]
                self._cursors.write("INSERT OR IGNORE INTO claim VALUES (?,?,?)", rows)
                self._cursors.write(
                    "UPDATE claim SET month = ? WHERE key = ?", [(self._month, key) for key in self._asked]
                )
            self._pending.clear()
            self._asked.clear()

    # --- files -------------------------------------------------------------------------------------------------------

    def see_file(self, file: int, session: str, fallback_ns: int) -> int:
        """Takes the session that a file is of; returns the time of its records if none has one: when it was first seen.

        Args:
            file: number of the file.
            session: key of the session.
            fallback_ns: when the file was last written to.
        """
        found = self._cursors.ask("SELECT session, fallback_ns FROM agent_file WHERE file = ?", file)
        if found and found[0][0] == session:
            return int(found[0][1])
        first_ns = int(found[0][1]) if found else fallback_ns
        self._cursors.write("INSERT OR REPLACE INTO agent_file VALUES (?,?,?)", [(file, session, first_ns)])
        return first_ns

    def session_of(self, file: int) -> str:
        """Returns the key of the session that a file is of, "" where it is of none."""
        found = self._cursors.ask("SELECT session FROM agent_file WHERE file = ?", file)
        return str(found[0][0]) if found else ""

    def files_of(self, session: str) -> list[int]:
        """Returns the numbers of the files of a session, also of those that are no more."""
        return [row[0] for row in self._cursors.ask("SELECT file FROM agent_file WHERE session = ?", session)]

    def silences(self, file: int) -> set[int]:
        """Returns where in a file a pause was told, by the offset of what came next."""
        return {row[0] for row in self._cursors.ask("SELECT position FROM silence WHERE file = ?", file)}

    def note_silence(self, file: int, position: int) -> None:
        """Remembers that a pause was told: read again, the file is to give the same loops."""
        self._cursors.write("INSERT OR IGNORE INTO silence VALUES (?,?)", [(file, position)])

    def sweep(self) -> None:
        """Forgets claims that nobody has asked for in a year, once a day."""
        if self._swept and monotonic() - self._swept < _DAY_S:
            return
        self._swept = monotonic()
        self._month = max(wall_ns() // 10**9 - _EPOCH_S, 0) // _MONTH_S
        self._cursors.write("DELETE FROM claim WHERE month < ?", [(self._month - KEPT_MONTHS,)])
