"""Callbacks of others: whatever they throw, delivery goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")
logger = logging.getLogger("otel_phi")


def call(callback: Callable[[_T], None] | None, value: _T) -> None:
    """Calls a callback, if there is one; an exception of its is logged."""
    if callback is None:
        return
    try:
        callback(value)
    except Exception:
        logger.exception("a callback of the sender failed; delivery goes on")
