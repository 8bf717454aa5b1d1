"""What is to be logged once none of our locks is held: a logging handler can be slow, and can ask us for our counts."""

from __future__ import annotations

import logging
from collections import deque

logger = logging.getLogger("otel_phi")
_unsaid: deque[tuple[str, tuple[object, ...]]] = deque(maxlen=1_000)  # a line for each file there can be, and then some


def warn(text: str, *values: object) -> None:
    """Keeps a warning for `speak`."""
    _unsaid.append((text, values))


def speak() -> None:
    """Logs what is to be said; the caller holds no lock of ours."""
    while True:
        try:
            text, values = _unsaid.popleft()
        except IndexError:
            return
        logger.warning(text, *values)


def forget() -> None:
    """Leaves what is to be said to the parent, after a fork."""
    _unsaid.clear()
