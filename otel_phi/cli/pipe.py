"""`otel-phi pipe`: an agent's events on standard input, exported as they close."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
import msgspec

from otel_phi.cli import outcome, screen
from otel_phi.cli.complaints import Complaints
from otel_phi.cli.flags import delivery_flags, mapping_flags
from otel_phi.cli.intake import Intake, stop_signals
from otel_phi.cli.settings import configured, destination, sends_nothing
from otel_phi.cli.table import table
from otel_phi.cli.totals import Sessions
from otel_phi.errors import DeliveryError
from otel_phi.sources.lines import read_lines
from otel_phi.sources.reader import EventReader

if TYPE_CHECKING:
    from otel_phi.bridge import Bridge
    from otel_phi.config import Config
    from otel_phi.delivery.stats import Progress


# Whoever stops a process waits for about ten seconds, then kills it.
_LAST_SPANS_S = 5.0
_STDIN, _STDOUT = 0, 1  # descriptors: Python's own streams would gather lines before they pass them on

_EXAMPLES = """\b
Examples:
  my-agent | otel-phi pipe
  my-agent | otel-phi pipe --tee --service-name my-agent | my-ui
  curl -N http://localhost:8080/events | otel-phi pipe --endpoint https://collector:4318
"""


@click.command(short_help="Export the events that an agent writes to stdin, live.", epilog=_EXAMPLES)
@delivery_flags
@click.option("--tee", is_flag=True, help="Pass the input on to stdout, unchanged and at once.")
@mapping_flags
def pipe(tee: bool, sample: float | None, **flags: Any) -> None:
    """Export an agent's events as they happen: AgentEvent lines, or server-sent events, on standard input.

    Spans leave as they close; the agent never waits for the collector. Ends with the input, with the reader of --tee, or
    with Ctrl-C; what is still open then leaves as aborted, and a summary goes to stderr.

    TRACEPARENT in the environment becomes a link from each loop that no other loop started. Exit code: 0 all accepted, 2 usage, 3
    some spans were rejected or lost, 4 the collector could not be reached.
    """
    config = configured(flags)
    if tee and config.file == "-":
        raise click.UsageError("--tee and --file - would both write to stdout; give --file a name")
    config = msgspec.structs.replace(
        config, mapping=msgspec.structs.replace(config.mapping, caller=config.mapping.caller or config.traceparent)
    )
    silence = sends_nothing(config)
    if silence is not None:
        screen.say(f"otel-phi: {silence}")
    sys.exit(_run(config, sample, tee=tee))


def _run(config: Config, sample: float | None, *, tee: bool) -> int:
    from otel_phi.bridge import Bridge

    sessions, complaints, troubles = Sessions(), Complaints(), _Troubles()
    bridge = Bridge(config, live=True, sample=sample, on_span=sessions.add, on_progress=troubles)
    reader = EventReader("stdin", for_spans=True, on_bad_line=complaints)
    failure = ""
    try:
        with stop_signals() as stop:
            intake = Intake(_STDIN, _STDOUT if tee else None, stop)
            bridge.feed(reader.read(read_lines(intake)))
        if intake.told_to_stop:
            screen.say("otel-phi: sending the last spans; Ctrl-C again to stop")
            bridge.finish(min(config.give_up_after_s, _LAST_SPANS_S))
        else:
            bridge.finish()
    except DeliveryError as error:
        failure = f"{error}{outcome.advice(str(error), config)}"
    except KeyboardInterrupt:
        failure = "interrupted while the last spans were under way"
    complaints.conclude()
    if reader.counts["bad_lines"] and not bridge.stats().events and not failure:
        bridge.close(whole=True)
        screen.say(
            "otel-phi: no AgentEvent on stdin; each line should be one, as JSON (files are read by otel-phi export)"
        )
        return outcome.USAGE
    _summary(bridge, sessions, failure)
    bridge.close(whole=not failure)
    return outcome.GAVE_UP if failure else outcome.exit_code(bridge.stats().delivery)


class _Troubles:
    """Says once what keeps spans from getting through, and when they do again."""

    def __init__(self) -> None:
        self._said: str | None = None

    def __call__(self, state: Progress) -> None:
        if state.trouble == self._said:
            return
        self._said = state.trouble
        screen.say(f"otel-phi: {state.trouble or 'the collector answers again'}")


def _summary(bridge: Bridge, sessions: Sessions, failure: str) -> None:
    screen.print_lines(screen.err(), table(sessions.all(), bridge.config.trace_url))
    if sessions.forgotten:
        screen.say(f"otel-phi: and {sessions.forgotten:,} sessions before these")
    if failure:
        screen.say(f"otel-phi: {failure}")
    stats = bridge.stats().delivery
    target = destination(bridge.config)
    for line in outcome.sentences(stats, target, bridge.progress().rejection, bridge.dead_letters):
        screen.say(f"otel-phi: {line}")
