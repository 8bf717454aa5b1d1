"""SQL of an outbox's rows, many in one statement: each one costs the agent, or whoever waits for the lock, microseconds."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Sequence

from otel_phi.delivery.rows import Row

Statement = tuple[str, tuple[object, ...]]
# A slice: so many rows, or bytes, at one hold of the lock. A turn of an agent waits at most for one slice.
SLICE_ROWS = 20
COLUMNS = "id, key, session, envelope, added_ns, entry"


def insert_rows(rows: Sequence[Row], first: int, envelope: int, added_ns: int) -> Iterator[Statement]:
    """Yields what writes finished spans, numbered from `first` on."""
    number = first
    for start in range(0, len(rows), SLICE_ROWS):
        values: list[object] = []
        for row in rows[start : start + SLICE_ROWS]:
            values += (number, row.key, row.session, -envelope if row.unclaimed else envelope, added_ns, row.entry)
            number += 1
        yield _insert(len(values) // 6), tuple(values)


@functools.cache  # of at most a slice
def _insert(rows: int) -> str:
    return f"INSERT INTO span ({COLUMNS}) VALUES " + ",".join(["(?, ?, ?, ?, ?, ?)"] * rows)  # noqa: S608  # our own names


def numbered(words: str, numbers: Collection[int]) -> str:
    """Returns a condition on numbers, "" where there are none."""
    return f" {words} ({','.join(map(str, numbers))})" if numbers else ""


def delete(table: str, numbers: Sequence[int]) -> Statement:
    """Returns what deletes rows of `span` or `open`."""
    marks = ",".join("?" * len(numbers))
    return f"DELETE FROM {table} WHERE id IN ({marks})", tuple(numbers)  # noqa: S608  # marks and our own names
