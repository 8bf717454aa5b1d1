"""`otel-phi status`: what waits in the outbox and why; dead letters can be sent again, and all of it deleted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from otel_phi.cli import screen, words
from otel_phi.cli.exit_codes import BROKEN
from otel_phi.cli.flags import state_flag
from otel_phi.cli.report.outbox import status_lines, status_object

if TYPE_CHECKING:
    from otel_phi.cli.outbox.status import OutboxStatus

_ALL = "\0"  # what no argument can be: an empty one is an unset variable of a shell, and must not delete everything

_EXAMPLES = """\b
Examples:
  otel-phi status
  otel-phi status --json | jq '.destinations[].waiting'
  otel-phi status --retry && otel-phi flush
  otel-phi status --purge 550e8400-e29b-41d4-a716-446655440000
"""


@click.command(short_help="Show what waits in the outbox, and why.", epilog=_EXAMPLES)
@click.option(
    "--json", "as_json", is_flag=True, help="The same for machines, with up to 1,000 dead letters a destination."
)
@click.option("--retry", is_flag=True, help="Let dead letters be sent again.")
@click.option(
    "--purge", is_flag=False, flag_value=_ALL, metavar="[SESSION]", help="Delete all that waits, or one session's part."
)
@click.option("--yes", is_flag=True, help="Do not ask before all is deleted.")
@state_flag
def status(as_json: bool, retry: bool, purge: str | None, yes: bool, state_dir: Path | None) -> None:
    """Show the outbox: facts that wait to become spans, open loops, dead letters with their reasons, damage, the last error.

    A fact is an event of an agent in the journal that its process keeps; it waits until the collector has all spans made of
    it. Works beside processes that live. Nothing is sent: that is `otel-phi flush`.

    Exit code: 0, also where something waits; 1 not all could be purged or retried; 2 usage.
    """
    from otel_phi.cli.outbox.status import outbox_status
    from otel_phi.config import state_dir as found_state_dir

    if retry and purge is not None:
        raise click.UsageError("--retry keeps what --purge deletes: use one of them")
    folder = found_state_dir(state_dir)
    done: dict[str, Any] = {}
    alone: list[str] = []
    if retry:
        done["retried"] = _retry(folder)
    elif purge is not None:
        done["purged"], alone = _purge(folder, purge, yes=yes)
    found = outbox_status(folder)
    if as_json:
        click.echo(screen.json_text({**status_object(found), **done}))
    else:
        console = screen.out()
        screen.print_lines(console, status_lines(found, console.width))
    if alone:
        sys.exit(BROKEN)


def _retry(state_dir: Path) -> int:
    from otel_phi.cli.outbox.changing import retry_letters

    count = retry_letters(state_dir)
    verb = "is" if count == 1 else "are"
    say = f"otel-phi: {words.many(count, 'dead letter')} {verb} to be sent again"
    screen.say(f"{say}: a living process of that destination does, or `otel-phi flush`" if count else say)
    return count


def _purge(state_dir: Path, session: str, *, yes: bool) -> tuple[int, list[str]]:
    from otel_phi.cli.outbox.changing import purge
    from otel_phi.cli.outbox.status import outbox_status

    if not session:
        raise click.UsageError("--purge '' names no session: leave the value out to delete all")
    if session == _ALL and not yes:
        _ask(outbox_status(state_dir))
    count, alone = purge(state_dir, None if session == _ALL else session)
    whose = "" if session == _ALL else f" of session {session}"
    screen.say(f"otel-phi: {words.many(count, 'fact or letter', 'facts and letters')}{whose} deleted")
    for one in alone:
        screen.say(f"otel-phi: left alone: {one}")
    return count, alone


def _ask(found: OutboxStatus) -> None:
    """Asks on a terminal; elsewhere nobody can answer."""
    if not sys.stdin.isatty():
        raise click.UsageError("--purge deletes all that waits, and nobody can be asked here: add --yes")
    letters = words.many(found.dead, "dead letter")
    question = f"Delete {words.many(found.waiting, 'fact')} that wait, what is open, and {letters}, unsent?"
    click.confirm(question, abort=True, err=True)
