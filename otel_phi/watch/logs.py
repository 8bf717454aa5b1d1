"""The logs under way: which file is a part of which log, and when a log, or a part of it, can be forgotten.

Rule: what is kept is bounded by what is open. A log that is read to its end with nothing open or under way is forgotten;
      so is a file that was rotated, as soon as nothing that began in it is open.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path

from otel_phi.sources.lines import open_lines
from otel_phi.sources.reader import EventReader
from otel_phi.sources.tail import HEAD_BYTES, hash_of
from otel_phi.watch.cursor_rows import FileCursor
from otel_phi.watch.cursors import Cursors
from otel_phi.watch.files import Files
from otel_phi.watch.log import Log, Part
from otel_phi.watch.outgoing import Outgoing


class Logs:
    """Finds the log of a file. For one thread.

    Args:
        files: what is there.
        cursors: what is known of it.
        make_log: makes a log that nothing was read of.
        make_reader: makes events of the lines of the file of that name.

    Attributes:
        active: the logs and their parts, by the numbers of the files.
    """

    def __init__(
        self,
        files: Files,
        cursors: Cursors,
        make_log: Callable[[], Log],
        make_reader: Callable[[str], EventReader],
    ) -> None:
        self._files, self._cursors = files, cursors
        self._make_log, self._make_reader = make_log, make_reader
        self.active: dict[int, tuple[Log, Part]] = {}
        self._vanished: list[tuple[FileCursor, Log]] = []

    def __iter__(self) -> Iterator[Log]:
        yield from {id(log): log for log, _ in self.active.values()}.values()

    def part(self, cursor: FileCursor) -> tuple[Log, Part]:
        """Returns the log of a file and its part there: of the log that it follows, or of one begun now."""
        if cursor.id not in self.active:
            log, before = self.active.get(cursor.follows, (None, None))
            log = self._make_log() if log is None else log
            part = Part(cursor, self._make_reader(cursor.path))
            # Nothing is left of what stood here before: not a log that was renamed.
            part.replaced = before is not None and before.cursor.path == cursor.path
            log.parts.append(part)
            self.active[cursor.id] = (log, part)
        return self.active[cursor.id]

    def join(self, cursors: Iterable[FileCursor]) -> list[FileCursor]:
        """Lets files that were rotated before anybody watched go on in one log; returns them in order of reading."""
        found = list(cursors)
        parts = [self.active[cursor.id][1] for cursor in found]
        if any(part.goes_on for part in parts):
            logs: dict[Path, list[Log]] = {}
            for log, part in self.active.values():
                logs.setdefault(_name_before(part), []).append(log)
            heads = Counter((self._cursors.heads() | self._files.heads()).values())
            for part in sorted(parts, key=lambda each: each.changed_ns):
                if part.goes_on and not _is_copy(part, heads):
                    self._join(part, logs[_name_before(part)])
        return in_order(found)

    def _join(self, part: Part, logs: Iterable[Log]) -> None:
        number = part.cursor.id
        own = self.active[number][0]
        loops = part.goes_on - part.starts
        if loops and not part.offset and own.parts == [part]:
            before = next((log for log in logs if log is not own and log.began(loops)), None)
            if before is not None:
                part.cursor.follows = before.parts[-1].cursor.id
                before.parts.append(part)
                self.active[number] = (before, part)

    def anew(self, cursor: FileCursor) -> tuple[Log, Part]:
        """Begins a file anew that cannot be entered midway, as a gzipped one; nothing of it is sent twice."""
        self.active.pop(cursor.id, None)
        log, part = self.part(cursor)
        part.offset, part.line, part.scanned, part.scanned_line = 0, 1, 0, 1
        part.checked_bytes = 1 << 62
        return log, part

    def rewound(self, cursor: FileCursor) -> tuple[Log, Iterator[Outgoing]] | None:
        """Takes a file that is read anew under another number; returns what else its log leaves as aborted."""
        self._cursors.gone(cursor.id)
        if cursor.id not in self.active:
            return None
        log, part = self.active.pop(cursor.id)
        return log, log.let_go(part)

    def missing(self, cursors: Iterable[FileCursor]) -> Iterator[Log]:
        """Takes files that are no more; yields the logs that do not go on in others."""
        followed = self._files.followed()
        for cursor in cursors:
            if cursor.id not in self.active:
                self._cursors.gone(cursor.id)
                continue
            log, _ = self.active[cursor.id]
            self._vanished.append((cursor, log))
            if not any(self._files.living(part.cursor) for part in log.parts) and cursor.id not in followed:
                yield log

    def forget(self, under_way: Container[int]) -> None:
        """Lets go of what is over, but for the files of those numbers, which are being read."""
        for log in [log for log in self if len(log.parts) > 1]:
            for part in [part for part in log.parts if not log.needs(part) and part.cursor.id not in under_way]:
                log.parts.remove(part)
                self.active.pop(part.cursor.id, None)
        over = [cursor for cursor, log in self._vanished if log.idle or cursor.id not in self.active]
        for cursor in over:
            self._cursors.gone(cursor.id)
            self.active.pop(cursor.id, None)
        if over:
            self._vanished = [each for each in self._vanished if each[0] not in over]
        for number, (log, _) in list(self.active.items()):
            if log.idle and number not in under_way:
                del self.active[number]


def in_order(cursors: Iterable[FileCursor]) -> list[FileCursor]:
    """Returns files in order of their numbers, each after the one that it follows."""
    by_id = {cursor.id: cursor for cursor in sorted(cursors, key=lambda each: each.id)}
    found: dict[int, FileCursor] = {}
    for cursor in by_id.values():
        chain: dict[int, FileCursor] = {}
        each: FileCursor | None = cursor
        while each is not None and each.id not in found and each.id not in chain:
            chain[each.id] = each
            each = by_id.get(each.follows)  # back to where the log begins
        found |= dict(reversed(chain.items()))
    return list(found.values())


# What log rotation appends: a number or a date, and the suffix of the compression.
_ROTATED = re.compile(r"(?:[.-]\d[\d.T_-]*)?(?:\.gz)?$")


def _is_copy(part: Part, heads: Counter[tuple[int, bytes]]) -> bool:
    """Says whether another file began as this one does, unzipped: its log was read there, before it was cut or compressed."""
    own = (part.cursor.head_bytes, part.cursor.head)
    try:
        with open_lines(Path(part.cursor.path)) as stream:
            first = stream.read(HEAD_BYTES)
    except (OSError, EOFError, zlib.error):
        return True  # it vanished, or is being written
    sizes = {size for size, _ in heads if size <= len(first)}
    found = {(size, hash_of(first[:size])) for size in sizes} & heads.keys()
    return heads[own] > 1 or bool(found - {own})


def _name_before(part: Part) -> Path:
    """Returns the name that a file had before it was rotated."""
    path = Path(part.cursor.path)
    return path.with_name(_ROTATED.sub("", path.name) or path.name)
