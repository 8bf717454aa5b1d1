"""The decorators: a call of a function is a tool execution, or a loop. Functions, coroutines, generators, asynchronous ones.

Rule 1: a function keeps its signature, for people, type checkers and frameworks that look at it.
Rule 2: a generator's work is done in steps: its scope is current within each, and not between them, where its consumer
        works. One that its consumer leaves early is cancelled.
Rule 3: where nothing is recorded, the function is called and nothing else.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, TypeVar, overload

from otel_phi.front import scopes
from otel_phi.front.door import installed
from otel_phi.front.loops import Loop, loop_of
from otel_phi.front.opening import loop as opened_loop
from otel_phi.front.steps import Steps, stepped
from otel_phi.front.tools import Tool

F = TypeVar("F", bound=Callable[..., Any])
# What opens a scope for one call: from its arguments; None where the call is not to be seen.
_Open = Callable[[tuple[Any, ...], dict[str, Any]], "Loop | Tool | None"]


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(*, name: str | None = None) -> Callable[[F], F]: ...
def tool(function: Any = None, /, *, name: str | None = None) -> Any:
    """Makes each call of a function a tool execution of the current loop; outside of any it is only called.

    Args:
        function: a function, coroutine function or generator function, asynchronous or not.
        name: of the tool; the function's where not given.

    Returns:
        The function, with the same signature; a decorator where none was given.

    Raises:
        TypeError: what is decorated cannot be called.
    """
    if function is None:
        return lambda given: _decorated(given, _tool_opener(given, name))
    return _decorated(function, _tool_opener(function, name))


@overload
def agent(function: F, /) -> F: ...
@overload
def agent(
    *, name: str | None = None, model: str | None = None, provider: str | None = None, session_from: str | None = None
) -> Callable[[F], F]: ...
def agent(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    model: str | None = None,
    provider: str | None = None,
    session_from: str | None = None,
) -> Any:
    """Makes each call of a function a loop, in the current session or a new one.

    Args:
        function: a function, coroutine function or generator function, asynchronous or not.
        name: of the agent; the function's where not given.
        model: the model it asks.
        provider: that model's provider.
        session_from: the parameter of the function that holds the session's id; None in it is as not given.

    Returns:
        The function, with the same signature; a decorator where none was given.

    Raises:
        TypeError: what is decorated cannot be called, or has no parameter `session_from`.
    """
    if function is None:
        return lambda given: _decorated(given, _agent_opener(given, name, model, provider, session_from))
    return _decorated(function, _agent_opener(function, name, model, provider, session_from))


# --- what a call opens -------------------------------------------------------------------------------------------------


def _tool_opener(function: Any, name: str | None) -> _Open:
    title = name or _name_of(function)
    signature = _signature_of(function)

    def open_tool(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tool | None:
        scope = scopes.current()
        if scope is None:
            return None
        loop = loop_of(scope)
        return loop.tool(title, arguments=_arguments(signature, args, kwargs) if loop.keeps_content else None)

    return open_tool


def _agent_opener(
    function: Any, name: str | None, model: str | None, provider: str | None, session_from: str | None
) -> _Open:
    title = name or _name_of(function)
    signature = None
    if session_from is not None:
        signature = _signature_of(function)
        if signature is None or session_from not in signature.parameters:
            raise TypeError(f"@otel_phi.agent: {title} has no parameter {session_from!r} to take the session from")

    def open_loop(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Loop | None:
        if installed() is None:
            return None
        session = _arguments(signature, args, kwargs).get(session_from) if signature and session_from else None
        return opened_loop(session, model=model, provider=provider, agent=title)

    return open_loop


def _name_of(function: Any) -> str:
    named = function.func if isinstance(function, functools.partial) else function
    return getattr(named, "__name__", None) or type(named).__name__


def _signature_of(function: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # one of C
        return None


def _arguments(signature: inspect.Signature | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a call by name, without the object a method is of."""
    try:
        found = dict(signature.bind(*args, **kwargs).arguments) if signature else {"args": args, **kwargs}
    except TypeError:  # the call fails the same way, a moment later
        return {}
    if next(iter(found), None) in ("self", "cls"):
        del found[next(iter(found))]
    return found


# --- how a call is made ------------------------------------------------------------------------------------------------


def _decorated(function: Any, opened: _Open) -> Any:
    if isinstance(function, classmethod | staticmethod) or not callable(function):
        raise TypeError(
            f"a {type(function).__name__} cannot be decorated; write @otel_phi.tool or @otel_phi.agent below "
            "@classmethod and @staticmethod"
        )
    if inspect.isasyncgenfunction(function):
        return _of_async_generator(function, opened)
    if inspect.iscoroutinefunction(function):
        return _of_coroutine(function, opened)
    if inspect.isgeneratorfunction(function):
        return _of_generator(function, opened)
    return _of_function(function, opened)


def _of_function(function: Any, opened: _Open) -> Any:
    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        scope = opened(args, kwargs)
        if scope is None:
            return function(*args, **kwargs)
        with scope:
            result = function(*args, **kwargs)
            if isinstance(scope, Tool):
                scope.result(result)
            return result

    return called


def _of_coroutine(function: Any, opened: _Open) -> Any:
    @functools.wraps(function)
    async def called(*args: Any, **kwargs: Any) -> Any:
        scope = opened(args, kwargs)
        if scope is None:
            return await function(*args, **kwargs)
        async with scope:
            result = await function(*args, **kwargs)
            if isinstance(scope, Tool):
                scope.result(result)
            return result

    return called


def _of_generator(function: Any, opened: _Open) -> Any:
    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        scope = opened(args, kwargs)
        if scope is None:
            return (yield from function(*args, **kwargs))
        return (yield from stepped(scope, function(*args, **kwargs)))

    return called


def _of_async_generator(function: Any, opened: _Open) -> Any:
    @functools.wraps(function)
    async def called(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        steps, work = Steps(opened(args, kwargs)), function(*args, **kwargs)
        step: Callable[[Any], Awaitable[Any]] = work.asend
        given: Any = None
        with steps:
            while True:
                try:
                    found = await steps.take_async(step(given))
                except StopAsyncIteration:
                    return
                try:
                    given, step = (yield found), work.asend
                except GeneratorExit:
                    await steps.take_async(work.aclose())
                    raise
                except BaseException as error:  # noqa: BLE001  # thrown in by the consumer: the work's to handle
                    given, step = error, work.athrow

    return called
