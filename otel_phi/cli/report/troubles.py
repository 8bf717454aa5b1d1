"""What keeps spans from getting through, said once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_phi.cli import screen

if TYPE_CHECKING:
    from otel_phi.delivery.sending.stats import Progress


class Troubles:
    """Says once what keeps spans from getting through, and when they do again.

    Args:
        over: what to say then.
    """

    def __init__(self, over: str) -> None:
        self._over = over
        self._said: str | None = None

    def __call__(self, state: Progress) -> None:
        """Looks at a state of the delivery."""
        if state.trouble == self._said:
            return
        self._said = state.trouble
        screen.say(f"otel-phi: {state.trouble or self._over}")
