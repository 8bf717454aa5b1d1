"""The hook that events are given to: the one that `otel_phi.install` made. Nothing is imported for it."""

from __future__ import annotations

import sys
from typing import Any, Protocol

_INSTALLED = "otel_phi.hook.installed"


class Door(Protocol):
    """Takes an event, and never raises an Exception: the hook."""

    def __call__(self, event: Any, *, traceparent: str | None = None) -> None:
        """Takes one event."""


def installed() -> Door | None:
    """Returns the hook, None where there is none, or none that records."""
    module = sys.modules.get(_INSTALLED)
    hook = None if module is None else module.current()
    return None if hook is None or hook.off else hook


def keeps_content(door: Any) -> bool:
    """Says whether contents may be said: arguments and results are looked at only then."""
    kept = getattr(getattr(door, "config", None), "capture_content", False)
    return bool(kept) and kept not in ("off", "NO_CONTENT")
