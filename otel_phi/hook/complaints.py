"""Troubles: counted always, said the first time of a kind. No text of the agent's gets into a log."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter, deque

from otel_phi.delivery.sending.stats import Progress

logger = logging.getLogger("otel_phi")
# Kinds are few; a wild stream, or a destination that finds new words each time, must not make them many.
MAX_KINDS = 64
# Names that nobody knows come from a program's text: few. A wild stream must not make them many.
MAX_NAMES = 256


class Complaints:
    """Complaints wait until the live thread says them: a logging handler can be slow, raise, or call the hook.

    Args:
        endpoint: the destination in words, without secrets.
        strict: whether what nobody understands is said elsewhere: it is only counted here.

    Attributes:
        counts: troubles by kind.
        unknown: what nobody understands in an event, by kind and name; what is past a bound is `more`.
    """

    def __init__(self, endpoint: str = "", *, strict: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self._strict = strict
        self._strange: set[str] = set()
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
        """Counts something that is no event."""
        self.add("undecodable", f"what was given is no event: {reason}")

    def strange(self, kind: str, name: str, text: str) -> None:
        """Counts something that nobody understands in an event; the first of its kind is to be said.

        Args:
            kind: `unknown_type`, `unknown_key` or `loop_not_open`.
            name: the type or key; "" where names are many, of loops say.
            text: what is to be said.
        """
        counted = f"{kind} {name}".rstrip()
        self.unknown[counted if counted in self.unknown or len(self.unknown) < MAX_NAMES else "more"] += 1
        if kind not in self._strange and not self._strict:
            self._strange.add(kind)
            self._waiting.append((kind, text))

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
