"""An endpoint's steps and the effective configuration, in lines that fit the width, and as objects for machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.text import Text

from otel_phi.cli import words
from otel_phi.cli.checking.effective import NONE
from otel_phi.cli.checking.findings import Findings
from otel_phi.cli.checking.output import counts_object, finding_lines, finding_objects, total
from otel_phi.cli.checking.probe import FAILED, OK, SKIPPED, STEPS, WARNING, Step
from otel_phi.cli.checking.rules import RULES
from otel_phi.cli.screen import wrapped
from otel_phi.tree import clean

if TYPE_CHECKING:
    from otel_phi.cli.checking.effective import Effective, Option
    from otel_phi.config import Config

ENDPOINT_SCHEMA = "otel-phi.check.endpoint/1"
CONFIGURATION_SCHEMA = "otel-phi.check.configuration/1"
_STYLES = {OK: "green", WARNING: "yellow", FAILED: "bold red", SKIPPED: "dim"}
_OUTCOME = max(map(len, _STYLES)) + 2
_STEP = _OUTCOME + max(map(len, STEPS)) + 2
_VALUE_MOST = 44  # columns; a longer value is folded, so that where it comes from stays in sight


# --- an endpoint -----------------------------------------------------------------------------------------------------------


def endpoint_lines(config: Config, steps: Iterable[Step], width: int) -> Iterator[Text]:
    """Yields an endpoint's steps, each as it comes, with what to do where one went wrong."""
    yield Text.assemble((clean(config.display_endpoint), "bold"), "  ", (config.protocol, "dim"))
    for step in steps:
        yield from _step(step, width)


def _step(step: Step, width: int) -> Iterator[Text]:
    said = list(wrapped(step.said, width, indent=_STEP, style="dim" if step.outcome == SKIPPED else ""))
    head = Text.assemble(
        (step.outcome.ljust(_OUTCOME), _STYLES[step.outcome]), (step.name.ljust(_STEP - _OUTCOME), "dim")
    )
    for number, line in enumerate(said or [Text(" " * _STEP)]):
        yield line if number else Text.assemble(head, line[_STEP:])
    if step.rule:
        rule = RULES[step.rule]
        yield from wrapped(rule.meaning, width, indent=_STEP)
        yield from wrapped(f"fix: {rule.fix}", width, indent=_STEP, style="bold")


def endpoint_findings(steps: Sequence[Step]) -> Findings:
    """Returns what was wrong, as findings."""
    findings = Findings()
    for step in steps:
        if step.rule:
            findings.add(step.rule, f"{step.name}: {step.said}")
    return findings


def endpoint_object(config: Config, steps: Sequence[Step]) -> dict[str, Any]:
    """Returns an endpoint's steps as an object; its keys are in docs/json.md."""
    return {
        "schema": ENDPOINT_SCHEMA,
        "endpoint": config.display_endpoint,
        "protocol": config.protocol,
        **counts_object(endpoint_findings(steps)),
        "steps": [
            {
                "step": step.name,
                "outcome": step.outcome,
                "said": step.said,
                "rule": step.rule or None,
                "meaning": RULES[step.rule].meaning if step.rule else None,
                "fix": RULES[step.rule].fix if step.rule else None,
            }
            for step in steps
        ],
    }


# --- the configuration -----------------------------------------------------------------------------------------------------


def configuration_lines(found: Effective, width: int) -> Iterator[Text]:
    """Yields every option with its value and where that comes from, then what is wrong, and what waits."""
    unset = [option.name for option in found.options if option.value == NONE and option.origin.kind == "default"]
    yield from _table([option for option in found.options if option.name not in unset], width)
    if unset:
        yield from wrapped(f"not set: {', '.join(unset)}", width, style="dim")
    yield Text()
    yield from finding_lines(found.findings, width)
    waits = ""
    if found.outbox is not None:
        waits = f"  outbox: {words.many(found.outbox.waiting, 'fact')} waiting, {words.many(found.outbox.dead, 'dead letter')}"
    yield Text.assemble(total(found.findings), (waits, "dim"))


def _table(options: Sequence[Option], width: int) -> Iterator[Text]:
    name_width = max(cell_len(option.name) for option in options) + 2
    origin_width = max(cell_len(str(option.origin)) for option in options)
    room = width - name_width - 2
    longest = max(cell_len(clean(option.value)) for option in options)
    value_width = max(min(longest, _VALUE_MOST, room - origin_width), 16)
    for option in options:
        is_default = option.origin.kind == "default"
        lines = list(wrapped(option.value, name_width + value_width, indent=name_width))
        values = [line.plain[name_width:] for line in lines] or [""]
        gap = " " * max(value_width - cell_len(values[0]), 0)
        yield Text.assemble(
            (option.name.ljust(name_width), "dim" if is_default else ""),
            (values[0], "" if is_default else "bold"),
            gap,
            "  ",
            (clean(str(option.origin)), "dim" if is_default else "cyan"),
        )
        for value in values[1:]:
            yield Text.assemble(" " * name_width, (value, "" if is_default else "bold"))


def configuration_object(found: Effective) -> dict[str, Any]:
    """Returns the effective configuration as an object; its keys are in docs/json.md."""
    outbox = found.outbox
    return {
        "schema": CONFIGURATION_SCHEMA,
        **counts_object(found.findings),
        "options": [
            {
                "option": option.name,
                "value": option.value,
                "origin": option.origin.kind,
                "name": option.origin.name or None,
            }
            for option in found.options
        ],
        "findings": finding_objects(found.findings),
        "waiting": None if outbox is None else outbox.waiting,
        "dead": None if outbox is None else outbox.dead,
    }
