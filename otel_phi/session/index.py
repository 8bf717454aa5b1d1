"""Where a `SessionRecorder` keeps its sessions, and which of them hold a loop of a given id.

Rule 1: a session is open or completed. Open ones have unique ids; completed ones need not: an id can come back.
Rule 2: nothing here searches. A parallel evaluation that ends finds the sessions of its loops by id, where phi-core 0.10 looks
        through every loop of every session.
Rule 3: what is drained is forgotten whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sized
from itertools import chain

from otel_phi.session.model import LoopRecord, Session


class SessionIndex:
    """Holds the open and the completed sessions.

    Attributes:
        open: sessions that more loops may join, by id, in the order in which they opened.
        completed: sessions that are done, in the order in which they were.
    """

    def __init__(self) -> None:
        self.open: dict[str, Session] = {}
        self.completed: list[Session] = []
        self._completed_first: dict[str, Session] = {}
        self._open_holders: dict[str, dict[str, Session]] = {}
        self._completed_holders: dict[str, list[Session]] = {}

    def file(self, record: LoopRecord) -> None:
        """Puts an ended loop into its session, which is open as long as a loop of it runs."""
        session = self.open.get(record.session_id)
        if session is not None:
            session.loops.append(record)
            self._open_holders.setdefault(record.loop_id, {})[session.session_id] = session

    def complete(self, session_id: str) -> Session:
        """Takes an open session off the shelf; `shelve` puts it on the other."""
        session = self.open.pop(session_id)
        for loop_id in {record.loop_id for record in session.loops}:
            holders = self._open_holders[loop_id]
            del holders[session_id]
            if not holders:
                del self._open_holders[loop_id]
        return session

    def keep_completed(self, session: Session) -> None:
        """Puts a session among the completed."""
        self.completed.append(session)
        self._completed_first.setdefault(session.session_id, session)
        for loop_id in {record.loop_id for record in session.loops}:
            self._completed_holders.setdefault(loop_id, []).append(session)

    def drain(self) -> list[Session]:
        """Takes all completed sessions away."""
        drained, self.completed = self.completed, []
        self._completed_first.clear()
        self._completed_holders.clear()
        return drained

    def completed_first(self, session_id: str) -> Session | None:
        """Returns the oldest completed session of this id, None where there is none."""
        return self._completed_first.get(session_id)

    def loops_of_id(self, loop_id: str) -> Iterator[LoopRecord]:
        """Yields the first ended loop of this id in every session that has one."""
        for session in chain(self._open_holders.get(loop_id, {}).values(), self._completed_holders.get(loop_id, ())):
            record = session.get_loop(loop_id)
            if record is not None:
                yield record

    def table_sizes(self) -> dict[str, int]:
        """Returns how many entries each table holds: what a test of memory looks at."""
        tables: tuple[Sized, ...] = (
            self.open,
            self.completed,
            self._completed_first,
            self._open_holders,
            self._completed_holders,
        )
        names = ("open", "completed", "completed_first", "open_holders", "completed_holders")
        return {name: len(table) for name, table in zip(names, tables, strict=True)}
