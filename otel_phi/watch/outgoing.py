"""Spans on their way out, and the tokens that say what is settled of the loop or group they belong to."""

from __future__ import annotations

import msgspec

from otel_phi.mapping.span import Span
from otel_phi.recorder.identities import LoopIdentity
from otel_phi.recorder.notices import LoopOpened
from otel_phi.watch.cursor_rows import FileCursor


class Token:
    """Stands for what began at a place of a file.

    Attributes:
        cursor: the file.
        offset: of the line, bytes; in a saved session the number of the event.
        line: its number.
        loop: the loop that began there, None for a group.
        opened: its opening, to be read again if its file vanishes.
        open: whether it has not ended.
        sent: whether all of it left before; then nothing of it leaves again.
        check: whether some of it may have.
        unsettled: spans under way.
        latest_ns: the latest end of what was sent of it.
        settled: keys settled since the last commit.
    """

    __slots__ = ("check", "cursor", "latest_ns", "line", "loop", "offset", "open", "opened", "sent", "settled", "unsettled")  # fmt: skip

    def __init__(self, cursor: FileCursor, offset: int, line: int, loop: LoopIdentity | None = None) -> None:
        self.cursor, self.offset, self.line, self.loop = cursor, offset, line, loop
        self.opened: LoopOpened | None = None
        self.open = True
        self.sent = self.check = False
        self.unsettled = 0
        self.latest_ns = 0
        self.settled: list[bytes] = []

    @property
    def complete(self) -> bool:
        """Whether nothing of it is left to be done."""
        return not self.open and not self.unsettled


class Outgoing(msgspec.Struct, frozen=True):
    """An outgoing is a finished span on its way out.

    Attributes:
        span: the span.
        token: what it belongs to.
        root_of: key of the session whose root it is, "" for none.
    """

    span: Span
    token: Token
    root_of: str = ""
