"""What outlives the fold of a Codex rollout."""

from __future__ import annotations

import msgspec

from otel_phi.sources.agents import codex_lines as lines
from otel_phi.sources.agents.codex_lines import Line, Payload
from otel_phi.sources.agents.fold import FoldState
from otel_phi.sources.agents.reading import ident, members, number, text
from otel_phi.wire.parts import Source


class CodexState(FoldState, kw_only=True):
    """A codex state is the state of a rollout.

    Attributes:
        thread: the file's thread, "" before its `session_meta`.
        source: as `AgentStart.source`.
        provider: `model_provider` of the thread.
        model: of the task, from its `turn_context`.
        effort: how much it is to think.
        agent_name: of a sub-agent, "" for none.
        is_child: whether the thread is a sub-agent's.
        origin: the thread it was forked from or spawned by, where its session is another.
        cut: ordinals below it are copied history.
        first_second: the file's first second while its history may be copied, else "".
        copying: whether lines of that second are known to be copies.
        foreign_task: whether the task under way is another file's.
        total: the last total of usages, by field.
        records: whether a usage record was seen.
        tasks: whether a task was seen.
        said: whether a `user_message` was seen.
        loops: the ids of the last loops, for going back.
        back_to: the loop that the thread was rolled back to, "" for none.
        forked: whether the next loop is a branch.
    """

    thread: str = ""
    source: Source | None = None
    provider: str = ""
    model: str = ""
    effort: str = ""
    agent_name: str = ""
    is_child: bool = False
    origin: str = ""
    cut: int = 0
    first_second: str = ""
    copying: bool = False
    foreign_task: bool = False
    total: dict[str, int] = msgspec.field(default_factory=dict)
    records: bool = False
    tasks: bool = False
    said: bool = False
    loops: list[str] = msgspec.field(default_factory=list)
    back_to: str = ""
    forked: bool = False

    def begin(self, line: Line, meta: Payload, name: str) -> None:
        """Takes a file's first `session_meta`.

        Args:
            line: its line.
            meta: its payload.
            name: of the file; stands for a thread without an id.
        """
        self.thread = ident(meta.id) or ident(line.id) or name
        self.progress.session_id = ident(meta.session_id) or self.thread
        self.provider, self.source = text(meta.model_provider), lines.source_of(meta, self.title)
        spawn = members(members(meta.source).get("subagent"))
        spawned = members(spawn.get("thread_spawn"))
        child = members(meta.source).get("subagent")
        parent = ident(spawned.get("parent_thread_id")) or ident(meta.parent_thread_id)
        self.is_child = bool(child or parent)
        self.agent_name = ident(spawned.get("agent_nickname")) or ident(spawned.get("agent_path")) or ident(child)
        forked_from = ident(meta.forked_from_id)
        self.forked = bool(forked_from) and not self.is_child
        origin = forked_from or parent
        self.origin = origin if origin != self.progress.session_id and not ident(meta.session_id) else ""
        self.cut = number(members(meta.history_base).get("end_ordinal_exclusive"))
        start = meta.subagent_history_start_ordinal
        self.cut = max(self.cut, int(start) if isinstance(start, str) and start.isdecimal() else number(start))
        if origin and line.ordinal is None:
            self.first_second = text(line.timestamp)[:19]
