"""`otel-phi ls`: what agents did, a line a session, or summed by day, model, agent, repository or tool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from otel_phi.cli import screen
from otel_phi.cli.agent_flags import place_flags, with_places
from otel_phi.cli.flags import choice_flags, paths_and_errors, price_flags
from otel_phi.cli.report import reading
from otel_phi.cli.report.complaints import Complaints
from otel_phi.cli.standard_input import with_input

if TYPE_CHECKING:
    from otel_phi.cli.listing.tally import Tally
    from otel_phi.mapping.price_table import PriceSource

_EXAMPLES = """\b
Examples:
  otel-phi ls logs/ --since 7d
  otel-phi ls logs/ --errors --sort cost --limit 10
  otel-phi ls logs/ --by day
  otel-phi ls logs/ --tool bash --json | jq '.session_id'
  ssh build cat run.jsonl.gz | otel-phi ls -
"""


@click.command(short_help="List sessions, or sum them up by day, model or tool; sends nothing.", epilog=_EXAMPLES)
@click.argument("paths", nargs=-1, metavar="PATH...", type=click.Path(path_type=Path))
@place_flags
@choice_flags
@price_flags
@click.option(
    "--sort",
    "order",
    type=click.Choice(["start", "duration", "tokens", "cost", "errors", "turns"]),
    default="start",
    help="Order; the largest first, by start the earliest. [default: start]",
)
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only so many, the first in the order.")
@click.option(
    "--by",
    "grouping",
    type=click.Choice(["day", "week", "month", "model", "agent", "repo", "tool"]),
    help="Sums instead of sessions.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line; docs/json.md has the schema.")
def ls(
    paths: tuple[Path, ...],
    grouping: str | None,
    as_json: bool,
    **wanted: Any,
) -> None:
    """List what agents did: when, how long, model, turns, tools, tokens (cached ones among the input), cost, errors by kind.

    PATH is phi-core's event log, a file of AgentEvent lines, a saved session, another agent's session, or a folder of them; gzipped
    or not; - is standard input. What calls cost is said where the source says it, or where prices are asked for and know the model.
    Times are local. A session counts where it started; in sums a turn, a call and a tool count on their own day.

    Exit code: 0; 1 a file could not be read, the others were; 2 usage, or nothing can be read.
    """
    from otel_phi.cli.listing.choice import ordered
    from otel_phi.cli.listing.chosen import choice_of
    from otel_phi.config.config import price_source

    order = {name: wanted.pop(name) for name in ("order", "reverse", "limit")}
    paths, wanted["errors"] = paths_and_errors(paths, wanted["errors"])
    paths = with_input(with_places(paths, wanted))
    prices = price_source(wanted.pop("cost"), wanted.pop("prices"))
    choice, cached = choice_of(wanted)
    complaints = Complaints()
    tallies = [tally for tally in _tallies(paths, complaints, prices, cached=cached) if choice.holds(tally)]
    _print(ordered(tallies, **order), grouping, as_json=as_json)
    complaints.leave()


def _tallies(paths: tuple[Path, ...], complaints: Complaints, prices: PriceSource, *, cached: bool) -> list[Tally]:
    from otel_phi.cli.index.reading import Sessions
    from otel_phi.cli.report.progress import Looking, PartsProgress
    from otel_phi.config import cache_dir
    from otel_phi.mapping.options import options_for

    options = options_for(source_info=True)  # nothing leaves this machine
    folder = cache_dir() if cached else None
    with Looking() as looking:
        sessions = Sessions(paths, options, complaints, folder=folder, prices=prices, on_look=looking.note)
    with PartsProgress(sessions.size_bytes) as progress:
        tallies = sessions.tallies(progress.part)
    complaints.conclude()
    for note in sessions.notes:
        screen.say(f"otel-phi: {note}")
    for line in reading.left_out(sessions.found):
        screen.say(f"otel-phi: {line}")
    return tallies


def _print(tallies: list[Tally], grouping: str | None, *, as_json: bool) -> None:
    from otel_phi.cli.listing.columns import listing, sums_table, totals_line
    from otel_phi.cli.listing.objects import session_object, sum_object
    from otel_phi.cli.listing.sums import sums

    if as_json:
        objects = (
            map(session_object, tallies)
            if grouping is None
            else (sum_object(one, grouping) for one in sums(tallies, grouping))
        )
        for item in objects:
            click.echo(screen.json_text(item))
        return
    console = screen.out()
    if tallies:
        screen.print_table(
            console,
            listing(tallies, console.width)
            if grouping is None
            else sums_table(sums(tallies, grouping), grouping, console.width),
        )
        console.print()
    console.print(totals_line(tallies), style="dim")
