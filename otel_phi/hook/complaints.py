"""Troubles: counted always, logged the first time of a kind. No text of the agent's gets into a log."""

from __future__ import annotations

import contextlib
import logging
import re
from collections import Counter, deque

logger = logging.getLogger("otel_phi")
_QUOTED = re.compile(r"'[^']*'")
# Kinds are few; a wild stream must not make them many.
MAX_KINDS = 64


class Complaints:
    """Keeps what is to be said until nobody waits for us: a logging handler can be slow, or call the hook.

    Attributes:
        counts: troubles by kind.
        unsaid: kinds and texts to be logged.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.unsaid: deque[tuple[str, str]] = deque()

    def add(self, kind: str, text: str) -> None:
        """Counts a trouble; the first of its kind is to be logged."""
        if kind not in self.counts and len(self.counts) >= MAX_KINDS:
            kind = "more"
        self.counts[kind] += 1
        if self.counts[kind] == 1:
            self.unsaid.append((kind, _QUOTED.sub("'...'", text)))

    def failed(self, where: str, error: BaseException) -> None:
        """Counts a fault of ours. Only its type is told: its words can hold the agent's."""
        name = type(error).__name__
        self.add(f"{where}: {name}", f"{where} failed: {name}; this is a bug of otel-phi's, the agent is not touched")

    def speak(self) -> None:
        """Logs what is to be said, outside of all locks. A logging handler that raises costs nobody anything."""
        while self.unsaid:
            with contextlib.suppress(Exception):
                kind, text = self.unsaid.popleft()
                logger.warning("%s (further ones of this kind are only counted: %s)", text, kind)
