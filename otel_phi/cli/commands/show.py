"""`otel-phi show`: the trace as a tree in the terminal. Sends nothing, and loads neither grpc nor the OpenTelemetry SDK."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.text import Text

from otel_phi.cli import screen
from otel_phi.cli.agent_flags import agent_flags, with_places
from otel_phi.cli.flags import mapping_flags, price_flags
from otel_phi.cli.outbox.showing import journals_in, shown
from otel_phi.cli.outputs import refuse_own_input
from otel_phi.cli.page.door import page_flag, save_page
from otel_phi.cli.report import reading
from otel_phi.cli.report.complaints import Complaints
from otel_phi.cli.report.objects import span_object
from otel_phi.cli.report.redaction import check_lines
from otel_phi.cli.report.table import table
from otel_phi.cli.settings import prices_said
from otel_phi.cli.tree.drawing import lines
from otel_phi.cli.tree.folding import fold
from otel_phi.cli.tree.gathered import Gathered
from otel_phi.cli.tree.headline import headline
from otel_phi.cli.tree.outline import Session, outline
from otel_phi.errors import SourceError
from otel_phi.mapping.options import MappingOptions, options_for
from otel_phi.mapping.span import Span
from otel_phi.pipeline import spans
from otel_phi.policy.door import policy_of, sees_content
from otel_phi.policy.options import SHORTEST_LIMIT, ContentOptions
from otel_phi.prices import Prices
from otel_phi.recorder.references import ahead_of
from otel_phi.sources.stored import Stored
from otel_phi.tree import clean, session_of

# Nobody reads a hundred trees; the table says which one to look at.
SHOWN_AS_TREES = 12


_EXAMPLES = """\b
Examples:
  otel-phi show run.jsonl
  otel-phi show logs/ --session 76676b69 --all
  otel-phi show --claude --since 1d
  otel-phi show logs/ --html sessions.html
  otel-phi show run.jsonl --json | jq '.[] | select(.status == "ERROR") | .name'
"""


@click.command(short_help="Show sessions as trees in the terminal; sends nothing.", epilog=_EXAMPLES)
@click.argument("paths", nargs=-1, metavar="PATH...", type=click.Path(path_type=Path))
@agent_flags
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
@page_flag
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
    page: Path | None,
    **mapping: Any,
) -> None:
    """Show what agents did as trees: offsets, durations, tokens, tools, errors, links.

    PATH is phi-core's event log, a file of AgentEvent lines, another agent's session, opencode's database, or a folder
    of them; gzipped or not. Long sessions are folded; what failed is always shown. A loop that has not ended is shown as aborted.

    PATH can be the hook's own journal too: the outbox, a process's folder in it, or one file of that, also while the process
    lives. It is shown as it will be sent: with the options in its head, unless flags say others.

    What model calls cost is said where the source says it, or where prices are asked for and know the model.

    With --html all of it is one page for a browser, in a file that needs no other: to look at, to hand on. It says no more than
    `export` sends.

    With --json each span is an object: name, trace_id, span_id, parent_span_id (hex, or null), kind, start_ns and end_ns
    (integers, nanoseconds since 1970), status, status_message, attributes, events, links.

    With --content prompts, answers, arguments and results stand below model calls and tools. --redact-check reads the same texts,
    and says which secrets are in them: kind, place and number, never the text.
    """
    since_ns, paths = mapping.pop("since_ns"), with_places(paths, mapping)
    refuse_own_input(picture, paths, "--svg")
    refuse_own_input(page, paths, "--html")
    if redact_check:
        screen.print_lines(screen.out(), check_lines(paths))
        return
    notes: list[Text] = []
    made = _all_spans(paths, mapping, since_ns, notes, content=content, source_info=page is None or content)
    chosen = (span for span in made if session_of(span).startswith(session_prefix or ""))
    first = next(chosen, None)
    if first is None:
        _nothing(paths, session_prefix)
    found = chain([first], chosen)
    if page is not None:
        save_page(found, page, paths, (note.plain for note in notes))
    elif as_json:
        screen.print_json(span_object(span) for span in found)
    elif picture is not None:
        title = " ".join(["otel-phi show", *(path.name for path in paths)])
        gathered = _gathered(found, whole=whole)
        drawn = chain(_set_off(notes), _drawn(gathered, screen.svg_width(), whole=whole))
        picture.write_text(screen.svg(drawn, title), encoding="utf-8")
    else:
        console = screen.out()
        gathered = _gathered(found, whole=whole)
        screen.print_lines(console, chain(_set_off(notes), _drawn(gathered, console.width, whole=whole)))


def _all_spans(
    paths: tuple[Path, ...],
    mapping: dict[str, Any],
    since_ns: int,
    notes: list[Text],
    *,
    content: bool,
    source_info: bool,
) -> Iterator[Span]:
    """Yields the spans of all paths, as they are read; adds a line about each journal among them to `notes`."""
    prices = prices_said(mapping)
    options = options_for(**mapping, source_info=source_info)
    journals = {path: journals_in(path) for path in paths}
    stored = tuple(path for path in paths if not journals[path])
    if stored:
        yield from _spans(stored, options, since_ns, prices, content=content)
    given = any(value is not None for value in mapping.values())
    for path in (path for some in journals.values() for path in some):
        one = shown(path, options if given else None, prices)
        yield from one.spans
        if one.spans:
            notes.append(Text(clean(one.about), style="dim"))
        if one.damage:
            screen.say(f"otel-phi: {one.path}: {one.damage}")


def _set_off(notes: list[Text]) -> list[Text]:
    return [*notes, Text("")] if notes else []


def _spans(
    paths: tuple[Path, ...], options: MappingOptions, since_ns: int, prices: Prices | None, *, content: bool
) -> Iterator[Span]:
    complaints = Complaints()
    policy = policy_of(ContentOptions(capture=content), max(options.max_attribute_bytes, SHORTEST_LIMIT))
    stored = Stored(paths, final=True, on_bad_line=complaints, since_ns=since_ns, content=sees_content(policy))
    yield from spans(stored.events(), options, ahead=ahead_of(stored.starts), policy=policy, prices=prices)
    complaints.conclude()
    for line in reading.after(stored, final=True):
        screen.say(f"otel-phi: {line}")


def _nothing(paths: tuple[Path, ...], session_prefix: str | None) -> NoReturn:
    what = f"no session whose id begins with {session_prefix!r}" if session_prefix else "no loop has begun"
    raise SourceError(f"{', '.join(map(str, paths))}: {what}")


def draw(found: Iterable[Span], width: int, *, whole: bool = False) -> Iterator[Text]:
    """Yields the lines of some spans' sessions: trees with an empty line between two, or a table of very many."""
    yield from _drawn(_gathered(found, whole=whole), width, whole=whole)


def _gathered(found: Iterable[Span], *, whole: bool) -> Gathered:
    return Gathered(found, None if whole else SHOWN_AS_TREES)


def _drawn(gathered: Gathered, width: int, *, whole: bool) -> Iterator[Text]:
    if not gathered.are_kept:
        totals = gathered.totals()
        yield from table(totals, None)
        yield Text("")
        yield Text(f"{len(totals)} sessions: --session ID shows one of them as a tree, --all shows all", style="dim")
        return
    for number, session in enumerate(outline(gathered.spans)):
        if number:
            yield Text("")
        yield from _session(session, width, whole=whole)


def _session(session: Session, width: int, *, whole: bool) -> Iterator[Text]:
    yield from headline(session.totals, session.agent, session.source)
    yield from lines(session.rows if whole else fold(session.rows), width)
