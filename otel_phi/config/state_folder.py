"""The state folder: keyword, else OTEL_PHI_STATE_DIR, else the platform's; none where nobody can name one."""

from __future__ import annotations

from pathlib import Path

from otel_phi.config.choices import Choices, report
from otel_phi.errors import ConfigError

VARIABLE = "OTEL_PHI_STATE_DIR"
_NO_FOLDER = f"no state folder can be named: there is no HOME, and this user has no entry in passwd; set {VARIABLE}"


def chosen_state_dir(choices: Choices) -> Path | None:
    """Returns where state lives between runs; None where no folder can be named.

    Raises:
        ConfigError: the keyword begins with the home of a user who does not exist.
    """
    return choices.choose("state_dir", choices.variable(VARIABLE), _expanded, None) or _platforms()


def reported_state_dir(choices: Choices) -> Path | None:
    """Returns where state lives between runs; None, and a warning once a process, where no folder can be named.

    Raises:
        ConfigError: as `chosen_state_dir`.
    """
    found = chosen_state_dir(choices)
    if found is None:
        report("HOME", f"{_NO_FOLDER}. Spans are kept in memory")
    return found


def named(state_dir: Path | None) -> Path:
    """Returns a state folder that may be missing.

    Raises:
        ConfigError: it is.
    """
    if state_dir is None:
        raise ConfigError(f"{_NO_FOLDER}, or give --state-dir")
    return state_dir


def _expanded(path: str | Path) -> Path:
    """Returns a path with the home it begins with spelled out; no shell expands a variable of a service's unit."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # there is no such user, or no home
        raise ConfigError(f"the home that {str(path)!r} begins with is not known: give the whole path") from None


def _platforms() -> Path | None:
    import platformdirs

    try:
        path = Path(platformdirs.user_state_dir("otel-phi", appauthor=False))
    except (RuntimeError, KeyError, OSError):  # a container's user without HOME and passwd entry
        path = Path("~")
    if path.is_absolute():  # where a home is not known, some versions give `~` back
        return path
    return None
