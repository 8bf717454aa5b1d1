"""What goes into an outbox and comes out of it, as bytes: rows, open rows, changes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from otel_phi.delivery.otlp.encoder import Encoder, Envelope
from otel_phi.delivery.sending.batch import span_key
from otel_phi.mapping import semconv
from otel_phi.mapping.span import Span

LATEST_NS = 2**63 - 1  # SQLite's integers


class Row(msgspec.Struct, frozen=True, gc=False):
    """Is a finished span.

    Attributes:
        key: `span_key`.
        session: the session's id, UTF-8; b"" where the span names none. For `purge SESSION`.
        entry: `Encoder.span`'s bytes.
        unclaimed: a session's root, and it is not known yet whether another process has it.
    """

    key: bytes
    session: bytes
    entry: bytes
    unclaimed: bool = False


class OpenRow(msgspec.Struct, frozen=True, gc=False):
    """Is a loop, turn or group that is open, as it would leave if its process were lost now.

    Attributes:
        key: `span_key`.
        parent: the parent's key, b"" for none.
        session: as in `Row`.
        ended_ns: the latest end of its committed children.
        entry: as in `Row`; its end is set when it leaves.
    """

    key: bytes
    parent: bytes
    session: bytes
    ended_ns: int
    entry: bytes


class Change(msgspec.Struct, frozen=True, gc=False):
    """Is one transaction.

    Attributes:
        rows: finished spans.
        opened: what opened.
        extended: pairs of a parent's key and its child's end.
        closed: keys of what closed.
        told: the first row tells what it extends and closes: it is the one that closed, and the one parent's latest child.
    """

    rows: Sequence[Row] = ()
    opened: Sequence[OpenRow] = ()
    extended: Sequence[tuple[bytes, int]] = ()
    closed: Sequence[bytes] = ()
    told: bool = False

    def then(self, later: Change) -> Change:
        """Joins two changes into one."""
        return Change(
            [*self.rows, *later.rows], [*self.opened, *later.opened], [*self.extended, *later.extended],
            [*self.closed, *later.closed],
        )  # fmt: skip


class Item(msgspec.Struct, frozen=True, gc=False):
    """Is a span on its way: its number where it came from, what stands around it, its bytes; `unclaimed` as in `Row`."""

    number: int
    envelope: Envelope
    entry: bytes
    unclaimed: bool = False


class Claim(msgspec.Struct, frozen=True, gc=False):
    """Is an unclaimed root: its number where it waits, what stands around it, its row."""

    number: int
    envelope: Envelope
    row: Row


def row_of(span: Span, encoder: Encoder) -> Row:
    """Encodes a finished span."""
    return Row(span_key(span), _session(span), encoder.span(span))


def open_row_of(span: Span, encoder: Encoder) -> OpenRow:
    """Encodes what is open."""
    ended_ns = min(span.end_ns, LATEST_NS)
    return OpenRow(span_key(span), parent_key(span), _session(span), ended_ns, encoder.span(span))


def parent_key(span: Span) -> bytes:
    """Returns the key of a span's parent, b"" for none."""
    return span_key_of(span.trace_id, span.parent_span_id) if span.parent_span_id else b""


def span_key_of(trace_id: int, span_id: int) -> bytes:
    """Returns what `span_key` returns for the span of these ids."""
    return (trace_id & (1 << 128) - 1).to_bytes(16, "big") + (span_id & (1 << 64) - 1).to_bytes(8, "big")


def change_of(rows: Sequence[Row], opened: Sequence[OpenRow], spans: Sequence[Span], closed: Sequence[bytes]) -> Change:
    """Returns the change that finished spans, already encoded, bring about with what opened and closed."""
    if not rows:
        return Change(rows, opened, (), closed, told=not closed)
    first, key = spans[0], rows[0].key
    if all(span.parent_span_id == first.span_id and span.trace_id == first.trace_id for span in spans[1:]):
        extended = [(parent_key(first), min(first.end_ns, LATEST_NS))] if first.parent_span_id else []
        return Change(rows, opened, extended, closed, told=not closed or (len(closed) == 1 and closed[0] == key))
    return Change(rows, opened, extensions(spans), closed)


def extensions(spans: Sequence[Span]) -> list[tuple[bytes, int]]:
    """Returns by how much spans extend parents that are not among them."""
    own = {(span.trace_id, span.span_id) for span in spans}
    latest: dict[tuple[int, int], int] = {}
    for span in spans:
        place = (span.trace_id, span.parent_span_id)
        if span.parent_span_id and place not in own:
            latest[place] = max(latest.get(place, 0), span.end_ns)
    return [(span_key_of(*place), min(ended_ns, LATEST_NS)) for place, ended_ns in latest.items()]


def _session(span: Span) -> bytes:
    found = span.get(semconv.SESSION_ID)
    return found.encode("utf-8", "surrogatepass") if isinstance(found, str) else b""
