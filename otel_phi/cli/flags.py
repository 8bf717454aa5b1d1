"""The flags that several commands share: how spans are made, and where they go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from otel_phi.mapping.options import PROFILES

_Command = TypeVar("_Command", bound=Callable[..., Any])
Mark = Callable[[_Command], _Command]


def pairs(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str] | None:
    """Reads repeated `K=V` flags; None where the flag was not given."""
    found = {}
    for value in values:
        key, equals, rest = value.partition("=")
        if not equals or not key.strip():
            # The value may be a secret: it is not repeated.
            raise click.BadParameter("write it as KEY=VALUE", param=parameter)
        found[key.strip()] = rest
    return found or None


_MAPPING = (
    click.option("--profile", type=click.Choice(list(PROFILES)), help="Settings that suit a backend."),
    click.option("--trace-scope", type=click.Choice(["session", "loop"]), help="What one trace is. [default: session]"),
    click.option("--trace-namespace", metavar="TEXT", help="Tells equal session ids of two installations apart."),
    click.option(
        "--loop-layout", type=click.Choice(["tree", "flat"]), help="Loops under their parents, or side by side."
    ),
    click.option(
        "--tool-spans/--no-tool-spans", default=None, help="Tool executions as spans too; they are always events."
    ),
    click.option("--agent-name", metavar="NAME", help="Name of the agent, part of span names."),
    click.option(
        "--attribute", "attributes", multiple=True, metavar="K=V", callback=pairs, help="Put on every span; repeatable."
    ),
)


def mapping_flags(command: _Command) -> _Command:
    """Adds the flags that say how spans are made; each arrives as the keyword of `MappingOptions`, None if not given."""
    for flag in reversed(_MAPPING):
        command = flag(command)
    return command
