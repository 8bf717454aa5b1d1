"""A session shown while its file grows: the tree drawn anew on a terminal, a line for each turn elsewhere.

Rule 1: a file is read anew when it has changed, and no more often than four times what that takes: whoever looks on costs the agent little.
Rule 2: what is open is shown as at work, not as aborted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
from rich.console import Group
from rich.live import Live
from rich.text import Text

from otel_phi.cli import screen, words
from otel_phi.clock import monotonic
from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span, StatusCode
from otel_phi.pipeline import Pipeline
from otel_phi.prices import Prices
from otel_phi.recorder.references import ahead_of
from otel_phi.sources.stored import NothingHere, Stored
from otel_phi.tree import clean, session_of

_GLANCE_S = 0.5
_PACE = 4  # pauses are so many times longer than what they are between
_ENDS = frozenset({s.ERROR_TYPE, s.LOOP_STATUS, s.LOOP_LIMIT})
How = tuple[MappingOptions, Prices | None]
Draw = Callable[[Sequence[Span], int], Iterable[Text]]


def follow(paths: Sequence[Path], how: How, chosen: Callable[[str], bool], draw: Draw) -> None:
    """Shows files as they grow, until it is interrupted; what stands there then stays.

    Args:
        paths: the files.
        how: events become spans, and what calls cost, if anybody knows.
        chosen: tells of a session id whether the session is meant.
        draw: draws spans in so many columns.

    Raises:
        NothingHere: nothing can be read at the beginning.
        KeyboardInterrupt: it is interrupted.
    """
    console = screen.out()
    if not console.is_terminal:
        _as_lines(_states(paths, how, chosen))
        return
    shown: list[Text] = []
    try:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            for spans in _states(paths, how, chosen):
                shown = list(draw(spans, console.width))
                live.update(Group(*shown[-max(console.height - 1, 1) :]), refresh=True)
    finally:
        screen.print_lines(console, shown)


def _as_lines(states: Iterable[list[Span]]) -> None:
    console, said = screen.out(), set()
    for spans in states:
        for span in spans:
            place = span.trace_id, span.span_id
            if span.get(s.OPERATION) == "agent_step" and place not in said and not is_at_work(span):
                said.add(place)
                screen.print_lines(console, [_turn_line(span, spans)])
        console.file.flush()


def _turn_line(turn: Span, spans: Iterable[Span]) -> Text:
    call = next(
        (span for span in spans if span.parent_span_id == turn.span_id and span.get(s.OPERATION) == "chat"), turn
    )
    tools = [str(dict(event.attributes).get(s.TOOL_NAME)) for event in turn.events if event.name == s.EVENT_TOOL]
    given, made = call.get(s.USAGE_INPUT), call.get(s.USAGE_OUTPUT)
    tokens = words.tokens(given if isinstance(given, int) else 0, made if isinstance(made, int) else 0)
    said = [
        words.short_names([session_of(turn)])[session_of(turn)],
        f"turn {turn.get(s.TURN_INDEX)}",
        words.duration(turn.end_ns - turn.start_ns),
        tokens,
        ", ".join(map(clean, tools)),
        clean(turn.get(s.ERROR_TYPE) or ""),
    ]
    return Text("  ".join(filter(None, said)), style="red" if turn.get(s.ERROR_TYPE) else "")


def _states(paths: Sequence[Path], how: How, chosen: Callable[[str], bool]) -> Iterator[list[Span]]:
    """Yields all spans, whenever the files have changed."""
    before: object = None
    while True:
        now, began = [_look(path) for path in paths], monotonic()
        if now != before:
            try:
                yield [span for span in _spans(paths, how) if chosen(session_of(span))]
            except NothingHere:
                if before is None:
                    raise  # else it is away for a moment, or begins anew
            before = now
        time.sleep(max(_GLANCE_S, _PACE * (monotonic() - began)))


def _look(path: Path) -> object:
    """Returns what a file is like, of a folder what its files are like; None for what is away."""
    try:
        found = path.stat()
        inner = sorted(path.rglob("*")) if path.is_dir() else []
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino, [_look(one) for one in inner if not one.is_dir()]


def _spans(paths: Sequence[Path], how: How) -> Iterator[Span]:
    stored = Stored(paths, final=True, content=False)
    options, prices = how
    pipeline = Pipeline(options, ahead_of(stored.starts), price=prices)
    for event in stored.events():
        yield from pipeline.feed(event)
    yield from map(_at_work, pipeline.finish())


def _at_work(span: Span) -> Span:
    kept = tuple(pair for pair in span.attributes if pair[0] not in _ENDS)
    return msgspec.structs.replace(span, status=StatusCode.UNSET, status_message="", attributes=(*kept, _AT_WORK))


_AT_WORK = ("otel_phi.at_work", True)


def is_at_work(span: Span) -> bool:
    """Tells whether a span is of something that has not ended."""
    return _AT_WORK in span.attributes
