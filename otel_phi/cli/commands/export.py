"""`otel-phi export`: stored sessions to a collector or a file; blocks, retries, and can be run again to resume."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
import msgspec

from otel_phi.cli import exit_codes, screen
from otel_phi.cli.agent_flags import place_flags, with_places
from otel_phi.cli.entry import end_by_interrupt, end_if_unread
from otel_phi.cli.flags import (
    choice_flags,
    content_flags,
    delivery_flags,
    mapping_flags,
    metrics_flag,
    paths_and_errors,
    price_flags,
)
from otel_phi.cli.listing.chosen import Chosen, choice_of, chosen
from otel_phi.cli.outputs import refuse_own_input
from otel_phi.cli.own_telemetry import own_telemetry
from otel_phi.cli.report import outcome, reading
from otel_phi.cli.report.complaints import Complaints, warnings_said
from otel_phi.cli.report.objects import EXPORT_SCHEMA
from otel_phi.cli.report.progress import ExportProgress, Looking
from otel_phi.cli.report.table import session_objects, table
from otel_phi.cli.report.tempo import TempoLimits
from otel_phi.cli.report.totals import Sessions, both
from otel_phi.cli.settings import called, configured, sends_nothing
from otel_phi.cli.standard_input import is_copy, with_input
from otel_phi.errors import DeliveryError
from otel_phi.pipeline import policy_for
from otel_phi.policy.door import sees_content
from otel_phi.recorder.references import ahead_of
from otel_phi.sources.agent_files import AgentOptions
from otel_phi.sources.stored import Stored

if TYPE_CHECKING:
    from otel_phi.bridge import Bridge
    from otel_phi.config import Config
    from otel_phi.delivery.journal.ledger import Ledger
    from otel_phi.mapping.span import Span


_EXAMPLES = """\b
Examples:
  otel-phi export run.jsonl
  otel-phi export logs/ --endpoint https://collector:4318 --header "authorization=Bearer $TOKEN"
  otel-phi export --claude --since 7d
  otel-phi export run.jsonl --trace-url 'http://localhost:16686/trace/{trace_id}'
  otel-phi export run.jsonl --file - | gzip > run.otlp.jsonl.gz
"""


@click.command(short_help="Send stored sessions to a collector, or write them as OTLP-JSON.", epilog=_EXAMPLES)
@click.argument("paths", nargs=-1, metavar="PATH...", type=click.Path(path_type=Path))
@place_flags
@choice_flags
@delivery_flags
@click.option("--all", "whole", is_flag=True, help="Count here what a file copied from another beside it, too.")
@click.option(
    "--source-info", is_flag=True, default=None, help="Say where an agent worked: folder, branch, commit, title."
)
@click.option("--final", is_flag=True, help="Send loops that are still open too, as aborted.")
@click.option("--json", "as_json", is_flag=True, help="The table at the end as JSON.")
@metrics_flag
@content_flags
@mapping_flags
@price_flags
def export(paths: tuple[Path, ...], final: bool, as_json: bool, sample: float | None, **flags: Any) -> None:
    """Send stored sessions to an OpenTelemetry collector and print their trace ids.

    PATH is phi-core's event log, a file of AgentEvent lines, another agent's session, opencode's database, or a folder
    of them; gzipped or not; - is standard input. A folder is read as one stream, and what one session copied from another is
    counted once. Loops that are still open in a file written to in the last 10 minutes are held back.

    TRACEPARENT in the environment becomes a link from each loop that no other loop started; with --trace-scope loop --join
    the loops are children of that span. The OTEL_EXPORTER_OTLP_* variables count where a flag is not given. Exit code: 0 all accepted,
    1 a file could not be read (the others were sent) or written, 2 usage or nothing can be read, 3 some spans were rejected, 4 gave
    up; run the same command again to send the rest.
    """
    agents = AgentOptions(flags.pop("whole"))
    paths, flags["errors"] = paths_and_errors(paths, flags["errors"])
    paths = with_input(with_places(paths, flags))
    choice, cached = choice_of(flags)
    config = called(msgspec.structs.replace(configured(flags), console_to_stderr=True))  # stdout is the table's
    silence = sends_nothing(config)
    if silence is not None:
        screen.say(f"otel-phi: {silence}")
        return
    from otel_phi.config.config import environment

    complaints = Complaints()
    refuse_own_input(config.file, paths, "--file")
    meant = chosen(paths, choice, complaints, cached=cached)
    if not meant.paths:
        screen.say("otel-phi: no session is what the filters ask for: nothing is sent")
        complaints.leave()
        return
    content = sees_content(policy_for(config, tools=config.metrics.asked))
    with Looking() as looking:
        stored = Stored(
            meant.paths, final=final, on_bad_line=complaints, agents=agents, content=content, looks=looking.looks
        )
    own = [own_telemetry(agent, environment()) for agent in sorted({one.key[0] for one in stored.agents.sessions})]
    for line in (*reading.before(stored, final=final), *filter(None, own)):
        screen.say(f"otel-phi: {line}")
    sessions = Sessions()
    tempo = TempoLimits() if config.profile == "tempo" and config.file is None else None
    bridge = _run(config, stored, both(sessions.add, tempo), sample, meant)
    complaints.conclude()
    for line in (*reading.after(stored, final=final), *(tempo.sentences() if tempo is not None else ())):
        screen.say(f"otel-phi: {line}")
    sys.exit(max(_report(bridge, sessions, stored, as_json=as_json), complaints.exit_code()))


def _run(
    config: Config, stored: Stored, on_span: Callable[[Span], None], sample: float | None, meant: Chosen
) -> Bridge:
    """Delivers everything; leaves with an exit code where that cannot be done."""
    from otel_phi.bridge import Bridge

    ledger = _ledger(config, stored)
    progress = ExportProgress(stored, retries=config.file is None)
    try:
        bridge = Bridge(
            config,
            ahead=ahead_of(stored.starts),
            sample=sample,
            ledger=ledger,
            on_progress=progress.note,
            on_span=on_span,
        )
        bridge.only(meant.holds)
        with progress, bridge, warnings_said():
            bridge.feed(progress.of(stored.events()))
        if ledger is not None:
            ledger.finish()
        return bridge
    except DeliveryError as error:
        _gave_up(f"{error}{outcome.advice(str(error), config)}", config, ledger)
    except KeyboardInterrupt:
        _say_why("interrupted", config, ledger)
        end_by_interrupt()
        raise
    finally:
        if ledger is not None:
            ledger.close()


def _ledger(config: Config, stored: Stored) -> Ledger | None:
    if config.file is not None:
        return None  # a file is written anew, whole
    if config.state_dir is None:
        return None  # there was a warning: an interrupted export starts over
    if any(map(is_copy, stored.files)):
        return None  # nobody gives it again
    from otel_phi.delivery.exporters.open import resource_of
    from otel_phi.delivery.journal.ledger import Ledger, ledger_name

    paths = (str(path.resolve()) for path in stored.files)
    # Whatever makes the bytes or their destination another makes it another export.
    facts = (
        config.protocol,
        config.exporter_name,
        repr(resource_of(config)),
        repr(config.mapping),
        repr(config.prices),
    )
    return Ledger(
        config.state_dir, ledger_name(config.state_dir, config.endpoint, config.fixed_headers, *facts, *paths)
    )


def _gave_up(reason: str, config: Config, ledger: Ledger | None) -> NoReturn:
    end_if_unread(config.file)
    _say_why(reason, config, ledger)
    sys.exit(exit_codes.GAVE_UP if config.file is None else exit_codes.BROKEN)


def _say_why(reason: str, config: Config, ledger: Ledger | None) -> None:
    if config.file is not None:
        resume = "; nothing was written"
    else:
        resume = f"; run the same command again to send {'the rest' if ledger is not None else 'all of it'}"
    screen.say(f"otel-phi: {reason}{resume}")


def _report(bridge: Bridge, sessions: Sessions, stored: Stored, *, as_json: bool) -> int:
    config, stats = bridge.config, bridge.stats().delivery
    to_stdout = config.file != "-"
    if as_json:
        report = {
            "schema": EXPORT_SCHEMA,
            "sessions": session_objects(sessions.all(), config.trace_url),
            "accepted": stats.acknowledged,
            "rejected": stats.rejected,
            "dead": stats.dead,
            "dropped": dict(stats.dropped),
            "held_loops": stored.held_loops + stored.agents.held_loops,
            "bad_lines": stored.counts["bad_lines"],
            "unreadable_files": len(stored.unreadable),
        }
        click.echo(screen.json_text(report), err=not to_stdout)
    else:
        console = screen.out() if to_stdout else screen.err()
        screen.print_lines(console, table(sessions.all(), config.trace_url, screen.room(console)))
    for delivery in bridge.deliveries:
        for line in outcome.delivery_sentences(delivery, config):
            screen.say(f"otel-phi: {line}")
    return max(outcome.exit_code(delivery.progress.stats) for delivery in bridge.deliveries)
