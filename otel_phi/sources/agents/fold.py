"""What every fold does alike: counts, times, the state and the record it begins with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec

from otel_phi.sources.agents.adapter import MAX_STATE_BYTES, Context, Settled
from otel_phi.sources.agents.builder import LoopBuilder
from otel_phi.sources.agents.claims import claim_key, owner_key
from otel_phi.sources.agents.facts import Progress
from otel_phi.sources.agents.reading import instant
from otel_phi.wire.events import AgentEvent

_SHRINKS = 8  # what is halved so often is gone
_encoder = msgspec.json.Encoder()


class FoldState(msgspec.Struct, kw_only=True):
    """A fold state is what outlives a fold; a format adds its own.

    Attributes:
        position: of the first record read and not yet told, -1 for none.
        progress: what has been told.
        seen_ns: the last time a record told, 0 for none yet.
        title: what the session is called, "" where unknown.
    """

    position: int = -1
    progress: Progress = msgspec.field(default_factory=Progress)
    seen_ns: int = 0
    title: str = ""


S = TypeVar("S", bound=FoldState)


class BaseFold(Generic[S]):
    """A base fold is a fold without a format.

    Args:
        context: the world around the file.
        state: of the fold before this one, as it was decoded; a new one for a file's beginning.
        format_name: the agent's name.

    Attributes:
        counts: see `Fold`: `copied_calls` and `copied_prompts` for what belongs to another loop, `bad_lines`, `no_time`, `late_results`,
            `skipped:TYPE` for records that say nothing of a loop.
    """

    def __init__(self, context: Context, state: S, format_name: str) -> None:
        self.counts: Counter[str] = Counter()
        self.context = context
        self.own = state
        self.own.position = -1
        self.position = -1
        self._format = format_name
        self._saved: bytes | None = None
        self.build = LoopBuilder(state.progress, self._unit_begins)

    def record(self, position: int, data: bytes) -> Sequence[AgentEvent]:
        """Takes a record, see `Fold`."""
        self.position = position
        if data and not data.isspace():
            self.take(data)
        return self.build.take()

    def settle(self, why: Settled) -> Sequence[AgentEvent]:
        """Takes that nothing more comes, see `Fold`."""
        self.build.settle(why)
        return self.build.take()

    @property
    def state(self) -> bytes:
        """Returns the state, see `Fold`."""
        if self.build.idle or self._saved is None:
            return self._encoded(-1)
        return self._saved

    def take(self, data: bytes) -> None:
        """Takes a record that is not empty; what a format knows."""
        raise NotImplementedError

    def _unit_begins(self) -> None:
        self._saved = self._encoded(self.position)

    def _encoded(self, position: int) -> bytes:
        self.own.position = position
        encoded = _encoder.encode(self.own)
        for _ in range(_SHRINKS):
            if len(encoded) <= MAX_STATE_BYTES:
                break
            self.shrink()
            encoded = _encoder.encode(self.own)
        self.own.position = -1
        return encoded

    def shrink(self) -> None:
        """Makes the state smaller: called where it is larger than a state may be."""
        self.own.title = ""

    def time(self, value: Any) -> int:
        """Returns a record's time; where it has none the last one seen, in a file without any the context's."""
        found = instant(value)
        if found:
            self.own.seen_ns = found
            return found
        self.counts["no_time"] += 1
        return self.own.seen_ns or self.context.fallback_ns

    def claim(self, kind: str, thing: str | int, loop_id: str) -> bool:
        """Says whether a call or a prompt is that loop's to tell, and nobody's else."""
        owner = owner_key(self.own.progress.session_id, loop_id, self.position)
        return self.context.claims.claim(claim_key(self._format, kind, thing), owner)

    def skip(self, kind: str) -> None:
        """Counts a record that says nothing of a loop."""
        self.counts[f"skipped:{kind[:64]}"] += 1
