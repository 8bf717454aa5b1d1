"""`otel-phi check`: whether files, an endpoint and the configuration are sound, and what to do where they are not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from otel_phi.cli import screen
from otel_phi.cli.agent_flags import place_flags, places_said, with_places, without_places
from otel_phi.cli.flags import content_flags, mapping_flags, probe_flags, state_flag

if TYPE_CHECKING:
    from rich.text import Text

    from otel_phi.cli.checking.probe import Step
    from otel_phi.config import Config

_EXAMPLES = """\b
Examples:
  otel-phi check                         the configuration, and what waits
  otel-phi check logs/ --profile tempo   sessions, and what would be sent
  otel-phi check run.jsonl --content     secrets in it, too
  otel-phi check --endpoint https://collector:4318 --header "authorization=Bearer $TOKEN"
  otel-phi check run.jsonl --json | jq -r '.findings[] | [.rule, .what] | @tsv'
"""
_CONFIGURED = ""  # the value of --endpoint without one


@click.command(short_help="Check sessions, an endpoint or the configuration.", epilog=_EXAMPLES)
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))
@place_flags
@click.option(
    "--endpoint",
    is_flag=False,
    flag_value=_CONFIGURED,
    metavar="[URL]",
    help="Ask what is there, step by step; without URL the configured one.",
)
@click.option("--send", is_flag=True, help="With --endpoint: send one span, marked phi.check.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object; docs/json.md has the schema.")
@probe_flags
@content_flags
@mapping_flags
@state_flag
def check(paths: tuple[Path, ...], endpoint: str | None, send: bool, as_json: bool, **flags: Any) -> None:
    """Check what there is, say what is wrong with it, where, and how to mend it; docs/check.md lists all that can be found.

    With PATH: phi-core's event logs, files of AgentEvent lines, saved sessions, other agents' sessions, folders of them, gzipped or
    not, and what would be sent of them. With --endpoint: the collector, from its name to an empty request. Without either: the
    configuration, where each value comes from, and what waits in the outbox.

    Exit code: 0 nothing wrong, 5 warnings, 6 errors; 1 the output could not be written, 2 usage or nothing to read.
    """
    asked = bool(paths) or places_said(flags)
    if asked and endpoint is not None:
        raise click.UsageError("give a PATH or --endpoint, one at a time")
    if send and endpoint is None:
        raise click.UsageError("--send goes with --endpoint")
    if asked:
        code = _files(with_places(paths, flags), flags, as_json=as_json)
    else:
        without_places(flags)
        if endpoint is not None:
            code = _endpoint(endpoint, flags, send=send, as_json=as_json)
        else:
            code = _configuration(flags, as_json=as_json)
    sys.exit(code)


def _files(paths: tuple[Path, ...], flags: dict[str, Any], *, as_json: bool) -> int:
    from otel_phi.cli.checking.files import check_files
    from otel_phi.cli.checking.output import file_lines, file_object

    found = check_files(paths, _configured(flags))
    _print(lambda width: file_lines(found, width), lambda: file_object(found), as_json=as_json)
    return found.findings.exit_code


def _configured(flags: dict[str, Any]) -> Config:
    """Returns the configuration; what is wrong with a variable is said each time, not once a process."""
    from otel_phi.cli.settings import configured
    from otel_phi.config.choices import reports_to

    def hear(variable: str, problem: str) -> None:
        if variable != "endpoint":  # that it is plain text, the step says
            screen.say(f"otel-phi: {variable}: {problem}")

    with reports_to(hear):
        return configured(flags)


def _endpoint(endpoint: str, flags: dict[str, Any], *, send: bool, as_json: bool) -> int:
    from otel_phi.cli.checking.probe import probe
    from otel_phi.cli.checking.reports import endpoint_findings, endpoint_lines, endpoint_object

    config = _configured({**flags, "endpoint": endpoint or None})
    steps: list[Step] = []

    def noted() -> Iterator[Step]:
        for step in probe(config, send=send):
            steps.append(step)
            yield step

    if as_json:
        steps += probe(config, send=send)
        click.echo(screen.json_text(endpoint_object(config, steps)))
    else:
        console = screen.out()
        screen.print_lines(console, endpoint_lines(config, noted(), console.width))
    return endpoint_findings(steps).exit_code


def _configuration(flags: dict[str, Any], *, as_json: bool) -> int:
    from otel_phi.cli.checking.effective import effective
    from otel_phi.cli.checking.reports import configuration_lines, configuration_object

    found = effective(flags)
    _print(lambda width: configuration_lines(found, width), lambda: configuration_object(found), as_json=as_json)
    return found.findings.exit_code


def _print(lines: Callable[[int], Iterable[Text]], item: Callable[[], object], *, as_json: bool) -> None:
    if as_json:
        click.echo(screen.json_text(item()))
        return
    console = screen.out()
    screen.print_lines(console, lines(console.width))
