"""`otel-phi pipe`: an agent's events on standard input, exported as they close."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click
import msgspec

from otel_phi.cli import exit_codes, screen
from otel_phi.cli.entry import end_if_unread
from otel_phi.cli.flags import (
    content_flags,
    delivery_flags,
    destination_flag,
    mapping_flags,
    metrics_flag,
    price_flags,
    state_flag,
)
from otel_phi.cli.intake import Intake, stop_signals
from otel_phi.cli.report import outcome
from otel_phi.cli.report.complaints import Complaints, warnings_said
from otel_phi.cli.report.table import table
from otel_phi.cli.report.totals import Sessions, both
from otel_phi.cli.settings import called, configured, sends_nothing
from otel_phi.clock import wall_ns
from otel_phi.sources.agent_stream import AgentStream
from otel_phi.sources.agents.streams import STREAMS
from otel_phi.sources.lines import read_lines
from otel_phi.sources.reader import EventReader

if TYPE_CHECKING:
    from otel_phi.cli.outlets import Outlet
    from otel_phi.config import Config


# Whoever stops a process waits for about ten seconds, then kills it.
_LAST_SPANS_S = 5.0
_STDIN, _STDOUT = 0, 1  # descriptors: Python's own streams would gather lines before they pass them on

_EXAMPLES = """\b
Examples:
  my-agent | otel-phi pipe
  my-agent | otel-phi pipe --show
  my-agent | otel-phi pipe --tee --service-name my-agent | my-ui
  claude -p 'fix it' --output-format stream-json --verbose | otel-phi pipe --from claude --tee
  curl -N http://localhost:8080/events | otel-phi pipe --endpoint https://collector:4318
"""


@click.command(short_help="Export the events that an agent writes to stdin, live.", epilog=_EXAMPLES)
@delivery_flags
@click.option("--tee", is_flag=True, help="Pass the input on to stdout, unchanged and at once.")
@click.option(
    "--show", "shows", is_flag=True, help="Show on stderr what the agent does: a row that changes, lines elsewhere."
)
@click.option(
    "--from",
    "agent",
    type=click.Choice(sorted(STREAMS)),
    help="What writes to stdin: `pi --mode json`, `claude -p --output-format stream-json`, `codex exec --json`.",
)
@metrics_flag
@content_flags
@mapping_flags
@price_flags
@destination_flag
@state_flag
def pipe(tee: bool, shows: bool, agent: str | None, sample: float | None, **flags: Any) -> None:
    """Export an agent's events as they happen: AgentEvent lines, or server-sent events, on standard input.

    Spans leave as they close; the agent never waits for the collector. Ends with the input, with the reader of --tee, or
    with Ctrl-C; what is still open then leaves as aborted, and a summary goes to stderr.

    What the collector does not take waits in the outbox, as the hook's spans do, however this process ends: `otel-phi status`
    shows it, `otel-phi flush` or the next process for the same collector sends it. With --file there is no outbox.

    TRACEPARENT in the environment becomes a link from each loop that no other loop started. Exit code: 0 all accepted, 1
    a FILE could not be written, 2 usage, 3 some spans were rejected or lost, 4 some could not be sent in time and wait in the outbox.
    """
    config = configured(flags)
    if tee and config.file == "-":
        raise click.UsageError("--tee and --file - would both write to stdout; give --file a name")
    config = msgspec.structs.replace(called(config), console_to_stderr=tee)
    silence = sends_nothing(config)
    if silence is not None:
        screen.say(f"otel-phi: {silence}")
    sys.exit(_run(config, sample, tee=tee, shows=shows, agent=agent))


def _run(config: Config, sample: float | None, *, tee: bool, shows: bool, agent: str | None) -> int:
    from otel_phi.cli.live.view import LiveView
    from otel_phi.cli.outlets import outlet as opened

    sessions, complaints = Sessions(), Complaints()
    reader: EventReader | AgentStream = EventReader("stdin", for_spans=True, on_bad_line=complaints)
    if agent is not None:
        reader = AgentStream(agent, wall_ns, on_bad_line=complaints)
    failure = ""
    view = LiveView(config.trace_url, plain=True) if shows else None
    with warnings_said(), view or nullcontext():
        outlet = opened(config, sample, both(sessions.add, view))
        try:
            with stop_signals() as stop:
                intake = Intake(_STDIN, _STDOUT if tee else None, stop)
                try:
                    outlet.feed(reader.read(read_lines(intake)))
                finally:
                    intake.pass_on()
            if intake.asked_to_stop:
                screen.say("otel-phi: sending the last spans; Ctrl-C again to stop")
            failure = outlet.finish(_LAST_SPANS_S if intake.asked_to_stop else None)
            failure += outcome.advice(failure, config) if failure else ""
        except KeyboardInterrupt:
            failure = "interrupted while the last spans were under way"
        complaints.conclude()
        outlet.close(whole=not failure)
    end_if_unread(config.file)
    if reader.counts["bad_lines"] and not outlet.events and not failure:
        screen.say(
            "otel-phi: no AgentEvent on stdin; each line should be one, as JSON (files are read by otel-phi export)"
        )
        return exit_codes.USAGE
    _summary(config, outlet, sessions, failure)
    return outlet.exit_code()


def _summary(config: Config, outlet: Outlet, sessions: Sessions, failure: str) -> None:
    screen.print_lines(screen.err(), table(sessions.all(), config.trace_url, screen.room(screen.err())))
    if sessions.forgotten:
        screen.say(f"otel-phi: and {sessions.forgotten:,} sessions before these")
    if failure:
        screen.say(f"otel-phi: {failure}")
    for line in outlet.sentences():
        screen.say(f"otel-phi: {line}")
