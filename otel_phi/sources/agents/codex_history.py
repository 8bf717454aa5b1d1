"""Whose lines a Codex rollout holds: a fork begins with copies of another thread's."""

from __future__ import annotations

import msgspec

from otel_phi.sources.agents import codex_lines as lines
from otel_phi.sources.agents.adapter import Context
from otel_phi.sources.agents.codex_lines import NAME, Line, Payload
from otel_phi.sources.agents.codex_state import CodexState
from otel_phi.sources.agents.fold import BaseFold
from otel_phi.sources.agents.reading import ident, members, text
from otel_phi.wire.parts import Source

_states = msgspec.json.Decoder(CodexState)


class CodexHistory(BaseFold[CodexState]):
    """A codex history is the part of a rollout's fold that tells its own lines from copied ones."""

    def __init__(self, context: Context, state: bytes = b"") -> None:
        super().__init__(context, _states.decode(state) if state else CodexState(), NAME)
        self._held: list[tuple[int, bytes]] = []  # lines of the first second, of which it is not known whose they are

    @property
    def state(self) -> bytes:
        """Returns the state, see `Fold`."""
        return self._saved if self._held and self._saved is not None else super().state

    def meta(self, line: Line, meta: Payload) -> None:
        """Takes a `session_meta`: the file's own, again after a resume, or another thread's before its copied history."""
        own = self.own
        thread = ident(meta.id) or ident(line.id)
        if own.thread:
            if thread != own.thread and own.first_second == text(line.timestamp)[:19]:
                own.copying = True
                self.counts["copied_lines"] += len(self._held)
                self._held.clear()
            return
        own.begin(line, meta, self.context.name)

    def begin(self) -> None:
        """Takes that a file has no `session_meta`: its name stands for the thread."""
        if not self.own.thread:
            self.own.thread = self.own.progress.session_id = self.context.name
            self.own.source = Source(agent=NAME)

    def is_copy(self, line: Line, payload: Payload, data: bytes) -> bool:
        """Says whether a line is copied history, or held until that is known."""
        own = self.own
        ordinal = line.ordinal
        if isinstance(ordinal, int) and ordinal < own.cut:
            self._copied(payload)
            return True
        if not own.first_second:
            return False
        if text(line.timestamp)[:19] != own.first_second:
            own.first_second = ""
            self.release()
            return False
        if own.copying:
            self._copied(payload)
            return True
        if not self._held:
            self._unit_begins()
        self._held.append((self.position, data))
        return True

    def _copied(self, payload: Payload) -> None:
        self.counts["copied_lines"] += 1
        total = members(members(payload.info).get("total_token_usage"))
        if total:
            self.own.total = lines.difference(total, {})

    def release(self) -> None:
        """Takes the lines that were held: they are this thread's own."""
        held, self._held, here = self._held, [], self.position
        self.own.first_second = ""
        for position, data in held:
            self.position = position
            self.take(data)
        self.position = here
