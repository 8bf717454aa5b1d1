"""`otel-phi status`: what waits in the outbox and why; dead letters can be sent again, and all of it deleted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from otel_phi.cli import screen, words
from otel_phi.cli.flags import state_flag
from otel_phi.cli.report.outbox import status_lines, status_object

if TYPE_CHECKING:
    from otel_phi.delivery.folder import FolderStatus

_ALL = "\0"  # what no argument can be: an empty one is an unset variable of a shell, and must not delete everything

_EXAMPLES = """\b
Examples:
  otel-phi status
  otel-phi status --json | jq '.destinations[].queued'
  otel-phi status --retry && otel-phi flush
  otel-phi status --purge 550e8400-e29b-41d4-a716-446655440000
"""


@click.command(short_help="Show what waits in the outbox, and why.", epilog=_EXAMPLES)
@click.option("--json", "as_json", is_flag=True, help="The same for machines, with up to 1,000 dead letters of a file.")
@click.option("--retry", is_flag=True, help="Let dead letters be sent again.")
@click.option(
    "--purge", is_flag=False, flag_value=_ALL, metavar="[SESSION]", help="Delete all that waits, or one session's part."
)
@click.option("--yes", is_flag=True, help="Do not ask before all is deleted.")
@state_flag
def status(as_json: bool, retry: bool, purge: str | None, yes: bool, state_dir: Path | None) -> None:
    """Show the outbox: spans that wait for a collector, open loops, dead letters with their reasons, the last error.

    The hook keeps spans here until the collector has them. Works beside processes that live. Nothing is sent: that is
    `otel-phi flush`.

    Exit code: 0, also where something waits; 2 usage.
    """
    from otel_phi.config import state_dir as found_state_dir
    from otel_phi.delivery.folder import folder_status

    if retry and purge is not None:
        raise click.UsageError("--retry keeps what --purge deletes: use one of them")
    folder = found_state_dir(state_dir)
    done: dict[str, Any] = {}
    if retry:
        done["retried"] = _retry(folder)
    elif purge is not None:
        done["purged"] = _purge(folder, purge, yes=yes)
    found = folder_status(folder)
    if as_json:
        click.echo(screen.json_text({**status_object(found), **done}))
    else:
        console = screen.out()
        screen.print_lines(console, status_lines(found, console.width))


def _retry(state_dir: Path) -> int:
    from otel_phi.delivery.folder import retry_dead

    count = retry_dead(state_dir)
    letters = words.many(count, "dead letter")
    screen.say(f"otel-phi: {letters} queued again; `otel-phi flush` sends what no living process sends")
    return count


def _purge(state_dir: Path, session: str, *, yes: bool) -> int:
    from otel_phi.delivery.folder import folder_status, purge

    if not session:
        raise click.UsageError("--purge '' names no session: leave the value out to delete all")
    if session == _ALL and not yes:
        _ask(folder_status(state_dir))
    count = purge(state_dir, None if session == _ALL else session)
    whose = "" if session == _ALL else f" of session {session}"
    screen.say(f"otel-phi: {words.many(count, 'span')}{whose} deleted")
    return count


def _ask(found: FolderStatus) -> None:
    """Asks on a terminal; elsewhere nobody can answer."""
    if not sys.stdin.isatty():
        raise click.UsageError("--purge deletes all that waits, and nobody can be asked here: add --yes")
    letters = words.many(found.dead, "dead letter")
    question = f"Delete {words.many(found.queued, 'span')} that wait and {letters}, unsent?"
    click.confirm(question, abort=True, err=True)
