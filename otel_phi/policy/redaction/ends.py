"""The ends of a text that is far too long: its middle will be cut, so only what is near its ends is looked at.

Rule 1: a secret is shorter than the margin. So one that begins or ends outside of what is looked at lies in what is cut.
Rule 2: one that lies over the place of the cut goes whole.
"""

from __future__ import annotations

from collections.abc import Callable

from otel_phi.policy.redaction.escapes import decoded
from otel_phi.policy.redaction.hits import Hit, replaced

# Characters beyond what is kept that are looked at: the longest private keys have 13,000.
MARGIN = 16_384


class Tally:
    """Counts the secrets that were taken out.

    Attributes:
        redacted: how many.
    """

    __slots__ = ("redacted",)

    def __init__(self) -> None:
        self.redacted = 0


def ends(text: str, room: int, find: Callable[[str], list[Hit]], tally: Tally) -> str:
    """Returns both ends of a text without their secrets, what lies between told in bytes.

    Args:
        text: longer than `room` and two margins.
        room: characters to keep at most, of both ends together.
        find: returns the secrets in a text.
        tally: counts them.
    """
    half = max(room, 2) // 2
    head, tail = decoded(text[: half + MARGIN]), decoded(text[-half - MARGIN :])
    first = [hit for hit in find(head) if hit.start < half]
    until = max([half, *(hit.end for hit in first)])
    start = max(len(tail) - half, 0)
    last = [hit for hit in find(tail) if hit.end > start]
    start = min([start, *(hit.start for hit in last)])
    tally.redacted += len(first) + len(last)
    kept_tail = replaced(tail[start:], [Hit(hit.start - start, hit.end - start, hit.kind) for hit in last])
    gone = len(text.encode("utf-8", "surrogatepass")) - len(head[:until].encode("utf-8", "surrogatepass"))
    gone -= len(tail[start:].encode("utf-8", "surrogatepass"))
    return f"{replaced(head[:until], first)}…[cut {max(gone, 1)} bytes]…{kept_tail}"
