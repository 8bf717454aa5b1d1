"""How an export is getting on: a bar on a terminal, otherwise a line when something is wrong. All on stderr."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from otel_phi.cli import screen
from otel_phi.clock import monotonic
from otel_phi.tree import clean

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from 3.11 on

    from otel_phi.delivery.sending.stats import Progress as State
    from otel_phi.sources.kinds import Kind
    from otel_phi.sources.looks import Looks
    from otel_phi.sources.stored import Stored

_T = TypeVar("_T")
_SHOWN_AFTER_S = 1.0
_EVERY = 256  # events between two looks at how far the reading is


class _Bar:
    """A bar on stderr for the reading of files, where that is a terminal; used as a context manager.

    Args:
        size_bytes: of what is read.
        title: stands before the bar.
        more: columns behind the usual ones.
        fields: of the task, such as `visible`.
    """

    def __init__(self, size_bytes: int, title: str, *more: ProgressColumn, **fields: Any) -> None:
        console = screen.err()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            *more,
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._shown = console.is_terminal
        self._task = self._bar.add_task(title, total=max(size_bytes, 1), **fields)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._bar.stop()


class ExportProgress(_Bar):
    """Shows an export under way.

    Args:
        stored: what is read.
        retries: whether what keeps spans from getting through is tried again; else whoever gives up says it.
    """

    def __init__(self, stored: Stored, *, retries: bool = True) -> None:
        state = TextColumn("{task.fields[state]}", markup=False, style="yellow")
        super().__init__(stored.size_bytes, "export", state, state="")
        self._stored = stored
        self._retries = retries
        self._said: str | None = None

    def of(self, events: Iterable[_T]) -> Iterator[_T]:
        """Passes events on, looking now and then at how far the reading is."""
        for number, event in enumerate(events):
            yield event
            if number % _EVERY == 0:
                self._bar.update(self._task, completed=self._stored.read_bytes)
        self._bar.update(self._task, completed=max(self._stored.size_bytes, 1), description="wait for the collector")

    def note(self, state: State) -> None:
        """Takes the state of the delivery; called by the sender's threads."""
        trouble = state.trouble
        if self._shown:
            again = f"{clean(trouble)}; next try in {state.next_try_s:.0f} s" if trouble else ""
            self._bar.update(self._task, state=again or f"{state.stats.acknowledged:,} spans")
        elif trouble is not None and trouble != self._said and self._retries:
            self._said = trouble
            screen.say(f"otel-phi: {trouble}; trying again")


class ReadProgress(_Bar):
    """Shows the reading of files, where it takes more than a moment and somebody looks.

    Args:
        stored: what is read.
        shown: whether to show it at all: not where results are printed meanwhile.
    """

    def __init__(self, stored: Stored, *, shown: bool = True) -> None:
        super().__init__(stored.size_bytes, "read", visible=False)
        self._stored, self._asked = stored, shown
        self._until = monotonic() + _SHOWN_AFTER_S

    def of(self, events: Iterable[_T]) -> Iterator[_T]:
        """Passes events on, looking now and then at how far the reading is."""
        if not self._asked:
            yield from events
            return
        with self:
            for number, event in enumerate(events):
                yield event
                if number % _EVERY == 0 and monotonic() > self._until:
                    self._bar.update(self._task, completed=self._stored.read_bytes, visible=True)


class PartsProgress(_Bar):
    """Shows the reading of files, where it takes more than a moment and somebody looks.

    Args:
        size_bytes: of all files.
    """

    def __init__(self, size_bytes: int) -> None:
        super().__init__(size_bytes, "read", visible=False)
        self._until = monotonic() + _SHOWN_AFTER_S
        self._read = 0

    def part(self, size_bytes: int) -> None:
        """Takes that so many more bytes were read."""
        self._read += size_bytes
        if monotonic() > self._until:
            self._bar.update(self._task, completed=self._read, visible=True)


class Looking:
    """Shows that files are looked at before any is read, where that takes more than a moment; a context manager."""

    @property
    def looks(self) -> Looks:
        """What to look at files with; counts them."""
        from otel_phi.sources.looks import Looks

        return Looks(self._kind)

    def __init__(self) -> None:
        console = screen.err()
        self._until = monotonic() + _SHOWN_AFTER_S
        self._files = 0
        self._live = Live(console=console, get_renderable=self._said, transient=True, redirect_stdout=False)
        self._shown = console.is_terminal

    def note(self) -> None:
        """Takes that one more file was looked at."""
        self._files += 1

    def _kind(self, path: Path) -> Kind:
        from otel_phi.sources.kinds import kind_of

        self.note()
        return kind_of(path)

    def _said(self) -> RenderableType:
        return Text(f"look at files: {self._files:,}" if monotonic() > self._until else "")

    def __enter__(self) -> Self:
        if self._shown:
            self._live.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        if self._shown:
            self._live.stop()
