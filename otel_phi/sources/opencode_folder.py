"""The files of opencode before 1.2 as records: a file of JSON for each session, message and part.

    storage/session/{project}/{session}.json        storage/session/info/{session}.json                     before 0.6
    storage/message/{session}/{message}.json        storage/session/message/{session}/{message}.json
    storage/part/{message}/{part}.json              storage/session/part/{session}/{message}/{part}.json

Rule: a session is read by its own file; files of messages and parts are found from there, and are no sessions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from otel_phi.sources.agents import opencode_lines as lines
from otel_phi.sources.agents.opencode_lines import Info, header
from otel_phi.sources.agents.reading import decoded, ident
from otel_phi.sources.opencode_rows import message_record

FileKind = Literal["session", "inner"]
# Of such a file so much is looked at: a session's and a message's keys come before what may be long.
_MESSAGE_KEYS, _PART_KEYS = (b'"role"', b'"sessionID"'), (b'"messageID"', b'"sessionID"', b'"type"')
_SESSION_KEYS = (b'"id"', b'"title"', b'"version"', b'"time"')
_PLAIN = re.compile(r"[\w-]{1,128}")
_infos = msgspec.json.Decoder(Info)


def file_kind(path: Path, head: bytes) -> FileKind | None:
    """Says whether a file is a session's, or `inner`, one of its messages' or parts'; None for any other.

    Args:
        path: where it is: files of messages and parts are told from a document by the folders that they lie in.
        head: its first bytes.
    """
    start = head.lstrip()
    if not start.startswith(b"{") or path.suffix != ".json":
        return None
    above = {parent.name for parent in list(path.parents)[:3]}
    if ("message" in above and all(key in head for key in _MESSAGE_KEYS)) or (
        "part" in above and all(key in head for key in _PART_KEYS)
    ):
        return "inner"
    return "session" if "session" in above and _is_session(start) else None


def _is_session(head: bytes) -> bool:
    info = decoded(_infos, head)
    if info is None:  # longer than what is looked at: it holds a summary of what was changed
        return all(key in head for key in _SESSION_KEYS) and b'"sessionID"' not in head
    return lines.is_session(info) and None not in (info.title, info.version)


class Folder:
    """A folder is one session's files.

    Args:
        path: the session's own.

    Attributes:
        info: what that says.

    Raises:
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        data = path.read_bytes()
        self.info = decoded(_infos, data) or Info()
        self._header = header(data)
        self._id = ident(self.info.id) or path.stem

    def look(self) -> tuple[int, int]:
        """Returns the length of its files and when the last of them was written; of the parts, those of the last message count."""
        messages = sorted(self._messages())
        files = [self._path, *messages, *(self._parts(messages[-1].stem) if messages else ())]
        facts = [file.stat() for file in files if file.exists()]
        return sum(fact.st_size for fact in facts), max((fact.st_mtime_ns for fact in facts), default=0)

    def records(self) -> Iterator[tuple[int, bytes]]:
        """Yields its records with their positions, which grow with the messages' times.

        Raises:
            OSError: a file cannot be read; one that is gone by then counts as none.
        """
        yield 0, self._header
        position = 0
        for created, message in sorted((_created_ms(file), file) for file in self._messages()):
            parts = (_content(part) for part in sorted(self._parts(message.stem)))
            position = max(position + 1, created)
            yield position, message_record(self._id.encode(), message.stem.encode(), _content(message), parts)

    def _messages(self) -> list[Path]:
        return _files(self._up(2) / "message" / self._id, self._up(1) / "message" / self._id)

    def _parts(self, message_id: str) -> list[Path]:
        nested = Path(self._id) / message_id
        return _files(self._up(2) / "part" / message_id, self._up(2) / "part" / nested, self._up(1) / "part" / nested)

    def _up(self, folders: int) -> Path:
        return self._path.parents[min(folders, len(self._path.parents) - 1)]


def _files(*folders: Path) -> list[Path]:
    """Returns the files of the first folder that has any; an id that is a way to another place has none."""
    if not all(_PLAIN.fullmatch(folder.name) for folder in folders):
        return []
    return next((found for folder in folders if (found := list(folder.glob("*.json")))), [])


def _created_ms(path: Path) -> int:
    info = decoded(_infos, _content(path)) or Info()
    return lines.created_ns(info) // 1_000_000


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""  # taken back while it was read
