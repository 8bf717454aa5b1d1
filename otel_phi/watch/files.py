"""The files: for each path the cursor of what is there, whatever was renamed, replaced, truncated or removed meanwhile.

same device and inode, longer, same first bytes     the same log, grown
the same, at another path                           the same log, renamed (rotated): the rest of it is read
another inode, longer, same first bytes             the same log: rsync and editors write a new file over the old one
shorter, same first bytes                           the same log, restored from a copy: read anew, nothing is aborted
other first bytes                                   a new file that follows the old one
nothing at the path, and nowhere else               gone
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

from otel_phi.sources.tail import HEAD_BYTES, Look, head_of, is_zipped, look_at
from otel_phi.watch.cursor_rows import FileCursor
from otel_phi.watch.cursors import Cursors
from otel_phi.watch.folder import Folder


class Files:
    """Finds the cursor of each file. For one thread.

    Args:
        folder: what is watched.
        cursors: where they are kept.

    Attributes:
        replaced: files whose content is no more, though something is at their place; whoever reads this empties it.
        rewound: files that are shorter than they were, and to be read anew under another number; the same holds.
    """

    def __init__(self, folder: Folder, cursors: Cursors) -> None:
        self._folder = folder
        self._cursors = cursors
        self._by_path: dict[Path, FileCursor] = {}
        self._by_identity: dict[str, FileCursor] = {}
        self._renamed: dict[Path, FileCursor] = {}  # who was renamed away from a path, until another file is there
        self.replaced: list[FileCursor] = []
        self.rewound: list[FileCursor] = []
        for cursor in sorted(cursors.files(), key=lambda each: each.id):
            if folder.holds(Path(cursor.path)):
                self._put(Path(cursor.path), cursor)

    def __len__(self) -> int:
        return len(self._by_path)

    def _put(self, path: Path, cursor: FileCursor) -> None:
        before = self._by_identity.get(cursor.identity)
        if before is not None and before is not cursor:
            self.replaced.append(before)
        self._by_path[path] = self._by_identity[cursor.identity] = cursor

    def cursor(self, path: Path, look: Look) -> FileCursor | None:
        """Returns the cursor of a file, a new one if need be; None where it is nothing of ours, or cannot be read.

        Args:
            path: where it is.
            look: what it looked like.
        """
        try:
            return self._found(path, look)
        except OSError as error:
            self._folder.cannot_read(path, error)
            return None

    def _found(self, path: Path, look: Look) -> FileCursor | None:
        here = self._by_path.get(path)
        if here is not None and here.kind == "session":
            return self._session(here, path, look)
        known = self._by_identity.get(look.identity)
        if known is not None and known.kind == "events":
            if known is not here and self._still_at(known, look):
                return None  # a second name of the same file
            here = known
        if here is None and known is None:
            here = self._renamed.pop(path, None)
            return self._new(path, look, here if here is not None and self.living(here) else None)
        if here is None or not self._begins_as(here, path, look):
            return self._new(path, look, here)
        if look.size < here.size:
            return self._anew(path, look, here)
        if here.head_bytes < HEAD_BYTES:
            here.head, here.head_bytes = head_of(path)
        self._identify(here, look)
        return self._at(here, path)

    @staticmethod
    def _still_at(cursor: FileCursor, look: Look) -> bool:
        other = look_at(Path(cursor.path))
        return other is not None and other.identity == look.identity

    def _session(self, here: FileCursor, path: Path, look: Look) -> FileCursor | None:
        """A saved session is written anew, whole: another inode each time, and the same file to us."""
        if (here.identity, here.size, here.mtime_ns) == (look.identity, look.size, look.mtime_ns):
            return here
        kind = self._folder.kind(path, look)
        if kind != "session":
            return None if kind is None else self._new(path, look, None)
        self._identify(here, look)
        return here

    @staticmethod
    def _begins_as(cursor: FileCursor, path: Path, look: Look) -> bool:
        """Says whether a file's first bytes are those it had, or those that another file had."""
        seen = (cursor.identity, cursor.size, cursor.mtime_ns, cursor.path)
        if seen == (look.identity, look.size, look.mtime_ns, str(path)):
            return True
        return look.size >= cursor.head_bytes and head_of(path, cursor.head_bytes)[0] == cursor.head

    def _identify(self, cursor: FileCursor, look: Look) -> None:
        if self._by_identity.get(cursor.identity) is cursor:
            del self._by_identity[cursor.identity]
        cursor.identity = look.identity
        self._by_identity[look.identity] = cursor

    def _at(self, cursor: FileCursor, path: Path) -> FileCursor:
        if cursor.path != str(path):
            if self._by_path.get(Path(cursor.path)) is cursor:
                del self._by_path[Path(cursor.path)]
                self._renamed[Path(cursor.path)] = cursor
            cursor.path = str(path)
        self._by_path[path] = cursor
        return cursor

    def _anew(self, path: Path, look: Look, before: FileCursor) -> FileCursor | None:
        if self._by_identity.get(before.identity) is before:
            del self._by_identity[before.identity]
        self.rewound.append(before)
        return self._new(path, look, None)

    def _new(self, path: Path, look: Look, before: FileCursor | None) -> FileCursor | None:
        kind = self._folder.kind(path, look)
        if kind is None:
            return None
        head, head_bytes = head_of(path)
        follows = before.id if before is not None and before.kind == kind == "events" and not is_zipped(path) else 0
        cursor = FileCursor(0, kind, look.identity, head, head_bytes, str(path), follows=follows)
        self._cursors.add_file(cursor)
        self._put(path, cursor)
        return cursor

    def missing(self, there: AbstractSet[str], unseen: Callable[[Path], bool]) -> Iterator[FileCursor]:
        """Yields, and forgets, the files that are no more.

        Args:
            there: the identities of all that are.
            unseen: whether nobody knows of a path, since a folder above it could not be looked into.
        """
        for identity, cursor in [each for each in self._by_identity.items() if each[0] not in there]:
            path = Path(cursor.path)
            if not unseen(path):
                del self._by_identity[identity]
                if self._by_path.get(path) is cursor:
                    del self._by_path[path]
                self._renamed = {path: other for path, other in self._renamed.items() if other is not cursor}
                yield cursor

    def followed(self) -> set[int]:
        """Returns the numbers of the files in whose place, or after which, another one came."""
        return {cursor.follows for cursor in self._by_identity.values()}

    def heads(self) -> dict[int, tuple[int, bytes]]:
        """Returns how each file that is there begins: how many bytes, and their hash."""
        return {cursor.id: (cursor.head_bytes, cursor.head) for cursor in self._by_identity.values()}

    def living(self, cursor: FileCursor) -> bool:
        """Says whether a file is there."""
        return self._by_identity.get(cursor.identity) is cursor
