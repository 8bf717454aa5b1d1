"""opencode's sessions: its database, documents of `opencode export`, and the files of versions before 1.2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from otel_phi.sources.agents import opencode_lines as lines
from otel_phi.sources.agents.adapter import Context, Group
from otel_phi.sources.agents.opencode_fold import OpencodeFold
from otel_phi.sources.agents.opencode_lines import NAME, Info
from otel_phi.sources.agents.reading import head_records, ident

_BEGINS = (b'{"info":', b'{"parts":')


class Opencode:
    """An opencode is the format of opencode, as records, see `opencode_lines`."""

    name = NAME

    def roots(self, env: Mapping[str, str]) -> tuple[str, ...]:
        """Returns its databases, one a release channel or the one that is named, and the folder of older sessions' files."""
        home = env.get("HOME") or env.get("USERPROFILE") or "~"
        folder = f"{env.get('XDG_DATA_HOME') or f'{home}/.local/share'}/opencode"
        named = env.get("OPENCODE_DB", "")
        database = named if named.startswith("/") else f"{folder}/{named or 'opencode*.db'}"
        return (database, f"{folder}/storage/session")

    def recognizes(self, head: bytes, path: str) -> bool:
        """Says whether a file begins with a session's or a message's record."""
        del path
        first = head_records(head)[0].lstrip()
        if not first.startswith(_BEGINS):
            return False
        found = lines.record_of(first)
        if found is None:  # a message longer than what is looked at
            return b'"sessionID":' in first and b'"messageID":' in first
        return lines.is_session(found[0]) or lines.is_message(found[0])

    def group(self, path: str, head: bytes) -> Group:
        """Says where a session belongs: a sub-agent's names the one that ran it."""
        stem = path.replace("\\", "/").rpartition("/")[2].rpartition(".")[0]
        found = [record[0] for raw in head_records(head) if (record := lines.record_of(raw)) is not None]
        info = next((one for one in found if lines.is_session(one)), Info())
        first = next((one for one in found if lines.is_message(one)), Info())
        own = ident(info.id) or ident(first.sessionID) or stem
        parent = ident(info.parentID)
        begins = lines.call_key(first) if lines.created_ns(first) else ""
        is_fork = 0 < lines.created_ns(first) < lines.created_ns(info)
        return Group(
            key=parent or own,
            main=not parent,
            agent_id=own if parent else "",
            started_ns=lines.created_ns(info) or lines.created_ns(first),
            first_id=begins if is_fork else "",
            known_as=begins,
        )

    def children(self, line: bytes) -> Sequence[tuple[str, str]]:
        """Returns the sub-agents that a message names, each with the tool call that ran it."""
        return lines.children_of(line)

    def fold(self, context: Context, state: bytes = b"") -> OpencodeFold:
        """Returns a fold."""
        return OpencodeFold(context, state)
