"""The view of sessions at work: rows at the foot of a terminal, finished sessions scroll up as a line each; plain lines elsewhere.

Rule 1: it hears spans and nothing else, from one thread: `add` is all that a door has to call. A row is made there; whoever draws takes the
        rows as they stand.
Rule 2: what is said meanwhile stands above the rows: standard error passes through the view while it is shown.
"""

from __future__ import annotations

from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text
from typing_extensions import Self

from otel_phi.cli import screen, words
from otel_phi.cli.live.work import AtWork
from otel_phi.mapping.span import Span
from otel_phi.tree import session_of

_A_SECOND = 4  # looks; agents' turns take seconds
_LEAST_ROWS = 3


class LiveView:
    """A live view shows sessions at work; a context manager.

    Args:
        trace_url: template of a link to a trace, None to show ids.
        plain: whether to print a line for each finished session where nobody sees rows that change.
        console: where to show it; None for standard error.
    """

    def __init__(self, trace_url: str | None, *, plain: bool, console: Console | None = None) -> None:
        self._console = console or screen.err()
        self._trace_url = trace_url
        self._at_work = AtWork()
        self._finished = 0
        self._lines: dict[str, Text] = {}  # the rows, the one that changed last at the end
        self._shows = self._console.is_terminal and not self._console.is_dumb_terminal
        self._plain = plain
        self._live: Live | None = None

    def add(self, span: Span) -> None:
        """Takes a span that leaves."""
        if not self._shows and not self._plain:
            return
        work, width = self._at_work.add(span), screen.room(self._console)
        session = session_of(span)
        self._lines.pop(session, None)
        if work is not None:
            self._finished += 1
            screen.print_lines(self._console, [work.line(width, self._trace_url, finished=True)])
        elif self._shows:
            self._lines[session] = self._at_work.sessions[session].line(width, self._trace_url, finished=False)
            if len(self._lines) > len(self._at_work.sessions):  # one was forgotten
                del self._lines[next(iter(self._lines))]

    def _rows(self) -> RenderableType:
        lines = tuple(self._lines.values())
        shown = lines[-max(self._console.height - 2, _LEAST_ROWS) :]
        hidden = len(lines) - len(shown) + self._at_work.forgotten
        said = [f"{words.many(len(lines), 'session')} at work", f"{self._finished:,} finished"]
        said += [f"{hidden:,} more"] if hidden else []
        return Group(*shown, Text(" · ".join(said), style="dim"))

    def __enter__(self) -> Self:
        if self._shows:
            self._live = Live(
                console=self._console,
                get_renderable=self._rows,
                refresh_per_second=_A_SECOND,
                transient=True,
                redirect_stdout=False,
            )
            self._live.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()
