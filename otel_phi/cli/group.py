"""The command `otel-phi` itself: its commands, and the one place where errors become a line and an exit code.

Exit codes: 0 all well, 1 the machine failed (a full disk, say), 2 usage, 3 something was rejected, 4 gave up, resumable.
"""

from __future__ import annotations

import errno
import sys
from typing import Any

import click

from otel_phi.cli.commands.demo import demo
from otel_phi.cli.commands.export import export
from otel_phi.cli.commands.flush import flush
from otel_phi.cli.commands.pipe import pipe
from otel_phi.cli.commands.show import show
from otel_phi.cli.commands.status import status
from otel_phi.cli.commands.watch import watch
from otel_phi.cli.report.outcome import BROKEN, GAVE_UP, USAGE
from otel_phi.cli.screen import say
from otel_phi.errors import DeliveryError, OtelPhiError
from otel_phi.sources.stored import NothingHere
from otel_phi.version import __version__


class Commands(click.Group):
    """The group of commands says errors in one line."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command; our errors end it with a line and a code, all others are bugs and may be seen."""
        try:
            return super().invoke(ctx)
        except DeliveryError as error:
            _leave(error, GAVE_UP)
        except (OtelPhiError, NothingHere) as error:
            _leave(error, USAGE)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # click ends quietly: the reader of our output has gone
            _leave(error, BROKEN)


def _leave(error: Exception, code: int) -> None:
    say(f"otel-phi: {error}")
    sys.exit(code)


_EXAMPLES = """\b
Examples:
  otel-phi demo                    see it work, without a collector
  otel-phi show run.jsonl          look at a session here, send nothing
  otel-phi export run.jsonl        send it to the collector at localhost:4318
  otel-phi watch logs/             send what agents complete, as they write it
"""


@click.group(
    cls=Commands, epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="otel-phi", message="%(prog)s %(version)s")
def main() -> None:
    """Turns the work of an AI agent into OpenTelemetry traces.

    A session becomes a trace: its loops, turns, model calls and tools become spans. Reads phi-core's event logs and
    AgentEvent lines; sends OTLP to any collector.
    """


for _command in (demo, show, export, pipe, watch, status, flush):
    main.add_command(_command)
