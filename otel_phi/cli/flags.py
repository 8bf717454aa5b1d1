"""The flags that several commands share: how spans are made, and where they go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from otel_phi.cli.agent_flags import since
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
    click.option(
        "--join", is_flag=True, default=None, help="Loops as children in their caller's trace; with --trace-scope loop."
    ),
    click.option("--agent-name", metavar="NAME", help="Name of the agent, part of span names."),
    click.option(
        "--attribute", "attributes", multiple=True, metavar="K=V", callback=pairs, help="Put on every span; repeatable."
    ),
)


_WHERE = (
    click.option("--endpoint", metavar="URL", help="Where to send. [default: http://localhost:4318]"),
    click.option("--protocol", metavar="NAME", help="http/protobuf or grpc. [default: http/protobuf]"),
    click.option("--header", "headers", multiple=True, metavar="K=V", callback=pairs, help="Sent along; repeatable."),
)
_WHAT = (
    click.option("--file", metavar="FILE", help="Write OTLP-JSON lines there instead of sending; - is stdout."),
    click.option("--service-name", metavar="NAME", help="service.name of the resource."),
    click.option(
        "--sample", type=click.FloatRange(0, 1), metavar="RATIO", help="Keep this share of the sessions, 0 to 1."
    ),
)
_HOW = (
    click.option("--timeout", "timeout_s", type=float, metavar="SECONDS", help="For one attempt. [default: 10]"),
    click.option("--compression", metavar="NAME", help="gzip or none. [default: gzip]"),
    click.option("--certificate", metavar="FILE", help="CA of the collector, PEM."),
    click.option("--client-certificate", metavar="FILE", help="For mTLS, PEM."),
    click.option("--client-key", metavar="FILE", help="For mTLS, PEM."),
    click.option("--insecure", is_flag=True, default=None, help="Send credentials over plain http all the same."),
    click.option(
        "--give-up-after", "give_up_after_s", type=float, metavar="SECONDS", help="Without progress. [default: 60]"
    ),
)
_LINK = (click.option("--trace-url", metavar="TEMPLATE", help="Link to a trace, with {trace_id} where its id goes."),)
_STATE_DIR = click.option(
    "--state-dir",
    metavar="FOLDER",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where state is kept, the outbox among it. [default: OTEL_PHI_STATE_DIR, else the platform's]",
)


_DESTINATION = click.option(
    "--destination-name",
    metavar="NAME",
    help="Tells it from others in the outbox, as `destination_name=` of the agent; for headers that are asked for.",
)


_CHOICE = (
    click.option(
        "--since", "since_ns", metavar="WHEN", callback=since, help="Only sessions that began since: 7d, 2026-11-20."
    ),
    click.option("--until", "until_ns", metavar="WHEN", callback=since, help="Only sessions that began before."),
    click.option(
        "--errors",
        is_flag=False,
        flag_value="",
        metavar="[KIND]",
        help="Only sessions in which something went wrong, with that word if it is given: --errors=timeout.",
    ),
    click.option("--tool", metavar="NAME", help="Only sessions that called this tool."),
    click.option("--model", metavar="TEXT", help="Only sessions that asked a model whose name holds this."),
    click.option("--agent", metavar="TEXT", help="Only sessions of an agent whose name holds this."),
    click.option("--session", metavar="ID", help="Only the sessions whose id begins with this."),
    click.option("--open", "open_only", is_flag=True, help="Only sessions with a loop that has not ended."),
    click.option("--no-cache", is_flag=True, help="Read all files, and remember nothing of them."),
)


def paths_and_errors(paths: tuple[Path, ...], errors: str | None) -> tuple[tuple[Path, ...], str | None]:
    """Returns what is a path and what is a kind of error: `--errors logs/` reads as if the path were the kind."""
    if errors and Path(errors).exists():
        return (*paths, Path(errors)), ""
    return paths, errors


def choice_flags(command: _Command) -> _Command:
    """Adds the flags that say which sessions are meant; they arrive as `listing.chosen.choice_of` takes them."""
    for flag in reversed(_CHOICE):
        command = flag(command)
    return command


_PRICES = (
    click.option(
        "--cost/--no-cost", default=None, help="Say what model calls cost, by genai-prices. [default: OTEL_PHI_COST]"
    ),
    click.option(
        "--prices",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Prices of your own, TOML; they come first. [default: OTEL_PHI_PRICES]",
    ),
)


def price_flags(command: _Command) -> _Command:
    """Adds the flags about what model calls cost; they arrive as `cost` and `prices`, None if not given."""
    for flag in reversed(_PRICES):
        command = flag(command)
    return command


def metrics_flag(command: _Command) -> _Command:
    """Adds the flag that asks for metrics; it arrives as `metrics`, None if not given."""
    text = "Record metrics too, and send them beside the spans."
    return click.option("--metrics/--no-metrics", default=None, help=text)(command)


def destination_flag(command: _Command) -> _Command:
    """Adds the flag that names the destination in the outbox; it arrives as `destination_name`."""
    return _DESTINATION(command)


def delivery_flags(command: _Command) -> _Command:
    """Adds the flags that say where spans go; each arrives as the keyword of `otel_phi.resolve`, None if not given.

    `sample` is none of those: it is the Bridge's.
    """
    for flag in reversed((*_WHERE, *_WHAT, *_HOW, *_LINK)):
        command = flag(command)
    return command


def sending_flags(command: _Command) -> _Command:
    """Adds those of the delivery flags that say how to reach a collector, for spans that are made already."""
    for flag in reversed((*_WHERE, *_HOW)):
        command = flag(command)
    return command


def probe_flags(command: _Command) -> _Command:
    """Adds those of the delivery flags that say how one request is made, but for where to."""
    for flag in reversed((*_WHERE[1:], *_HOW[:-1])):
        command = flag(command)
    return command


def state_flag(command: _Command) -> _Command:
    """Adds the flag that says where the state folder is; it arrives as `state_dir`."""
    return _STATE_DIR(command)


_CONTENT = (
    click.option(
        "--content/--no-content",
        "capture_content",
        default=None,
        help="What people, models and tools said, secrets taken out. [default: no]",
    ),
    click.option(
        "--content-input",
        type=click.Choice(["delta", "full"]),
        help="Of a request what is new, or all of it. [default: delta]",
    ),
    click.option("--content-images", is_flag=True, default=None, help="Images too; else their type and size."),
)


def content_flags(command: _Command) -> _Command:
    """Adds the flags that say whether contents leave; each arrives as the keyword of `otel_phi.resolve`, None if not given."""
    for flag in reversed(_CONTENT):
        command = flag(command)
    return command


def mapping_flags(command: _Command) -> _Command:
    """Adds the flags that say how spans are made; each arrives as the keyword of `MappingOptions`, None if not given."""
    for flag in reversed(_MAPPING):
        command = flag(command)
    return command
