"""Waiting for a fact: the live thread reads what it is given a moment later, on a busy machine a long moment."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 30.0  # so long a machine that does much else may take; a fact that holds is seen within milliseconds


def until(fact: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    """Returns as soon as a fact holds; fails where it does not in that time."""
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end, "it does not hold"
        time.sleep(0.002)
