"""Terminals to look at commands in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.live.terminals import Terminal


@pytest.fixture
def opened() -> Iterator[Callable[..., Terminal]]:
    """Opens terminals with a command in each; closed at the end of the test."""
    from tests.cli.live.terminals import Terminal  # not on Windows, where these tests skip

    made: list[Terminal] = []

    def opened(*arguments: object, **options: int) -> Terminal:
        made.append(Terminal(*arguments, **options))
        return made[-1]

    yield opened
    for terminal in made:
        terminal.close()
