"""pi's sessions: files of version 1 to 3, and what `pi --mode json` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from otel_phi.sources.agents import pi_lines as lines
from otel_phi.sources.agents.adapter import Context, Group
from otel_phi.sources.agents.pi_fold import NAME, PiFold
from otel_phi.sources.agents.pi_lines import Entry
from otel_phi.sources.agents.reading import every, head_records, instant, text

_entries = msgspec.json.Decoder(Entry)


class Pi:
    """A pi is the format of pi."""

    name = NAME

    def roots(self, env: Mapping[str, str]) -> tuple[str, ...]:
        """Returns the folder of its sessions."""
        home = env.get("HOME") or env.get("USERPROFILE") or "~"
        return (f"{env.get('PI_AGENT_DIR') or f'{home}/.pi/agent'}/sessions",)

    def recognizes(self, head: bytes, path: str) -> bool:
        """Says whether a file begins with a session's header, or with what its stream prints."""
        del path
        return any(is_own(entry) for entry in head_entries(head))

    def group(self, path: str, head: bytes) -> Group:
        """Says where a file belongs: each is a session of its own."""
        stem = path.replace("\\", "/").rpartition("/")[2].removesuffix(".jsonl")
        entries = head_entries(head)
        header = next((entry for entry in entries if entry.type == "session"), Entry())
        first = next((text(entry.id) for entry in entries if entry.type != "session" and text(entry.id)), "")
        return Group(
            key=text(header.id) or stem,
            started_ns=instant(header.timestamp),
            forked_from=lines.session_of_path(text(header.parentSession) or text(header.branchedFrom)),
            first_id=first,
        )

    def children(self, line: bytes) -> Sequence[tuple[str, str]]:
        """Returns none: pi has no sub-agents of its own."""
        del line
        return ()

    def fold(self, context: Context, state: bytes = b"") -> PiFold:
        """Returns a fold."""
        return PiFold(context, state)


def head_entries(head: bytes) -> list[Entry]:
    """Returns the entries that a file begins with."""
    return every(_entries, head_records(head))


def is_own(entry: Entry) -> bool:
    """Says whether an entry is pi's: a session's header."""
    return entry.type == "session" and isinstance(entry.id, str) and isinstance(entry.timestamp, str)
