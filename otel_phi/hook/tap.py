"""Taps: iterators that let everything through unchanged, and show it to the hook on its way.

The source is whoever's it was: a tap that is left early does not close it.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


def tapped(events: Iterable[T], hook: Callable[[Any], None]) -> Iterator[T]:
    """Yields every event, recorded before it is passed on."""
    for event in events:
        hook(event)
        yield event


async def tapped_async(events: AsyncIterable[T], hook: Callable[[Any], None]) -> AsyncIterator[T]:
    """Yields every event, recorded before it is passed on."""
    async for event in events:
        hook(event)
        yield event
