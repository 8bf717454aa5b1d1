"""Gemini CLI's sessions: `tmp/<project>/chats/session-*.jsonl`, its sub-agents' in a folder of the session's name, and older `.json`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from otel_phi.sources.agents import gemini_lines as lines
from otel_phi.sources.agents.adapter import Context, Group
from otel_phi.sources.agents.gemini_fold import NAME, GeminiFold
from otel_phi.sources.agents.gemini_lines import Record
from otel_phi.sources.agents.reading import decoded, every, head_records, ident, instant, text

_DOCUMENT = re.compile(
    rb'\s*\{\s*"(?:sessionId|lastUpdated|messages|projectHash|startTime|kind|summary|directories)"\s*:'
)
_KEYS = (b'"sessionId"', b'"projectHash"')
_ANSWER = re.compile(rb'"type"\s*:\s*"gemini"')
_TYPES = ("user", "gemini", "info", "error", "warning")


class Gemini:
    """A gemini is the format of Gemini CLI."""

    name = NAME

    def roots(self, env: Mapping[str, str]) -> tuple[str, ...]:
        """Returns the folder of its projects' sessions."""
        home = env.get("GEMINI_CLI_HOME") or env.get("HOME") or env.get("USERPROFILE") or "~"
        return (f"{home}/.gemini/tmp",)

    def recognizes(self, head: bytes, path: str) -> bool:
        """Says whether a file begins with a session's header or messages, or as a whole session."""
        del path
        return _is_document(head) or any(_is_own(record) for record in _head_lines(head))

    def group(self, path: str, head: bytes) -> Group:
        """Says where a file belongs: a sub-agent's lies in the folder of its parent's session."""
        *_, folder, name = ("", *path.replace("\\", "/").split("/"))
        stem = name.partition(".")[0]
        document = decoded(lines.records, head) if _is_document(head) else None
        found = [document] if document is not None else _head_lines(head)
        header = next((one for one in found if isinstance(one.sessionId, str)), Record())
        own = ident(header.sessionId) or stem
        child = header.kind == "subagent"
        return Group(
            key=folder if child and folder else own,
            main=not child,
            agent_id=own if child else "",
            started_ns=instant(header.startTime),
            document=_is_document(head),
            names=(own,) if child else (),
        )

    def children(self, line: bytes) -> Sequence[tuple[str, str]]:
        """Returns the sub-agents that a message's tools ran, each with its call."""
        if b'"agentId"' not in line:
            return ()
        record = decoded(lines.records, line) or Record()
        calls = enumerate(lines.calls_of(record))
        own = ident(record.id)
        return [
            (ident(call.agentId), lines.call_id_of(call, own, index)) for index, call in calls if ident(call.agentId)
        ]

    def fold(self, context: Context, state: bytes = b"") -> GeminiFold:
        """Returns a fold."""
        return GeminiFold(context, state)


def _is_document(head: bytes) -> bool:
    """Says whether a file is a whole session: not a line, and lines after it."""
    if not _DOCUMENT.match(head) or b'"messages"' not in head:
        return False
    first, _, rest = head.partition(b"\n")
    if rest.strip() and decoded(lines.records, first) is not None:
        return False  # lines
    return all(key in head for key in _KEYS) or _ANSWER.search(head) is not None


def _head_lines(head: bytes) -> list[Record]:
    return every(lines.records, head_records(head))


def _is_own(record: Record) -> bool:
    """Says whether a line is a session's header or message."""
    if lines.is_header(record):
        return True
    known = record.type in _TYPES and isinstance(record.id, str) and isinstance(record.timestamp, str)
    return known and (record.type == "gemini" or text(record.model) != "")
