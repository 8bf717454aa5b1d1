"""Codex rollouts: `sessions/YYYY/MM/DD/rollout-*.jsonl`, a file a thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET

from otel_phi.sources.agents import codex_lines as lines
from otel_phi.sources.agents.adapter import Context, Group
from otel_phi.sources.agents.codex_fold import CodexFold
from otel_phi.sources.agents.codex_lines import NAME, Line, Payload
from otel_phi.sources.agents.reading import decoded, every, head_records, instant, members, text

_lines = msgspec.json.Decoder(Line)
_payloads = msgspec.json.Decoder(Payload)


class Codex:
    """A codex is the format of Codex."""

    name = NAME

    def roots(self, env: Mapping[str, str]) -> tuple[str, ...]:
        """Returns the folders of its rollouts."""
        home = env.get("HOME") or env.get("USERPROFILE") or "~"
        folder = env.get("CODEX_HOME") or f"{home}/.codex"
        return (f"{folder}/sessions", f"{folder}/archived_sessions")

    def recognizes(self, head: bytes, path: str) -> bool:
        """Says whether a file begins with lines of a rollout."""
        del path
        return any(_is_own(line) for line in _head_lines(head))

    def group(self, path: str, head: bytes) -> Group:
        """Says where a file belongs: threads of one session name its root."""
        stem = path.replace("\\", "/").rpartition("/")[2].removesuffix(".jsonl")
        line = next((line for line in _head_lines(head) if line.type == "session_meta"), Line())
        meta = decoded(_payloads, line.payload) or Payload()
        thread = text(meta.id) or text(line.id) or stem
        session = text(meta.session_id) or thread
        child = meta.parent_thread_id or members(meta.source).get("subagent")
        return Group(
            key=session,
            main=not child,
            agent_id=thread if child else "",
            started_ns=instant(meta.timestamp) or instant(line.timestamp),
            forked_from=text(meta.forked_from_id) or (text(meta.parent_thread_id) if session == thread else ""),
        )

    def children(self, line: bytes) -> Sequence[tuple[str, str]]:
        """Returns the thread that a line names, and the tool call that started it."""
        found = lines.child_of(line)
        return () if found is None else [found]

    def fold(self, context: Context, state: bytes = b"") -> CodexFold:
        """Returns a fold."""
        return CodexFold(context, state)


def _head_lines(head: bytes) -> list[Line]:
    return every(_lines, head_records(head))


def _is_own(line: Line) -> bool:
    if bytes(memoryview(line.payload)[:1]) == b"{":
        return line.type in ("session_meta", "response_item", "event_msg", "turn_context", "token_usage_record")
    return (
        isinstance(line.id, str)
        and isinstance(line.timestamp, str)
        and line.instructions is not UNSET
        and line.type is None
    )
