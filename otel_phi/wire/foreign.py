"""Foreign exceptions: what is raised in the midst of our work by somebody else, a signal's handler say. They are never ours to keep.

Rule 1: what catches an exception of a common kind (ValueError, RecursionError) passes on a foreign one.
"""

from __future__ import annotations

import sys

# Whose frames an exception of ours can have: what this package calls. Anybody else's came in by a signal's handler.
_OURS = frozenset({"otel_phi", "opentelemetry", "msgspec", *sys.stdlib_module_names})


def is_foreign(error: BaseException) -> bool:
    """Says whether an exception passed a frame that is neither of this package nor of what it calls."""
    trace = error.__traceback__
    while trace is not None:
        name = str(trace.tb_frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] not in _OURS:
            return True
        trace = trace.tb_next
    return False


def pass_on(error: Exception) -> None:
    """Raises an exception again if it is foreign; also one that msgspec made a ValidationError of, as it was.

    Raises:
        Exception: the foreign one.
    """
    for found in (error, error.__cause__):
        if isinstance(found, Exception) and is_foreign(found):
            raise found
