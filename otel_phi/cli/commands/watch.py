"""`otel-phi watch`: event logs, session files and folders of them, followed as agents write them."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from otel_phi.cli import exit_codes, screen, words
from otel_phi.cli.agent_flags import agent_flags, followed_places
from otel_phi.cli.entry import end_if_unread, reader_gone
from otel_phi.cli.flags import content_flags, delivery_flags, mapping_flags, price_flags, state_flag
from otel_phi.cli.own_telemetry import own_telemetry
from otel_phi.cli.report import outcome
from otel_phi.cli.report.complaints import Complaints
from otel_phi.cli.report.table import table
from otel_phi.cli.report.totals import Sessions, both
from otel_phi.cli.report.troubles import Troubles
from otel_phi.cli.settings import configured_with_state, destination, sends_nothing
from otel_phi.errors import DeliveryError

if TYPE_CHECKING:
    from otel_phi.config import Config
    from otel_phi.watch.watch import Watch


_EXAMPLES = """\b
Examples:
  otel-phi watch                     the agents of this machine
  otel-phi watch --claude --since 7d
  otel-phi watch logs/ --endpoint https://collector:4318 --header "authorization=Bearer $TOKEN"
  otel-phi watch --once logs/        from cron: what is new, then end
"""
_DAY_S = 86_400.0
_SHOWN = 20  # sessions at the end: a watch may have seen thousands


@click.command(short_help="Follow what agents write to disk, and send what they complete.", epilog=_EXAMPLES)
@click.argument("paths", nargs=-1, metavar="[PATH...]", type=click.Path(path_type=Path))
@agent_flags
@delivery_flags
@click.option("--once", is_flag=True, help="Send what is new and end; for cron.")
@click.option("--quiet", is_flag=True, help="Say only what is wrong: neither sessions at work nor a summary.")
@click.option(
    "--poll",
    "poll_s",
    type=click.FloatRange(min=0.05),
    metavar="SECONDS",
    help="Look so often instead of being told: for network disks.",
)
@click.option(
    "--abandon-after",
    "abandon_after_s",
    type=click.FloatRange(min=0),
    default=_DAY_S,
    metavar="SECONDS",
    help="Abort loops of a file silent for so long. [default: a day]",
)
@click.option(
    "--source-info", is_flag=True, default=None, help="Say where an agent worked: folder, branch, commit, title."
)
@state_flag
@content_flags
@mapping_flags
@price_flags
def watch(
    paths: tuple[Path, ...],
    once: bool,
    quiet: bool,
    poll_s: float | None,
    abandon_after_s: float,
    sample: float | None,
    **flags: Any,
) -> None:
    """Follow what agents write to disk, and send each turn, tool and loop as it completes.

    PATH is phi-core's event log, a file of AgentEvent lines, a saved session, a session of Claude Code, Codex, pi or OpenClaw, or
    a folder of them; new files are seen. Without a PATH it follows the agents that keep sessions on this machine. What was sent is
    remembered: started again, even after a kill, it goes on where it was. What the collector does not take stays in the files, and
    is sent when it does.

    On a terminal the sessions at work are rows that change, and finished ones scroll up; elsewhere each finished one is a line.

    Ends with Ctrl-C or SIGTERM, within 2 s. Exit code: 0 all accepted, 1 a file could not be read, 2 usage, 3 some spans were
    rejected, 4 some were not sent: the files have them, run it again.
    """
    since_ns = flags.pop("since_ns")
    paths, found = followed_places(paths, flags)
    config = configured_with_state(flags)
    if config.file not in (None, "-"):
        raise click.UsageError(
            "watch has no end, so it cannot write a whole FILE: --file - writes to stdout; otel-phi export writes files"
        )
    silence = sends_nothing(config)
    if silence is not None:
        screen.say(f"otel-phi: {silence}")
        return
    if found:
        screen.say(f"otel-phi: {found}")
    options = {"abandon_after_s": abandon_after_s, "sample": sample, "since_ns": since_ns}
    sys.exit(_run(config, paths, once=once, quiet=quiet, poll_s=poll_s, **options))


def _say_if_sent_twice(agent: str) -> None:
    from otel_phi.config.config import environment

    sentence = own_telemetry(agent, environment())
    if sentence is not None:
        screen.say(f"otel-phi: {sentence}")


def _run(
    config: Config, paths: tuple[Path, ...], *, poll_s: float | None, once: bool, quiet: bool, **options: Any
) -> int:
    from otel_phi.cli.live.view import LiveView
    from otel_phi.watch.watch import Listener, Watch

    def stopping() -> bool:
        return stop.is_set() or (config.file == "-" and reader_gone())

    sessions, complaints, troubles = Sessions(), Complaints(), Troubles("the collector answers again")
    view = None if quiet else LiveView(config.trace_url, plain=not once)
    listener = Listener(
        on_bad_line=complaints,
        on_span=both(sessions.add, view),
        on_progress=troubles,
        on_agent=_say_if_sent_twice,
    )
    failure = ""
    with (
        _stop_signals() as stop,
        Watch(config, paths, stopping=stopping, once=once, listener=listener, **options) as watching,
    ):
        if not once and not quiet:
            screen.say(f"otel-phi: watching {', '.join(map(str, paths))}; Ctrl-C ends")
        try:
            with view or nullcontext():
                watching.run(poll_s)
        except DeliveryError as error:
            failure = f"{error}{outcome.advice(str(error), config)}; run the same command again to send the rest"
    end_if_unread(config.file)
    complaints.conclude()
    _summary(watching, config, sessions, failure, quiet=quiet)
    if failure or watching.stats().queued:
        return exit_codes.GAVE_UP if config.file is None else exit_codes.BROKEN
    return max(outcome.exit_code(watching.stats()), complaints.exit_code())


class _Stop:
    """Remembers that a signal came."""

    def __init__(self) -> None:
        self._asked = False

    def ask(self, number: int, _: FrameType | None) -> None:
        self._asked = True
        signal.signal(number, signal.SIG_DFL)  # a second one ends at once

    def is_set(self) -> bool:
        return self._asked


@contextmanager
def _stop_signals() -> Iterator[_Stop]:
    stop = _Stop()
    caught = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop.ask) for number in caught}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _summary(watching: Watch, config: Config, sessions: Sessions, failure: str, *, quiet: bool) -> None:
    found = [] if quiet else sessions.all()
    screen.print_lines(screen.err(), table(found[-_SHOWN:], config.trace_url, screen.room(screen.err())))
    if before := 0 if quiet else sessions.forgotten + len(found[:-_SHOWN]):
        screen.say(f"otel-phi: and {words.many(before, 'session')} before these")
    if failure:
        screen.say(f"otel-phi: {failure}")
    if quiet and not outcome.exit_code(watching.stats()) and not watching.stats().queued:
        return
    if left := watching.folder.left_out:
        screen.say(f"otel-phi: {words.many(left, 'file')} of the folder left out: nothing in them is followed")
    if watching.open_loops:
        screen.say(f"otel-phi: {words.many(watching.open_loops, 'loop')} still open; a later watch goes on with them")
    for line in outcome.sentences(
        watching.stats(), destination(config), watching.progress().rejection, watching.dead_letters
    ):
        screen.say(f"otel-phi: {line}")
    unsent = watching.stats().queued
    if unsent and not failure:
        screen.say(
            f"otel-phi: {words.many(unsent, 'span')} not sent; the files have them, and the next watch sends them"
        )
