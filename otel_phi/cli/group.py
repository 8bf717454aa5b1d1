"""The command `otel-phi` itself: its commands, loaded when they are used, and the one place where errors become a line and an exit code.

Exit codes: 0 all well, 1 something could not be read or written (a full disk, say), 2 usage or nothing readable, 3 something was
rejected, 4 gave up, resumable; 5 and 6 are `check`'s, warnings and errors; Ctrl-C ends by its signal (130), an output that nobody reads any more with 141.
"""

from __future__ import annotations

import errno
import importlib
import sys
from typing import Any, cast

import click

from otel_phi.cli.entry import SHELLS, completion, end_by_closed_pipe, end_by_interrupt
from otel_phi.cli.exit_codes import BROKEN, GAVE_UP, USAGE
from otel_phi.errors import DeliveryError, OtelPhiError
from otel_phi.version import __version__

# The commands, in the order of the help, and what each does in a line: so the help loads none of them.
COMMANDS = {
    "demo": "See a session arrive over OTLP, without a collector.",
    "ls": "List sessions, or sum them up by day, model or tool; sends nothing.",
    "show": "Show sessions as trees in the terminal; sends nothing.",
    "export": "Send stored sessions to a collector, or write them as OTLP-JSON.",
    "pipe": "Export the events that an agent writes to stdin, live.",
    "watch": "Follow what agents write to disk, and send what they complete.",
    "check": "Check sessions, an endpoint or the configuration.",
    "status": "Show what waits in the outbox, and why.",
    "flush": "Send what agents left in the outbox.",
    "completion": "Print the script that makes a shell complete all this.",
    "help": "Show what a command does, as its --help.",
}


class Commands(click.Group):
    """The group of commands loads the one that is asked for, and says errors in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Returns the commands' names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Loads a command."""
        found = super().get_command(ctx, cmd_name)
        if found is None and cmd_name in COMMANDS:
            module = importlib.import_module(f"otel_phi.cli.commands.{cmd_name}")
            found = cast("click.Command", getattr(module, cmd_name))
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Writes what each command does."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command; our errors end it with a line and a code, all others are bugs and may be seen."""
        try:
            return super().invoke(ctx)
        except DeliveryError as error:
            _leave(error, GAVE_UP)
        except OtelPhiError as error:
            _leave(error, USAGE)
        except OSError as error:
            if error.errno == errno.EPIPE:
                end_by_closed_pipe()
            _leave(error, BROKEN)
        except KeyboardInterrupt:
            end_by_interrupt()


def _leave(error: Exception, code: int) -> None:
    from otel_phi.cli.screen import say  # which knows standard input by its name

    say(f"otel-phi: {error}")
    sys.exit(code)


_EXAMPLES = """\b
Examples:
  otel-phi demo                    see it work, without a collector
  otel-phi show run.jsonl          look at a session here, send nothing
  otel-phi export run.jsonl        send it to the collector at localhost:4318
  otel-phi watch logs/             send what agents complete, as they write it
"""


def _colored(_: click.Context, __: click.Parameter, when: str | None) -> None:
    """Settles for every console of this process whether it has colors."""
    if when is not None:
        from otel_phi.cli.screen import set_colors

        set_colors(when)


@click.group(
    cls=Commands, epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, "-V", "--version", prog_name="otel-phi", message="%(prog)s %(version)s")
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    callback=_colored,
    expose_value=False,
    is_eager=True,
    help="Colors: auto has them on a terminal without NO_COLOR. [default: auto]",
)
def main() -> None:
    """Turns the work of an AI agent into OpenTelemetry traces.

    A session becomes a trace: its loops, turns, model calls and tools become spans. Reads phi-core's event logs and
    AgentEvent lines; sends OTLP to any collector.
    """


_SHELLS = """\b
Examples, and where it goes:
  eval "$(otel-phi completion bash)"     in ~/.bashrc
  eval "$(otel-phi completion zsh)"      in ~/.zshrc
  otel-phi completion fish > ~/.config/fish/completions/otel-phi.fish
"""


@main.command("completion", short_help=COMMANDS["completion"], epilog=_SHELLS)
@click.argument("shell", type=click.Choice(SHELLS))
def _completion(shell: str) -> None:
    """Print the script that makes a shell complete commands and flags."""
    click.echo(completion(shell), nl=False)


_HELPS = """\b
Examples:
  otel-phi help
  otel-phi help export
"""


@main.command("help", short_help=COMMANDS["help"], epilog=_HELPS)
@click.argument("command", required=False, metavar="[COMMAND]")
@click.pass_context
def _help(ctx: click.Context, command: str | None) -> None:
    """Show what a command does; without COMMAND, which there are."""
    parent = cast("click.Context", ctx.parent)
    if command is None:
        click.echo(parent.get_help())
        return
    found = main.get_command(parent, command)
    if found is None:
        raise click.UsageError(f"there is no command {command!r}; otel-phi help lists them", ctx=parent)
    with click.Context(found, info_name=command, parent=parent) as own:
        click.echo(found.get_help(own))
