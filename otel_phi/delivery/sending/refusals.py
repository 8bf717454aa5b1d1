"""Lone refusals: spans refused on their own are culprits only if others get through."""

from __future__ import annotations

from otel_phi.delivery.sending.batch import Batch

LONE_REFUSALS = 3  # without a success between: a missing header, not bad spans


class Refusals:
    """Keeps spans that were refused on their own until it is known what that means.

    Attributes:
        all_refused: so many in a row were refused that the destination's settings must be wrong.
    """

    def __init__(self) -> None:
        self.all_refused = False
        self._found: list[tuple[Batch, str]] = []

    def add(self, batch: Batch, reason: str) -> list[Batch]:
        """Takes a refused span; returns all of them, to be sent again, once there are too many to be culprits."""
        self._found.append((batch, reason))
        if len(self._found) < LONE_REFUSALS:
            return []
        self.all_refused = True
        return [refused for refused, _ in self.clear()]

    def clear(self) -> list[tuple[Batch, str]]:
        """Returns the refused spans with what was said of them, and forgets them."""
        found, self._found = self._found, []
        return found


def wrong_settings(reason: str) -> str:
    """Says what it means that all is refused."""
    return f"{LONE_REFUSALS} spans in a row were refused, which points to the destination's settings: {reason}"
