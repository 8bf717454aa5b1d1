"""What the cursors remember: files, loops, and loops whose file vanished."""

from __future__ import annotations

import msgspec

from otel_phi.recorder.identities import LoopIdentity


class FileCursor(msgspec.Struct):
    """A file cursor says how far one file was read.

    Attributes:
        id: number of this file here; a file whose content was replaced gets a new one.
        kind: `events` or `session`.
        identity: device and inode, as the operating system names the file whatever its path.
        head: hash of its first bytes: an inode is used again.
        head_bytes: how many.
        path: where it was last.
        offset: where reading begins again after a restart, bytes.
        line: the number of the line there, from 1.
        read_bytes: how far it was read: before that, spans may have been sent.
        size: length when it was last looked at.
        mtime_ns: time of its last change then.
        follows: id of the file that was at this path before, 0 for none: a loop may go on from there.
    """

    id: int
    kind: str
    identity: str
    head: bytes
    head_bytes: int
    path: str
    offset: int = 0
    line: int = 1
    read_bytes: int = 0
    size: int = 0
    mtime_ns: int = 0
    follows: int = 0


class LoopRow(msgspec.Struct, frozen=True):
    """A loop row is a loop that was seen.

    Attributes:
        session_id: its session.
        loop_id: as phi-core names it.
        started_ns: its start.
        caller: W3C trace context of its caller, None for none.
        file: id of the file it is read from.
        done: whether it left whole.
        gone: whether that file is no more.
    """

    session_id: str
    loop_id: str
    started_ns: int
    caller: str | None
    file: int
    done: bool
    gone: bool


class Compacted(msgspec.Struct, frozen=True):
    """Says that a context was compacted.

    Attributes:
        context: of a loop or an agent, as `recorder.references.contexts_of` has them.
        file: id of the file that says so.
        offset: where in it.
        at_ns: when; the loop's start where the event has no time.
    """

    context: LoopIdentity
    file: int
    offset: int
    at_ns: int


class LostLoop(msgspec.Struct, frozen=True):
    """A lost loop was open, some of it sent, when its file vanished.

    Attributes:
        session: key of its session.
        loop_id: as phi-core names it.
        started_ns: its start.
        opened: what its start said, as `watch` wrote it.
        latest_ns: end of its latest turn that was sent.
    """

    session: str
    loop_id: str
    started_ns: int
    opened: bytes
    latest_ns: int
