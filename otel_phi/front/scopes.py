"""What is current: the innermost loop or tool that was entered in this context, tasks and copied contexts included.

Rule 1: leaving never uses `Token.reset`: a generator that is closed in another task raises there. What was current before
        comes back only where the current one is the one that is left.
Rule 2: what has ended is never current: contexts outlive it, those of tasks that go on do.
"""

from __future__ import annotations

from contextvars import ContextVar


class Scope:
    """A scope is what can be current: a loop or a tool.

    Attributes:
        outer: what was current when it was entered, None for nothing.
        ended: whether it has ended.
    """

    __slots__ = ("ended", "outer")

    outer: Scope | None
    ended: bool


_current: ContextVar[Scope | None] = ContextVar("otel_phi_scope", default=None)


def current() -> Scope | None:
    """Returns the innermost loop or tool that has not ended, None outside of any."""
    return _alive(_current.get())


def _alive(scope: Scope | None) -> Scope | None:
    while scope is not None and scope.ended:
        scope = scope.outer
    return scope


def enter(scope: Scope) -> None:
    """Makes a loop or tool the current one."""
    _current.set(scope)


def leave(scope: Scope) -> None:
    """Makes what is around a loop or tool the current one again, where it is the current one itself."""
    if _current.get() is scope:
        _current.set(_alive(scope.outer))


def swap(scope: Scope | None) -> Scope | None:
    """Makes a loop or tool the current one and returns what was: for generators, which run a step at a time."""
    before = _current.get()
    _current.set(scope)
    return before
