"""Troubles: counted always, said the first time of a kind. No text of the agent's gets into a log."""

from __future__ import annotations

import contextlib
import logging
import re
from collections import Counter, deque

from otel_phi.delivery.sending.stats import Progress

logger = logging.getLogger("otel_phi")
_QUOTED = re.compile(r"'[^']*'")
# Kinds are few; a wild stream, or a destination that finds new words each time, must not make them many.
MAX_KINDS = 64


class Complaints:
    """Complaints wait until the live thread says them: a logging handler can be slow, raise, or call the hook.

    Args:
        endpoint: the destination in words, without secrets.

    Attributes:
        counts: troubles by kind.
    """

    def __init__(self, endpoint: str = "") -> None:
        self.counts: Counter[str] = Counter()
        self._endpoint = endpoint
        self._waiting: deque[tuple[str, str]] = deque()

    def add(self, kind: str, text: str) -> None:
        """Counts a trouble; the first of its kind is to be said."""
        if kind not in self.counts and len(self.counts) >= MAX_KINDS:
            kind = "more"
        self.counts[kind] += 1
        if self.counts[kind] == 1:
            self._waiting.append((kind, text))

    def failed(self, where: str, error: BaseException) -> None:
        """Counts a fault of ours. Only its type is told: its words can hold the agent's."""
        name = type(error).__name__
        self.add(f"{where}: {name}", f"{where} failed: {name}; this is a bug of otel-phi's, the agent is not touched")

    def undecodable(self, reason: str) -> None:
        """Counts something that is no event; what the reason quotes is not repeated."""
        unquoted = _QUOTED.sub("'...'", reason)
        self.add("undecodable", f"what was given is no event: {unquoted}")

    def trouble(self, progress: Progress) -> None:
        """Looks at a state of a sender, which holds its lock: nothing is said here."""
        if progress.trouble:
            kind = progress.trouble.partition(": ")[0]  # what follows are the destination's words
            if kind not in self.counts:
                self.add(kind, f"{self._endpoint}: {progress.trouble}; spans are kept and tried again")

    def speak(self) -> None:
        """Logs what is to be said. A logging handler that raises costs nobody anything."""
        while self._waiting:
            with contextlib.suppress(Exception):
                kind, text = self._waiting.popleft()
                logger.warning("%s (further ones of this kind are only counted: %s)", text, kind)
