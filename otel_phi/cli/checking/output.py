"""What a check found, in lines that fit the width, and as objects for machines: the same numbers.

Rule: the same finding is said once, with how often and where first; nothing scrolls away, whatever the file holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from otel_phi.cli import words
from otel_phi.cli.checking.files import FileCheck
from otel_phi.cli.checking.findings import Findings, Group, Place, Thing
from otel_phi.cli.checking.rules import NO_FIX, SEVERITIES, Severity
from otel_phi.cli.screen import wrapped
from otel_phi.tree import clean

SCHEMA = "otel-phi.check/1"
_STYLES: dict[Severity, str] = {"error": "bold red", "warning": "yellow", "note": "cyan"}
_INDENT = 9  # columns: the longest severity and two blanks
_THINGS_SHOWN = 5
_PLACES_SHOWN = 3


def file_lines(found: FileCheck, width: int) -> Iterator[Text]:
    """Yields what was found in files; a clean check is one line."""
    looked = ", ".join((
        words.many(found.sessions, "session"),
        words.many(found.spans, "span"),
        f"{words.size(found.otlp_bytes)} as OTLP",
        words.many(found.files, "file"),
    ))  # fmt: skip
    yield from finding_lines(found.findings, width)
    yield Text.assemble(total(found.findings), (f"  {looked}", "dim"))


def finding_lines(findings: Findings, width: int) -> Iterator[Text]:
    """Yields the findings, the worst first, an empty line behind each."""
    for group in findings:
        yield from _group(group, width)
        yield Text()


def total(findings: Findings) -> Text:
    """Returns how many findings there are of each severity."""
    counts = [(severity, findings.count(severity)) for severity in SEVERITIES if findings.count(severity)]
    if not counts:
        return Text("nothing wrong", style="green")
    line = Text()
    for number, (severity, count) in enumerate(counts):
        line.append(", " if number else "")
        line.append(words.many(count, severity), style=_STYLES[severity])
    return line


def _group(group: Group, width: int) -> Iterator[Text]:
    rule = group.rule
    times = f"  {group.count:,} times" if group.count > 1 else ""
    yield Text.assemble((rule.severity.ljust(_INDENT), _STYLES[rule.severity]), (rule.id, "bold"), (times, "dim"))
    yield from wrapped(rule.meaning, width, indent=_INDENT)
    for thing in group.things[:_THINGS_SHOWN]:
        yield from _thing(thing, width)
    hidden = len(group.things) - _THINGS_SHOWN
    if hidden > 0:
        yield from wrapped(f"and {hidden:,} more kinds; --json names them", width, indent=_INDENT + 2, style="dim")
    if rule.fix != NO_FIX:
        yield from wrapped(f"fix: {rule.fix}", width, indent=_INDENT, style="dim")


def _thing(thing: Thing, width: int) -> Iterator[Text]:
    """Yields what was found and where first, on one line if it fits."""
    room = width - _INDENT - 2
    shown = thing.places[:_PLACES_SHOWN]
    what = thing.what if shown or thing.count == 1 else f"{thing.what} ({thing.count:,})"
    places = list(_places(shown))
    if len(thing.places) > len(shown) and thing.count > len(shown):
        places.append(f"and {thing.count - len(shown):,} more")
    elif thing.count > len(thing.places) and places:  # several at a place
        what = f"{what} ({thing.count:,})"
    where = " ".join(places)
    if where and cell_len(clean(what)) + cell_len(where) + 2 <= room:
        yield Text.assemble(" " * (_INDENT + 2), (clean(what), "bold"), "  ", (where, "cyan"))
        return
    yield from wrapped(what, width, indent=_INDENT + 2, style="bold")
    for place in [where] if where and cell_len(where) <= room - 2 else places:
        yield Text.assemble(" " * (_INDENT + 4), (place, "cyan"))  # whole, to be copied


def _places(places: Sequence[Place]) -> Iterator[str]:
    """Yields places in words, the file named once: `run.jsonl:3, :17`."""
    for file, same in groupby(places, key=lambda place: place.file):
        parts = []
        for place in same:
            line = f":{place.line}" if place.line else ""
            parts.append(f"{line} {place.detail}".strip() if place.detail else line)
        where = clean(", ".join(filter(None, parts)))
        yield f"{clean(file)}{'' if where.startswith(':') else ' '}{where}".strip()


# --- for machines ----------------------------------------------------------------------------------------------------------


def file_object(found: FileCheck) -> dict[str, Any]:
    """Returns what was found in files as an object; its keys are in docs/json.md."""
    return {
        "schema": SCHEMA,
        **counts_object(found.findings),
        "files": found.files,
        "sessions": found.sessions,
        "spans": found.spans,
        "otlp_bytes": found.otlp_bytes,
        "findings": finding_objects(found.findings),
    }


def counts_object(findings: Findings) -> dict[str, int]:
    """Returns how many findings there are of each severity."""
    return {f"{severity}s": findings.count(severity) for severity in SEVERITIES}


def finding_objects(findings: Findings) -> list[dict[str, Any]]:
    """Returns the findings as objects, one for each thing found of a rule."""
    return [
        {
            "rule": group.rule.id,
            "severity": group.rule.severity,
            "what": thing.what,
            "count": thing.count,
            "places": [
                {"file": place.file or None, "line": place.line or None, "detail": place.detail or None}
                for place in thing.places
            ],
            "meaning": group.rule.meaning,
            "fix": group.rule.fix,
        }
        for group in findings
        for thing in [*group.things, *_rest(group)]
    ]


def _rest(group: Group) -> Iterator[Thing]:
    """Yields what of a rule was only counted, since too many different things were found."""
    if group.others:
        rest = Thing("others")
        rest.count = group.others
        yield rest
