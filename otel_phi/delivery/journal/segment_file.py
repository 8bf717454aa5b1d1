r"""Segment files: how one is laid out, made and looked at.

    0         512                      head_end
    ┌──────────┬────────────────────────┬───────────────────────────────┬ ─ ─
    │ preamble │ Head Carried Snapshot  │ \n{crc} {length} {json} ...   │ appended by any thread, O_APPEND
    └──────────┴──────── blanks ────────┴───────────────────────────────┴ ─ ─
      marks, in place   in place           a Carried or Snapshot too large for its region stands here, anywhere

Rule 1: the head region's bytes are real before the segment is needed: a roll on a full disk needs no space.
Rule 2: its lines are written in place by the sender alone, through a descriptor that is not O_APPEND.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from otel_phi.delivery.journal.append import Descriptor
from otel_phi.delivery.journal.facts import FORMAT, Carried, Head, Snapshot, decode_fact, encode_fact
from otel_phi.delivery.journal.lines import frame, read_bytes, scan
from otel_phi.delivery.journal.preamble import PREAMBLE_BYTES, Preamble, preamble_bytes, read_preamble

# What a journal says to itself: never given to a reader; and what its sender writes beside the events.
INTERNAL = (b'{"type":"Head"', b'{"type":"Snapshot"', b'{"type":"Carried"')
OWN = (
    b'{"type":"LookedUp"',
    b'{"type":"RootClaimed"',
    b'{"type":"End"',
    b'{"type":"Purge"',
    b'{"type":"_Purged","own":true',
)
SUFFIX, RESERVE_SUFFIX = ".journal", ".reserve"
# A snapshot has 1.7 kB in the middle and 10.5 kB at most in an agent's life; a hundred open loops have 124 kB.
HEAD_BYTES = 64 << 10
# Ten thousand open loops have 12 MB: such a snapshot is appended, and on a full disk it waits.
_MOST_STATE_BYTES = 8 << 20
_PAGE = 4096
FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)  # Windows has neither


def segment_name(number: int) -> str:
    """Returns a segment's file name; names sort as numbers do."""
    return f"{number:08d}{SUFFIX}"


def segment_numbers(folder: Path) -> list[int]:
    """Returns the numbers of a folder's segments, in order; none where it cannot be read."""
    try:
        names = os.listdir(folder)  # noqa: PTH208  # a name may be no text: no Path of it is needed
    except OSError:
        return []
    stems = (name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX))
    return sorted(int(stem) for stem in stems if stem.isascii() and stem.isdigit())


def make_segment(path: Path, head: Head, state_bytes: int = 0) -> None:
    """Makes a segment's file with its head, all bytes of its head region written.

    Args:
        path: the file; one that is there already is replaced.
        head: what it says first.
        state_bytes: how large a snapshot was lately: the next one is to fit, twice.

    Raises:
        OSError: it cannot be made; nothing is left of it.
    """
    line = frame(encode_fact(head))
    size = max(HEAD_BYTES, len(line) + min(4 * state_bytes, _MOST_STATE_BYTES))  # twice, and base64
    head_end = -(-(PREAMBLE_BYTES + size) // _PAGE) * _PAGE
    content = (preamble_bytes(head_end) + line).ljust(head_end)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | FLAGS, 0o600)
    try:
        write_all(descriptor, content)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(descriptor)


def is_segment(path: Path, head: Head) -> bool:
    """Tells whether a file is a whole segment with this head: a dead process's reserve, say."""
    try:
        descriptor = Descriptor(os.open(path, os.O_RDONLY | FLAGS))
        preamble = read_preamble(descriptor.number)
        found = read_region(descriptor.number, preamble).head
    except OSError:
        return False
    return preamble.head_end > PREAMBLE_BYTES and found is not None and encode_fact(found) == encode_fact(head)


def read_head(folder: Path) -> tuple[Head | None, int | None, int]:
    """Looks what a folder's journal says of itself.

    Returns:
        The head, from whichever of its files it can be read, None where it cannot or is of another format; the format
        that a first line names; when the oldest segment was begun, 0 where that cannot be read.
    """
    paths = [folder / segment_name(number) for number in segment_numbers(folder)]
    since_ns, format_ = 0, None
    for path in (*paths, *sorted(folder.glob(f"*{RESERVE_SUFFIX}"))):
        try:
            descriptor = Descriptor(os.open(path, os.O_RDONLY | FLAGS))
            preamble = read_preamble(descriptor.number)
            head = read_region(descriptor.number, preamble).head
        except OSError:
            continue
        since_ns, format_ = since_ns or preamble.made_ns, format_ or preamble.format
        if head is not None and head.format == FORMAT:
            return head, head.format, since_ns
    return None, format_, since_ns


def write_all(descriptor: int, content: bytes) -> None:
    """Writes all of it where the descriptor stands.

    Raises:
        OSError: the disk does not take all.
    """
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


class HeadRegion(msgspec.Struct):
    """A head region holds what a reader needs before a segment's lines.

    Attributes:
        head: None where it is damaged.
        snapshot: the state, None where there is none.
        carried: lines carried over.
        before_bytes: size of the segment before, as it was sealed; 0 where that is not known.
        free: where the next line goes.
    """

    head: Head | None = None
    snapshot: bytes | None = None
    carried: tuple[bytes, ...] = ()
    before_bytes: int = 0
    free: int = PREAMBLE_BYTES

    def take(self, body: bytes) -> bool:
        """Takes in a line if it is one of these; tells whether it was."""
        if not body.startswith(INTERNAL):
            return False
        match decode_fact(body):
            case Head() as head:
                self.head = self.head or head
            case Snapshot(state=state):
                self.snapshot = state
            case Carried(lines=lines, end=end):
                self.carried, self.before_bytes = tuple(bytes(line) for line in lines), end
            case _:
                return False
        return True


def read_region(descriptor: int, preamble: Preamble) -> HeadRegion:
    """Reads the head region; where its end is not known, what stands where it mostly is."""
    data = read_bytes(descriptor, (preamble.head_end - PREAMBLE_BYTES) or HEAD_BYTES, PREAMBLE_BYTES)
    found = HeadRegion()
    for _, end, body in scan(data, PREAMBLE_BYTES).lines:
        if found.take(body):
            found.free = end
    return found
