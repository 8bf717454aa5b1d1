"""How something went, from the exception that left it."""

from __future__ import annotations

from typing import Any, NamedTuple

CANCELLED = "cancelled"
# By name, so that none of their modules is loaded for this: asyncio's and concurrent.futures' error, trio's, gevent's. A
# generator that is closed, by its consumer or as garbage, is cancelled too; so is what Ctrl-C ends.
_CANCELLATIONS = frozenset({"CancelledError", "Cancelled", "GreenletExit", "GeneratorExit", "KeyboardInterrupt"})


class Outcome(NamedTuple):
    """Says how something went.

    Attributes:
        outcome: `ok`, `cancelled` or `error`, the words of `AgentEnd.outcome`.
        error_type: None where it went well, `cancelled`, or the class name of the exception.
    """

    outcome: str
    error_type: str | None


OK = Outcome("ok", None)
_LEFT = Outcome(CANCELLED, CANCELLED)


def outcome_of(error: BaseException | None) -> Outcome:
    """Returns how something went that an exception left, None for none. Its text is content, and is not looked at."""
    if error is None:
        return OK
    kind: Any = type(error)
    if any(base.__name__ in _CANCELLATIONS for base in kind.__mro__) or _is_clean_exit(error):
        return _LEFT
    return Outcome("error", kind.__name__)


def _is_clean_exit(error: BaseException) -> bool:
    return isinstance(error, SystemExit) and error.code in (None, 0)


def failed(error_type: str) -> Outcome:
    """Returns the outcome of what failed without an exception."""
    return _LEFT if error_type == CANCELLED else Outcome("error", error_type or "_OTHER")
