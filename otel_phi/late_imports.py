"""Imports that happen late, in threads of ours: a fork waits for them, since a child keeps a half-imported module for ever."""

from __future__ import annotations

import threading

# Held around each such import, and across a fork.
importing = threading.RLock()


def load_host_codec() -> None:
    """Loads the codec that Python looks host names up with; it is otherwise imported by whichever thread connects first."""
    "localhost".encode("idna")
