"""Hints: what a user of the front door can do better, said once a kind in a process. No text of the agent's is in them."""

from __future__ import annotations

import logging

logger = logging.getLogger("otel_phi")
_said: set[str] = set()


def hint(kind: str, text: str) -> None:
    """Logs a warning, the first time of its kind. A logging handler that raises costs the agent nothing."""
    if kind in _said:
        return
    _said.add(kind)
    try:
        logger.warning("%s (said once)", text)
    except Exception:  # noqa: BLE001  # not ours, and not the agent's business either
        return


def forget() -> None:
    """Lets every hint be said again: for tests."""
    _said.clear()
