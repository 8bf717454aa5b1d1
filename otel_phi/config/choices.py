"""Choices: what was given by keyword or stands in the environment, keyword first.

The environment comes as a mapping: config.py reads the real one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from otel_phi.errors import ConfigError

logger = logging.getLogger("otel_phi")
_T = TypeVar("_T")
Found = tuple[str, str] | None

_reported: set[tuple[str, str]] = set()
_REPORTS = 256  # there are some thirty variables; whoever changes them all the time gets no more reports


class Choices:
    """Looks options up.

    Args:
        given: the keywords that were given.
        environment: variables by name.
    """

    def __init__(self, given: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self.given = given
        self._environment = environment

    def variable(self, *names: str) -> Found:
        """Returns the first variable that is set, with its value; an empty one is unset, as OpenTelemetry asks."""
        for name in names:
            value = self._environment.get(name, "").strip()
            if value:
                return name, value
        return None

    def value(self, name: str) -> str | None:
        """Returns a variable's value, None if it is not set."""
        found = self.variable(name)
        return found[1] if found else None

    def otlp(self, suffix: str) -> Found:
        """Looks up an exporter variable: the one for traces wins over the one for all signals."""
        return self.variable(f"OTEL_EXPORTER_OTLP_TRACES_{suffix}", f"OTEL_EXPORTER_OTLP_{suffix}")

    def choose(self, option: str, found: Found, parse: Callable[[Any], _T], default: _T) -> _T:
        """Parses keyword or variable.

        Raises:
            ConfigError: the keyword is bad; a bad variable is reported, and the default is used.
        """
        if option in self.given:
            try:
                return parse(self.given[option])
            except (ValueError, TypeError) as error:
                raise ConfigError(f"{option}: {error}") from None
        if found:
            try:
                return parse(found[1])
            except ValueError as error:
                report(found[0], f"{error}; it is ignored")
        return default


_listeners: list[Callable[[str, str], None]] = []


@contextmanager
def reports_to(listener: Callable[[str, str], None]) -> Iterator[None]:
    """Gives what is wrong with variables to a function of variable and problem, each time, instead of logging it once."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def report(variable: str, problem: str) -> None:
    """Logs what is wrong with a variable, once a process; `problem` holds no secret."""
    if _listeners:
        _listeners[-1](variable, problem)
    elif (variable, problem) not in _reported and len(_reported) < _REPORTS:
        _reported.add((variable, problem))
        logger.warning("%s: %s", variable, problem)
