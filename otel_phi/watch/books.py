"""The books: what is settled, written behind it.

Rule: a cursor passes nothing that is not settled. A kill between two writes costs sending again, byte-identical.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from otel_phi.clock import monotonic
from otel_phi.recorder.notices import LoopOpened
from otel_phi.recorder.references import session_key
from otel_phi.watch.cursors import Cursors
from otel_phi.watch.log import Log, Part
from otel_phi.watch.outflow import Outflow
from otel_phi.watch.outgoing import Token

WRITE_EVERY_S = 0.25
_CLAIMED, _SETTLED = 1, 2


class Books:
    """Writes what the outflow settled. For one thread.

    Args:
        cursors: where it is written.
        outflow: says what is settled.

    Attributes:
        moved: ids of the files read since the last write.
    """

    def __init__(self, cursors: Cursors, outflow: Outflow) -> None:
        self._cursors, self._outflow = cursors, outflow
        self._roots: set[str] = set()
        self._written = monotonic()
        self.moved: set[int] = set()

    def claims_root(self, session: str) -> bool:
        """Says whether a session's root is to leave now; from then on its time stands."""
        row = self._cursors.session(session)
        if session in self._roots or (row is not None and row[3] == _SETTLED):
            return False
        self._roots.add(session)
        self._cursors.root(session, _CLAIMED)
        return True

    def write(self, logs: Mapping[int, tuple[Log, Part]], *, force: bool) -> None:
        """Takes in what was settled and writes it, if it is time.

        Args:
            logs: the logs and their parts, by the ids of their files.
            force: whether it is time.
        """
        self._outflow.settle()
        if not force and monotonic() - self._written < WRITE_EVERY_S:
            return
        self._written = monotonic()
        touched, self._outflow.touched = self._outflow.touched, set()
        roots, self._outflow.roots = self._outflow.roots, []
        files = [number for number in self.moved | {token.cursor.id for token in touched} if number in logs]
        if touched or roots or files:
            with self._cursors.transaction():
                for key in roots:
                    self._cursors.root(key, _SETTLED)
                for token in touched:
                    self._note(token)
                for log in {id(logs[number][0]): logs[number][0] for number in files}.values():
                    self._cursors.move(log.advance())
        self._roots.difference_update(roots)
        self.moved.clear()

    def _note(self, token: Token) -> None:
        """Writes what is settled of a token: the keys of an open one, the end of a complete one."""
        keys, token.settled = token.settled, []
        if token.complete and token.loop is not None:
            # A loop is known to be done. What a group left is to be known until the cursor has passed it.
            self._cursors.forget_sent(token.cursor.id, token.offset)
        else:
            self._cursors.sent((key, token.cursor.id, token.offset) for key in keys)
        loop = token.loop
        if loop is None:
            return
        session = session_key(loop.session_id)
        if token.complete:
            self._cursors.done(session, loop.loop_id, loop.started_ns)
        elif token.opened is not None and token.latest_ns:
            opened = msgspec.json.encode(_lean(token.opened))
            self._cursors.note_open(session, loop.loop_id, loop.started_ns, opened, token.latest_ns)


def _lean(opened: LoopOpened) -> LoopOpened:
    """Leaves out what the loop's own span does not show, and may hold a key: the address of the model's server."""
    config = opened.loop.config
    if config is None or config.base_url is None:
        return opened
    bare = msgspec.structs.replace(config, base_url=None)
    return msgspec.structs.replace(opened, loop=msgspec.structs.replace(opened.loop, config=bare))
