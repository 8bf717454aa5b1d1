"""Claude Code's transcripts: `projects/*/<session>.jsonl` and its sub-agents' files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from otel_phi.sources.agents.adapter import Context, Group
from otel_phi.sources.agents.claude_fold import NAME, ClaudeFold
from otel_phi.sources.agents.claude_lines import Line
from otel_phi.sources.agents.reading import anything, every, head_records, members, text
from otel_phi.wire.uuids import is_uuid

_OTHERS = ("system", "progress", "attachment", "queue-operation")
_TELLING = ("file-history-snapshot", "queue-operation")
_lines = msgspec.json.Decoder(Line)


class ClaudeCode:
    """A claude code is the format of Claude Code."""

    name = NAME

    def roots(self, env: Mapping[str, str]) -> tuple[str, ...]:
        """Returns the folders of its projects."""
        home = env.get("HOME") or env.get("USERPROFILE") or "~"
        given = [folder.strip() for folder in env.get("CLAUDE_CONFIG_DIR", "").split(",") if folder.strip()]
        return tuple(f"{folder}/projects" for folder in given or (f"{home}/.claude", f"{home}/.config/claude"))

    def recognizes(self, head: bytes, path: str) -> bool:
        """Says whether a file begins with lines of a transcript."""
        del path
        return any(_is_own(line) for line in _head_lines(head))

    def group(self, path: str, head: bytes) -> Group:
        """Says where a file belongs: sub-agents' files name their parent's session."""
        stem = path.replace("\\", "/").rpartition("/")[2].removesuffix(".jsonl")
        lines = _head_lines(head)
        session_id = next((text(line.sessionId) for line in lines if text(line.sessionId)), stem)
        first = next((line for line in lines if line.type in ("user", "assistant")), Line())
        agent_id = text(first.agentId) if first.isSidechain is True else ""
        first_id = next(
            (text(line.uuid) for line in lines if line.type in ("user", "assistant") and text(line.uuid)), ""
        )
        origin = text(members(first.forkedFrom).get("sessionId"))
        return Group(key=session_id, main=not agent_id, agent_id=agent_id, forked_from=origin, first_id=first_id)

    def children(self, line: bytes) -> Sequence[tuple[str, str]]:
        """Returns the sub-agent of a line and the tool call that started it."""
        if b'"agentId"' not in line:
            return ()
        found = members(anything(line))
        data = members(found.get("data"))
        if data.get("type") == "agent_progress":
            return _pair(data.get("agentId"), found.get("parentToolUseID"))
        agent_id = members(found.get("toolUseResult")).get("agentId")
        content = members(found.get("message")).get("content")
        results = [members(block) for block in content] if isinstance(content, list) else []
        calls = [block.get("tool_use_id") for block in results if block.get("type") == "tool_result"]
        return _pair(agent_id, calls[0] if len(calls) == 1 else None)

    def fold(self, context: Context, state: bytes = b"") -> ClaudeFold:
        """Returns a fold."""
        return ClaudeFold(context, state)


def _pair(agent_id: object, call_id: object) -> Sequence[tuple[str, str]]:
    return [(agent_id, call_id)] if isinstance(agent_id, str) and isinstance(call_id, str) and agent_id else ()


def _head_lines(head: bytes) -> list[Line]:
    return every(_lines, head_records(head))


def _is_own(line: Line) -> bool:
    """Says whether a line is of a transcript: a message without the marks of other formats, or a line only this one has."""
    if line.type in ("user", "assistant"):
        return bytes(memoryview(line.message)[:1]) == b"{"
    return line.type in _OTHERS and (is_uuid(text(line.sessionId)) or line.type in _TELLING)
