"""Generators in steps: a loop or tool is current within each step of its generator, and not between them.

Between two steps it is the consumer's turn, in the same context: what it opens is no part of the generator's work.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from otel_phi.front import scopes

if TYPE_CHECKING:
    from otel_phi.front.loops import Loop
    from otel_phi.front.tools import Tool

T = TypeVar("T")


class Steps:
    """The steps are of a loop or tool that is entered once, and current in steps.

    Args:
        scope: the loop or tool; None for a generator that nothing records.
    """

    __slots__ = ("_inside", "_scope")

    def __init__(self, scope: Loop | Tool | None) -> None:
        self._scope = scope
        self._inside: scopes.Scope | None = None

    def __enter__(self) -> None:
        if self._scope is not None:
            before = scopes.swap(scopes.current())
            self._scope.__enter__()
            self._inside = scopes.swap(before)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        if self._scope is not None:
            self._scope.__exit__(kind, error, trace)
        return False

    def take(self, step: Callable[[Any], T], value: Any) -> T:
        """Makes a step of a generator."""
        if self._scope is None:
            return step(value)
        before = scopes.swap(self._inside)
        try:
            return step(value)
        finally:
            self._inside = scopes.swap(before)

    async def take_async(self, step: Awaitable[T]) -> T:
        """Makes a step of an asynchronous generator."""
        if self._scope is None:
            return await step
        before = scopes.swap(self._inside)
        try:
            return await step
        finally:
            self._inside = scopes.swap(before)


def stepped(scope: Loop | Tool, work: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Delegates to a generator as `yield from` does."""
    steps = Steps(scope)
    step: Callable[[Any], Any] = work.send
    given: Any = None
    with steps:
        while True:
            try:
                found = steps.take(step, given)
            except StopIteration as over:
                return over.value
            try:
                given, step = (yield found), work.send
            except GeneratorExit:
                steps.take(lambda _: work.close(), None)
                raise
            except BaseException as error:  # noqa: BLE001  # thrown in by the consumer: the work's to handle
                given, step = error, work.throw
