"""What `show` draws: rows. A row is a thing that took time, a note below one, or a fold of many.

Rule: all text of a row has been through `clean`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["loop", "group", "turn", "chat", "tool", "other", "fold", "error", "event", "link", "idle", "message"]
NOTES: frozenset[Kind] = frozenset({"error", "event", "link", "idle", "message"})


class Row(msgspec.Struct):
    """A row is one line of a session's tree, with the rows below it.

    Attributes:
        kind: what it shows; notes have neither duration nor bar.
        text: its label, clean.
        started_ns: when it began; of a note, when it happened.
        ended_ns: when it ended.
        remark: what is said after the label, dimmed.
        tokens: input and output tokens, (0, 0) for none.
        failed: whether it went wrong.
        rows: the rows below it.
    """

    kind: Kind
    text: str
    started_ns: int = 0
    ended_ns: int = 0
    remark: str = ""
    tokens: tuple[int, int] = (0, 0)
    failed: bool = False
    rows: list[Row] = []
