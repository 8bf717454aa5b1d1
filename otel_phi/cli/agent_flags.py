"""The flags about other agents' sessions: where each agent keeps its own, how far back, and what may be said of where it worked."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from otel_phi.clock import wall_ns
from otel_phi.errors import SourceError
from otel_phi.sources.agents.registry import BY_NAME

_Command = TypeVar("_Command", bound=Callable[..., Any])
_FLAGS = {
    "claude": "claude-code",
    "codex": "codex",
    "pi": "pi",
    "openclaw": "openclaw",
    "opencode": "opencode",
    "atif": "atif",
    "gemini": "gemini-cli",
}
_WORDS = {
    "claude": "Claude Code",
    "codex": "Codex",
    "pi": "pi",
    "openclaw": "OpenClaw",
    "opencode": "opencode",
    "atif": "Harbor",
    "gemini": "Gemini CLI",
}
_SINCE = re.compile(r"(\d{1,6})([mhdw])")
_UNITS_S = {"m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}


def since(_: click.Context, parameter: click.Parameter, value: str | None) -> int:
    """Reads `7d`, `12h` or a date; returns nanoseconds since the epoch, 0 where the flag was not given."""
    if value is None:
        return 0
    found = _SINCE.fullmatch(value.strip())
    if found is not None:
        return max(wall_ns() - int(found[1]) * _UNITS_S[found[2]] * 1_000_000_000, 1)
    try:
        day = dt.datetime.fromisoformat(value.strip())
    except ValueError:
        raise click.BadParameter("write it as 30m, 12h, 7d, 2w or 2026-11-01", param=parameter) from None
    return max(int(day.astimezone().timestamp()) * 1_000_000_000, 1)


def place_flags(command: _Command) -> _Command:
    """Adds the flags that stand for the folders of each agent; they arrive as `claude` and so on, see `with_places`."""
    for flag in reversed(_FLAGS):
        command = click.option(f"--{flag}", is_flag=True, help=f"The sessions of {_WORDS[flag]} on this machine.")(
            command
        )
    return command


def agent_flags(command: _Command) -> _Command:
    """Adds the flags that stand for the folders of each agent, and `--since`; they arrive as `claude`, ..., and `since_ns`."""
    text = "Only what was written to since then: 30m, 12h, 7d, 2w or a date."
    return place_flags(click.option("--since", "since_ns", metavar="WHEN", callback=since, help=text)(command))


def _there(root: Path) -> list[Path]:
    """Returns what there is of a place: a folder, a file, or the files whose names are like its own."""
    return sorted(root.parent.glob(root.name)) if "*" in root.name else [root] * root.exists()


def with_places(paths: tuple[Path, ...], flags: dict[str, Any]) -> tuple[Path, ...]:
    """Returns the paths given and the folders that agent flags stand for, taking those out of `flags`.

    Raises:
        SourceError: an agent keeps nothing on this machine.
        click.UsageError: neither was given.
    """
    from otel_phi.config.config import environment

    found = list(paths)
    for flag, name in _FLAGS.items():
        if flags.pop(flag):
            roots = [Path(root).expanduser() for root in BY_NAME[name].roots(environment())]
            there = [found for root in roots for found in _there(root)]
            if not there:
                raise SourceError(f"no sessions of {_WORDS[flag]}: there is no {' and no '.join(map(str, roots))}")
            found += there
    if not found:
        raise click.UsageError(f"give a PATH, or one of {', '.join(f'--{flag}' for flag in _FLAGS)}")
    return tuple(found)
