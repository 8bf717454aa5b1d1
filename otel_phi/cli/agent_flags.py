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
_NOT_FOLLOWED = ("opencode", "atif")  # in a database, or in many files each; in documents that name each other
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


def places_said(flags: dict[str, Any]) -> bool:
    """Tells whether a flag stands for the folders of an agent."""
    return any(flags[flag] for flag in _FLAGS)


def without_places(flags: dict[str, Any]) -> None:
    """Takes the flags that stand for the folders of agents out of `flags`."""
    for flag in _FLAGS:
        del flags[flag]


def _there(root: Path) -> list[Path]:
    """Returns what there is of a place: a folder, a file, or the files whose names are like its own."""
    return sorted(root.parent.glob(root.name)) if "*" in root.name else [root] * root.exists()


def with_places(paths: tuple[Path, ...], flags: dict[str, Any]) -> tuple[Path, ...]:
    """Returns the paths given and the folders that agent flags stand for, taking those out of `flags`.

    Raises:
        SourceError: an agent keeps nothing on this machine.
        click.UsageError: neither was given.
    """
    found = list(paths)
    for flag in _taken(flags):
        there = [one for root in _roots(flag) for one in _there(root)]
        if not there:
            raise SourceError(f"no sessions of {_WORDS[flag]}: there is no {_listed(flag)}")
        used = [one for one in there if not one.is_dir() or any(one.iterdir())]
        if not used:
            raise SourceError(f"no sessions of {_WORDS[flag]} yet: nothing is in {' or '.join(map(str, there))}")
        found += used
    if not found:
        raise click.UsageError(f"give a PATH, or one of {', '.join(f'--{flag}' for flag in _FLAGS)}")
    return tuple(found)


def followed_places(paths: tuple[Path, ...], flags: dict[str, Any]) -> tuple[tuple[Path, ...], str]:
    """Returns what to follow, and a sentence about the agents that were found, "" where paths or flags said what.

    Without either, it is every agent that keeps sessions on this machine. A folder that a flag stands for need not be there yet, if the
    agent's own folder is.

    Raises:
        SourceError: an agent is not on this machine, or none is.
    """
    found, chosen = list(paths), _taken(flags)
    for flag in chosen:
        if flag in _NOT_FOLLOWED:
            raise SourceError(f"watch does not follow {_WORDS[flag]} yet; otel-phi export --{flag} sends its sessions")
        roots = _possible(flag)
        if not roots:
            raise SourceError(f"no sessions of {_WORDS[flag]}: there is no {_listed(flag)}")
        found += roots
    if found:
        return tuple(found), ""
    followed = [flag for flag in _FLAGS if flag not in _NOT_FOLLOWED]
    there = {flag: roots for flag in followed if (roots := [root for root in _roots(flag) if root.is_dir()])}
    if not there:
        looked = ", ".join(f"{_WORDS[flag]} ({_listed(flag, ' or ')})" for flag in followed)
        raise SourceError(f"no agent was found on this machine; looked for {looked}; give a PATH")
    words = [f"{_WORDS[flag]} in {' and '.join(map(str, roots))}" for flag, roots in there.items()]
    return tuple(root for flag in there for root in _possible(flag)), f"found {', '.join(words)}"


def _taken(flags: dict[str, Any]) -> list[str]:
    """Takes the agents' flags out of all flags; returns those that were given."""
    return [flag for flag in _FLAGS if flags.pop(flag)]


def _roots(flag: str) -> list[Path]:
    from otel_phi.config.config import environment
    from otel_phi.sources.agents.registry import BY_NAME

    return [Path(root).expanduser() for root in BY_NAME[_FLAGS[flag]].roots(environment())]


def _possible(flag: str) -> list[Path]:
    """Returns the folders of an agent that are there, or can come: a rollout is moved into an archive that was not there before."""
    return [root for root in _roots(flag) if root.is_dir() or root.parent.is_dir()]


def _listed(flag: str, between: str = " and no ") -> str:
    return between.join(map(str, _roots(flag)))
