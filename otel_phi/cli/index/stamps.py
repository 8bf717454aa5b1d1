"""What a file is like, without reading it: enough to tell whether it is the one that was read before."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from otel_phi.sources.opened import refuse_irregular

# A session's id or first time stands in its first lines; a watch tells files apart by as much.
HEAD_BYTES = 512
# Times of files are as coarse as two seconds (FAT), else as a clock's tick: whoever writes twice within that shows nothing of it.
RACY_NS = 2_000_000_000
_digest = hashlib.blake2b


class Stamp(msgspec.Struct, frozen=True):
    """A stamp is what a file is like.

    Attributes:
        size: in bytes.
        written_ns: when its content was changed last, as anybody may set it.
        changed_ns: when it was changed in whatever way, which nobody can set; on Windows when it was made.
        inode: which file it is.
        head: a hash of its first bytes.
    """

    size: int
    written_ns: int
    changed_ns: int
    inode: int
    head: bytes

    def is_settled(self, now_ns: int) -> bool:
        """Tells whether a change after this moment would show."""
        return max(self.written_ns, self.changed_ns) < now_ns - RACY_NS


def stamp_of(path: Path) -> Stamp:
    """Looks at a file.

    Raises:
        OSError: it cannot be looked at, or is none.
    """
    found = path.stat()
    refuse_irregular(found.st_mode)
    with path.open("rb", buffering=0) as stream:
        head = _digest(stream.read(HEAD_BYTES), digest_size=8).digest()
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, head)


def key_of(*parts: object) -> bytes:
    """Returns the key under which something is kept that depends on these alone."""
    return _digest(msgspec.msgpack.encode(parts), digest_size=16).digest()
