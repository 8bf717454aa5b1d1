"""A saved session, read whole each time it is written: the loops that have ended since leave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from otel_phi.recorder.references import session_key
from otel_phi.sources.merge import merged
from otel_phi.sources.reader import BadLine
from otel_phi.sources.saved import read_session, streams_of
from otel_phi.watch.cursor_rows import LoopRow
from otel_phi.watch.cursors import Cursors
from otel_phi.watch.index import Index
from otel_phi.watch.log import Log, Part, owned
from otel_phi.watch.outgoing import Outgoing
from otel_phi.wire.decode import Undecodable
from otel_phi.wire.events import AgentStart


def read_saved(
    path: Path,
    log: Log,
    part: Part,
    cursors: Cursors,
    index: Index,
    on_bad_line: Callable[[BadLine], None] | None,
    *,
    whole: bool,
) -> Iterator[Outgoing]:
    """Yields the spans of a saved session's loops that no event log has.

    Args:
        path: the file.
        log: records it; made for this reading.
        part: the file.
        cursors: says which loops are read from elsewhere.
        index: takes the loops' starts.
        on_bad_line: called if it cannot be read.
        whole: also the loops that never ended.
    """
    file = read_session(path, kept=True)
    if isinstance(file, Undecodable):
        if on_bad_line is not None:
            on_bad_line(BadLine(str(path), 0, 0, 0, f"a saved session that cannot be read: {file.reason}"))
        return
    index.see_all(index.row_of(loop.start, part.cursor.id) for loop in file.loops)
    mine = tuple(loop for loop in file.loops if owned(_row(cursors, loop.start), part.cursor.id))
    file = msgspec.structs.replace(file, loops=mine)
    part.checked_bytes = file.size_bytes + 1  # it is read from its beginning, whatever of it left before
    log.parts.append(part)
    with closing(file.content):
        for number, event in enumerate(merged(streams_of(file, Counter(), on_bad_line, whole=whole, strict=True))):
            yield from log.take_event(part, event, (number, number))
    yield from log.abort()


def _row(cursors: Cursors, start: AgentStart) -> LoopRow | None:
    return cursors.loop(session_key(start.session_id), start.loop_id, int(start.timestamp))
