"""`otel-phi show`: the trace as a tree in the terminal. Sends nothing, and loads neither grpc nor the OpenTelemetry SDK."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.text import Text

from otel_phi.cli import screen
from otel_phi.cli.flags import mapping_flags, price_flags
from otel_phi.cli.outbox.showing import journals_in, shown
from otel_phi.cli.outputs import refuse_own_input
from otel_phi.cli.report.complaints import Complaints
from otel_phi.cli.report.objects import span_object
from otel_phi.cli.report.redaction import check_lines
from otel_phi.cli.report.table import table
from otel_phi.cli.tree.drawing import lines
from otel_phi.cli.tree.folding import fold
from otel_phi.cli.tree.headline import headline
from otel_phi.cli.tree.outline import Session, outline
from otel_phi.config.config import price_source
from otel_phi.errors import SourceError
from otel_phi.mapping.options import MappingOptions, options_for
from otel_phi.mapping.span import Span
from otel_phi.pipeline import spans
from otel_phi.policy.door import policy_of
from otel_phi.policy.options import SHORTEST_LIMIT, ContentOptions
from otel_phi.prices import Prices, prices_of
from otel_phi.recorder.references import ahead_of
from otel_phi.sources.stored import Stored
from otel_phi.tree import clean, session_of

# Nobody reads a hundred trees; the table says which one to look at.
SHOWN_AS_TREES = 12


_EXAMPLES = """\b
Examples:
  otel-phi show run.jsonl
  otel-phi show logs/ --session 76676b69 --all
  otel-phi show run.jsonl --json | jq '.[] | select(.status == "ERROR") | .name'
"""


@click.command(short_help="Show sessions as trees in the terminal; sends nothing.", epilog=_EXAMPLES)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path))
@click.option("--session", "session_prefix", metavar="ID", help="Only the sessions whose id begins with this.")
@click.option("--all", "whole", is_flag=True, help="Fold nothing: every turn and tool of a long session.")
@click.option("--json", "as_json", is_flag=True, help="The spans as a JSON array instead of a tree.")
@click.option("--svg", "picture", type=click.Path(path_type=Path, dir_okay=False), help="Draw into an SVG file.")
@click.option(
    "--content", is_flag=True, help="What was said too, secrets taken out: as --content of export would send it."
)
@click.option(
    "--redact-check", is_flag=True, help="What redaction would take out, by kind and place, without showing it."
)
@mapping_flags
@price_flags
def show(
    paths: tuple[Path, ...],
    session_prefix: str | None,
    whole: bool,
    as_json: bool,
    picture: Path | None,
    content: bool,
    redact_check: bool,
    **mapping: Any,
) -> None:
    """Show what agents did as trees: offsets, durations, tokens, tools, errors, links.

    PATH is phi-core's event log, a file of AgentEvent lines, or a folder of them; gzipped or not. Long sessions are
    folded; what failed is always shown. A loop that has not ended is shown as aborted.

    PATH can be the hook's own journal too: the outbox, a process's folder in it, or one file of that, also while the process
    lives. It is shown as it will be sent: with the options in its head, unless flags say others.

    What model calls cost is said where the source says it, or where prices are asked for and know the model.

    With --json each span is an object: name, trace_id, span_id, parent_span_id (hex, or null), kind, start_ns and end_ns
    (integers, nanoseconds since 1970), status, status_message, attributes, events, links.

    With --content prompts, answers, arguments and results stand below model calls and tools. --redact-check reads the same texts,
    and says which secrets are in them: kind, place and number, never the text.
    """
    refuse_own_input(picture, paths, "--svg")
    if redact_check:
        screen.print_lines(screen.out(), check_lines(paths))
        return
    known = prices_of(
        price_source(mapping.pop("cost"), mapping.pop("prices")), lambda said: screen.say(f"otel-phi: {said}")
    )
    spans, notes = _all_spans(paths, mapping, known, content=content)
    found = [span for span in spans if session_of(span).startswith(session_prefix or "")]
    if not found:
        _nothing(paths, session_prefix)
    if as_json:
        screen.print_json(span_object(span) for span in found)
    elif picture is not None:
        title = " ".join(["otel-phi show", *(path.name for path in paths)])
        drawn = chain(notes, draw(found, screen.svg_width(), whole=whole))
        picture.write_text(screen.svg(drawn, title), encoding="utf-8")
    else:
        console = screen.out()
        screen.print_lines(console, chain(notes, draw(found, console.width, whole=whole)))


def _all_spans(
    paths: tuple[Path, ...], mapping: dict[str, Any], prices: Prices | None, *, content: bool
) -> tuple[list[Span], list[Text]]:
    """Returns the spans of all paths, and a line about each journal among them."""
    options = options_for(**mapping)
    journals = {path: journals_in(path) for path in paths}
    stored = tuple(path for path in paths if not journals[path])
    found = list(_spans(stored, options, prices, content=content)) if stored else []
    given = any(value is not None for value in mapping.values())
    notes: list[Text] = []
    for path in (path for some in journals.values() for path in some):
        one = shown(path, options if given else None, prices)
        found += one.spans
        if one.spans:
            notes.append(Text(clean(one.about), style="dim"))
        if one.damage:
            screen.say(f"otel-phi: {one.path}: {one.damage}")
    return found, [*notes, Text("")] if notes else []


def _spans(paths: tuple[Path, ...], options: MappingOptions, prices: Prices | None, *, content: bool) -> Iterator[Span]:
    complaints = Complaints()
    stored = Stored(paths, final=True, on_bad_line=complaints)
    policy = policy_of(ContentOptions(capture=content), max(options.max_attribute_bytes, SHORTEST_LIMIT))
    yield from spans(stored.events(), options, ahead=ahead_of(stored.starts), policy=policy, prices=prices)
    complaints.conclude()


def _nothing(paths: tuple[Path, ...], session_prefix: str | None) -> NoReturn:
    what = f"no session whose id begins with {session_prefix!r}" if session_prefix else "no loop has begun"
    raise SourceError(f"{', '.join(map(str, paths))}: {what}")


def draw(found: list[Span], width: int, *, whole: bool = False) -> Iterator[Text]:
    """Yields the lines of some spans' sessions: trees with an empty line between two, or a table of very many."""
    sessions = outline(found)
    if len(sessions) > SHOWN_AS_TREES and not whole:
        yield from table([session.totals for session in sessions], None)
        yield Text("")
        yield Text(f"{len(sessions)} sessions: --session ID shows one of them as a tree, --all shows all", style="dim")
        return
    for number, session in enumerate(sessions):
        if number:
            yield Text("")
        yield from _session(session, width, whole=whole)


def _session(session: Session, width: int, *, whole: bool) -> Iterator[Text]:
    yield from headline(session.totals, session.agent)
    yield from lines(session.rows if whole else fold(session.rows), width)
