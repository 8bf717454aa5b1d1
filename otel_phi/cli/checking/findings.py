"""Findings: what a check found, each kind counted, its first places kept. Pure: it prints nothing and reads nothing.

Rule: memory is bounded by the number of rules, not by what is looked at: of a rule so many different things are told, of each so
many places, and the rest is counted.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from otel_phi.cli.checking.rules import RULES, SEVERITIES, Rule, Severity
from otel_phi.cli.exit_codes import CLEAN, ERRORS, WARNINGS

# People fix the first few and look again; machines that want all have the file.
MAX_THINGS = 50
MAX_PLACES = 10


class Place(msgspec.Struct, frozen=True, gc=False):
    """A place is where something stands.

    Attributes:
        file: the file, "" for none.
        line: its line there, from 1; 0 where only the file is known.
        detail: what says more: a loop of a saved session, a span with its trace.
    """

    file: str = ""
    line: int = 0
    detail: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where} {self.detail}".strip()


NOWHERE = Place()


class Thing:
    """A thing is one finding of a rule: the same words at all its places.

    Args:
        what: the words.

    Attributes:
        count: how often it was found.
        places: the first of them.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.count = 0
        self.places: list[Place] = []

    def add(self, place: Place, count: int) -> None:
        """Counts it at a place."""
        self.count += count
        if len(self.places) < MAX_PLACES and place != NOWHERE and place not in self.places:
            self.places.append(place)


class Group:
    """A group is all that was found of a rule.

    Args:
        rule: the rule.

    Attributes:
        count: how often.
        others: how often something was found that is not told, since there was too much.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.count = self.others = 0
        self._things: dict[str, Thing] = {}

    @property
    def things(self) -> list[Thing]:
        """The things found, in the order in which they were."""
        return list(self._things.values())

    def add(self, what: str, place: Place, count: int) -> None:
        """Counts a finding."""
        self.count += count
        thing = self._things.get(what)
        if thing is None:
            if len(self._things) >= MAX_THINGS:
                self.others += count
                return
            thing = self._things[what] = Thing(what)
        thing.add(place, count)


class Findings:
    """Findings are all that a check found, by rule."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}

    def add(self, rule: str, what: str = "", place: Place = NOWHERE, *, count: int = 1) -> None:
        """Counts something that was found.

        Args:
            rule: id of its rule.
            what: what exactly, in the same words for the same thing; it holds no content and no secret.
            place: where.
            count: how often, all at this place.
        """
        group = self._groups.get(rule)
        if group is None:
            group = self._groups[rule] = Group(RULES[rule])
        group.add(what, place, count)

    def __iter__(self) -> Iterator[Group]:
        """Yields the groups, the worst first, those alike in the rules' order."""
        order = list(RULES)
        return iter(
            sorted(
                self._groups.values(), key=lambda one: (SEVERITIES.index(one.rule.severity), order.index(one.rule.id))
            )
        )

    def count(self, severity: Severity) -> int:
        """Returns how many findings are so bad."""
        return sum(group.count for group in self._groups.values() if group.rule.severity == severity)

    @property
    def exit_code(self) -> int:
        """The exit code that says how bad it is."""
        if self.count("error"):
            return ERRORS
        return WARNINGS if self.count("warning") else CLEAN
