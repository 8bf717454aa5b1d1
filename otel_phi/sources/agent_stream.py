"""What another agent prints while it works, read line by line as it comes: the live twin of its files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from otel_phi.sources.agents.adapter import Context
from otel_phi.sources.agents.claims import ClaimsInMemory
from otel_phi.sources.agents.registry import BY_NAME
from otel_phi.sources.agents.streams import STREAMS
from otel_phi.sources.lines import Block
from otel_phi.sources.reader import BadLine
from otel_phi.wire.events import AgentEvent


class AgentStream:
    """An agent stream reads the standard output of one agent.

    Args:
        agent: which, a key of `STREAMS`.
        wall_ns: says what time it is.
        on_bad_line: called with each line that is no record.
    """

    def __init__(self, agent: str, wall_ns: Callable[[], int], on_bad_line: Callable[[BadLine], None]) -> None:
        name, make = STREAMS[agent]
        context = Context(claims=ClaimsInMemory(), name="stdin", fallback_ns=wall_ns())
        self._fold, self._records = BY_NAME[name].fold(context), make()
        self._wall_ns, self._on_bad_line = wall_ns, on_bad_line
        self._position = 0

    @property
    def counts(self) -> Counter[str]:
        """What was read and skipped, by kind."""
        return self._fold.counts

    def read(self, blocks: Iterable[Block]) -> Iterator[AgentEvent]:
        """Yields the events of the lines as they complete; what has no end when they end gets none."""
        for block in blocks:
            offset = block.offset
            for number, line in enumerate(block.lines, block.number):
                yield from self._line(number, offset, line.removesuffix(b"\r"))
                offset += len(line) + 1
        yield from self._fold.settle("end")

    def _line(self, number: int, offset: int, line: bytes) -> Iterator[AgentEvent]:
        if not line.startswith(b"{"):
            if line.strip():
                self._fold.counts["bad_lines"] += 1
                self._on_bad_line(BadLine("stdin", number, offset, len(line), "not a JSON object"))
            return
        for record in self._records(line, self._wall_ns()):
            self._position += 1
            yield from self._fold.record(self._position, record)
