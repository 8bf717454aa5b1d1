"""`otel-phi flush`: sends what agents left in the outbox, and says what stayed and why."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from otel_phi.cli import screen, words
from otel_phi.cli.flags import sending_flags, state_flag
from otel_phi.cli.report import outcome
from otel_phi.cli.report.complaints import warnings_said
from otel_phi.cli.settings import configured_with_state, destination, exporter_words, sends_nothing
from otel_phi.tree import clean

if TYPE_CHECKING:
    from otel_phi.config import Config
    from otel_phi.delivery.flush import Flushed

_EXAMPLES = """\b
Examples:
  otel-phi flush
  otel-phi flush --endpoint https://collector:4318 --header "authorization=Bearer $TOKEN"
  otel-phi flush --give-up-after 5 || otel-phi status
"""


@click.command(short_help="Send what agents left in the outbox.", epilog=_EXAMPLES)
@sending_flags
@state_flag
def flush(state_dir: Path | None, **flags: Any) -> None:
    """Send what the hook left in the outbox for a collector, and say what stayed.

    Spans wait for the collector and the headers they were made for: give those that the agent had, by flag or variable.
    What dead processes left is sent, their open loops, turns and groups as aborted. Living processes send their own; it
    waits for those.

    Exit code: 0 all sent, 2 usage, 3 some spans were rejected or refused for good, 4 some stayed; they are safe, run the
    same command again.
    """
    from otel_phi.delivery.flush import flush_outbox

    config = msgspec.structs.replace(configured_with_state({**flags, "state_dir": state_dir}), console_to_stderr=True)
    silence = sends_nothing(config)
    if silence is not None:
        screen.say(f"otel-phi: {silence}")
        return
    with warnings_said():
        flushed = flush_outbox(config)
    for line in _results(flushed, config):
        screen.out().print(clean(line), soft_wrap=True)
    for line in _notes(flushed, config):
        screen.say(f"otel-phi: {line}")
    sys.exit(_exit_code(flushed))


def _results(flushed: Flushed, config: Config) -> Iterator[str]:
    if not flushed.waited:
        yield f"nothing waits for {_name(config)}"
        return
    yield from outcome.sentences(flushed.stats, destination(config), flushed.rejection, flushed.letters)
    if flushed.stayed:
        waiting = flushed.left.queued + flushed.left.roots
        yield f"{words.many(waiting, 'span')} stayed in the outbox: {_why(flushed)}"
    for file in flushed.unusable:
        yield f"{file} cannot be read; its spans stayed"


def _why(flushed: Flushed) -> str:
    if flushed.trouble:
        return flushed.trouble
    living = flushed.left.processes
    if not living:
        return "their files cannot be used now"
    pids = ", ".join(map(str, living[:5])) + (", ..." if len(living) > 5 else "")
    error = f"; last error: {flushed.left.last_error}" if flushed.left.last_error else ""
    return f"held by {words.many(len(living), 'living process', 'living processes')} ({pids}), to be sent there{error}"


def _notes(flushed: Flushed, config: Config) -> Iterator[str]:
    """Yields what to do about it, one line each."""
    from otel_phi.delivery.flush import INTERRUPTED

    if flushed.stayed and flushed.trouble:
        what = "" if flushed.trouble == INTERRUPTED else outcome.advice(flushed.trouble, config)
        yield f"gave up{what}; run the same command again to send the rest"
    if flushed.left.dead:
        letters = words.many(flushed.left.dead, "dead letter")
        yield f"{letters} kept: `otel-phi status` names them, `otel-phi status --retry` lets them be sent again"
    for other in flushed.others:
        spans = words.many(other.queued + other.roots, "more span")
        if other.endpoint == config.display_endpoint:
            yield f"{spans} for {other.endpoint}, with other headers or protocol: give those that the agent had"
        else:
            yield f"{spans} for another collector: {other.endpoint or '(unknown)'}"


def _name(config: Config) -> str:
    return exporter_words(config, config.exporter_names[0])


def _exit_code(flushed: Flushed) -> int:
    if flushed.stayed or flushed.unusable:
        return outcome.GAVE_UP
    return outcome.exit_code(flushed.stats)
