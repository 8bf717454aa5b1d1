"""`otel-phi flush`: sends what agents left in the outbox, and says what stayed and why."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from otel_phi.cli import exit_codes, screen, words
from otel_phi.cli.flags import destination_flag, sending_flags, state_flag
from otel_phi.cli.report import outcome
from otel_phi.cli.report.complaints import warnings_said
from otel_phi.cli.report.outbox import open_words
from otel_phi.cli.settings import configured_with_state, destination, exporter_words, sends_nothing
from otel_phi.recorder.snapshot import OpenWork
from otel_phi.tree import clean

if TYPE_CHECKING:
    from otel_phi.cli.outbox.flushing import Flushed
    from otel_phi.config import Config

_PIDS_SHOWN = 5
_EXAMPLES = """\b
Examples:
  otel-phi flush
  otel-phi flush --endpoint https://collector:4318 --header "authorization=Bearer $TOKEN"
  otel-phi flush --give-up-after 5 || otel-phi status
"""


@click.command(short_help="Send what agents left in the outbox.", epilog=_EXAMPLES)
@sending_flags
@destination_flag
@click.option(
    "--any-credentials",
    is_flag=True,
    help="Send also what was meant for this collector with other headers: a key was rotated.",
)
@state_flag
def flush(any_credentials: bool, state_dir: Path | None, **flags: Any) -> None:
    """Send what the hook and pipe left in the outbox for a collector, and say what stayed.

    Facts wait for the collector and the headers they were made for: give those that the agent had, by flag or variable.
    What dead processes left is sent, their open loops, turns and groups as aborted. Living processes send their own; it
    waits until they have sent what they held when it began.

    Exit code: 0 all sent and nothing of that collector lies there, 1 some lines were damaged and are lost, 2 usage, 3 some spans
    were rejected or refused for good, 4 some facts stayed; they are safe, run the same command again.
    """
    from otel_phi.cli.outbox.flushing import flush_outbox

    config = msgspec.structs.replace(configured_with_state({**flags, "state_dir": state_dir}), console_to_stderr=True)
    silence = sends_nothing(config)
    if silence is not None:
        screen.say(f"otel-phi: {silence}")
        return
    with warnings_said():
        flushed = flush_outbox(config, any_credentials=any_credentials)
    for line in _results(flushed, config):
        screen.out().print(clean(line), soft_wrap=True)
    for line in _notes(flushed, config):
        screen.say(f"otel-phi: {line}")
    sys.exit(_exit_code(flushed))


def _results(flushed: Flushed, config: Config) -> Iterator[str]:
    if flushed.waited:
        yield from outcome.sentences(flushed.stats, destination(config), flushed.rejection, flushed.letters)
    elif not flushed.left_alone:
        yield f"nothing waits for {_name(config)}{' with these headers' if flushed.foreign else ''}"
    if flushed.damaged:
        yield f"{words.many(flushed.damaged, 'line')} could not be read any more, and {_is(flushed.damaged)} lost"
    if flushed.stayed:
        yield f"{_what_stayed(flushed)} stayed in the outbox: {_why(flushed)}"
    for one in flushed.left_alone:
        yield f"{one.path} stayed: {one.reason}"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _what_stayed(flushed: Flushed) -> str:
    waiting = sum(one.view.waiting for one in flushed.stayed)
    work = [one.view.open for one in flushed.stayed if not one.folder.alive]
    open_ = open_words(OpenWork(*map(sum, zip(*work, strict=True)))) if work else ""
    letters = sum(len(one.retried) for one in flushed.stayed)
    parts = [words.many(waiting, "fact")] if waiting else []
    parts += [f"what is open ({open_})"] if open_ else []
    parts += [words.many(letters, "letter to be retried", "letters to be retried")] if letters else []
    return " and ".join(parts) or "a journal that cannot be read"


def _why(flushed: Flushed) -> str:
    if flushed.trouble:
        return flushed.trouble
    living = [one.folder.pid for one in flushed.stayed if one.folder.alive]
    if not living:
        return "another process may be sending it now"
    pids = ", ".join(map(str, living[:_PIDS_SHOWN])) + (", ..." if len(living) > _PIDS_SHOWN else "")
    error = f"; last error: {flushed.last_error}" if flushed.last_error else ""
    return f"held by {words.many(len(living), 'living process', 'living processes')} ({pids}), to be sent there{error}"


def _notes(flushed: Flushed, config: Config) -> Iterator[str]:
    """Yields what to do about it, one line each."""
    from otel_phi.cli.outbox.flushing import INTERRUPTED

    if flushed.stayed and flushed.trouble:
        what = "" if flushed.trouble == INTERRUPTED else outcome.advice(flushed.trouble, config)
        yield f"gave up{what}; run the same command again to send the rest"
    if flushed.dead:
        letters = words.many(flushed.dead, "dead letter")
        yield f"{letters} kept: `otel-phi status` names them, `otel-phi status --retry` lets them be sent again"
    if flushed.foreign:
        facts = words.many(flushed.foreign, "more fact")
        yield f"{facts} for {_name(config)}, with other headers: give those that the agent had, or --any-credentials"
    for other in flushed.others:
        facts = words.many(max(other.waiting, sum(other.open)), "more fact")
        yield f"{facts} for another destination: {other.shown or other.name}"


def _name(config: Config) -> str:
    return exporter_words(config, config.exporter_names[0])


def _exit_code(flushed: Flushed) -> int:
    """Returns the highest of what is true: damaged, refused, stayed."""
    if flushed.stayed or flushed.left_alone or flushed.foreign:
        return exit_codes.GAVE_UP
    if flushed.dead:
        return exit_codes.REJECTED
    return max(outcome.exit_code(flushed.stats), exit_codes.BROKEN if flushed.damaged else exit_codes.DELIVERED)
