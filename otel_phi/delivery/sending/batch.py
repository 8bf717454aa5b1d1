"""Batches: runs of encoded spans cut by bytes, which can be halved without encoding anything again."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator
from itertools import compress

import msgspec

from otel_phi.delivery.options import MAX_REQUEST_BYTES
from otel_phi.delivery.otlp.encoder import Encoder, Envelope
from otel_phi.delivery.sending.stats import DeadLetter
from otel_phi.late_imports import importing
from otel_phi.mapping.span import Span

_KEY = struct.Struct(">QQQ")
_64 = (1 << 64) - 1


def span_key(span: Span) -> bytes:
    """Returns what tells a span from every other: 16 bytes trace id, 8 bytes span id, big-endian."""
    return _KEY.pack(span.trace_id >> 64 & _64, span.trace_id & _64, span.span_id & _64)


class Batch(msgspec.Struct, frozen=True, gc=False):
    """A batch is one request's worth of encoded spans.

    Attributes:
        envelope: resource and scope, shared by all batches of an encoder.
        entries: `Encoder.span`'s bytes, at least one.
        keys: what tells each entry from all others, in the same order; `span_key` unless its maker chose otherwise.
        size_bytes: an upper bound of `len(body())`.
    """

    envelope: Envelope
    entries: tuple[bytes, ...]
    keys: tuple[bytes, ...]
    size_bytes: int

    @property
    def count(self) -> int:
        """Returns the number of spans."""
        return len(self.entries)

    def body(self) -> bytes:
        """Joins the entries into an `ExportTraceServiceRequest`; costs a copy, so that a waiting batch holds one."""
        return self.envelope.around(self.entries)

    def halves(self) -> tuple[Batch, Batch]:
        """Cuts a batch of at least two spans in two."""
        middle = self.count // 2
        return self._part(slice(None, middle)), self._part(slice(middle, None))

    def without(self, keys: Collection[bytes]) -> tuple[Batch | None, Batch | None]:
        """Cuts a batch into its spans without some keys and the spans of those keys, None for nothing."""
        found = [key in keys for key in self.keys]
        return self._chosen([not gone for gone in found]), self._chosen(found)

    def _chosen(self, chosen: list[bool]) -> Batch | None:
        if not any(chosen):
            return None
        entries, keys = tuple(compress(self.entries, chosen)), tuple(compress(self.keys, chosen))
        return Batch(self.envelope, entries, keys, sum(map(len, entries)) + self.envelope.size_bytes)

    def _part(self, part: slice) -> Batch:
        entries = self.entries[part]
        return Batch(self.envelope, entries, self.keys[part], sum(map(len, entries)) + self.envelope.size_bytes)


class Settled(msgspec.Struct, frozen=True):
    """Says what became of a batch.

    Attributes:
        batch: the spans.
        rejected: how many of an acknowledged batch the destination refused.
        dead: why its one span is a dead letter, None if it is not.
        discarded: the word to count it by where it was not sent on purpose, None if it was sent.
    """

    batch: Batch
    rejected: int = 0
    dead: str | None = None
    discarded: str | None = None


def dead_letter(batch: Batch, reason: str) -> DeadLetter:
    """Describes the one span of a batch that its destination will not take."""
    with importing:
        from otel_phi.delivery.otlp.decode import decode_spans

    (span,) = decode_spans(batch.body())
    return DeadLetter(span.trace_id, span.span_id, span.name, reason)


class Batcher:
    """Gathers spans until the next one would make the request too large.

    Args:
        encoder: encodes the spans.
        max_bytes: bound of a request before compression. A span larger than that makes a batch of its own.
    """

    def __init__(self, encoder: Encoder, max_bytes: int = MAX_REQUEST_BYTES) -> None:
        self._encoder = encoder
        self._max_bytes = max_bytes
        self._entries: list[bytes] = []
        self._keys: list[bytes] = []
        self._size = encoder.envelope.size_bytes

    def add(self, span: Span) -> Batch | None:
        """Takes a span and returns the batch that had no room for it, if any."""
        entry = self._encoder.span(span)
        full = self.cut() if self._size + len(entry) > self._max_bytes else None
        self._entries.append(entry)
        self._keys.append(span_key(span))
        self._size += len(entry)
        return full

    def cut(self) -> Batch | None:
        """Returns what was gathered, or None if nothing was."""
        if not self._entries:
            return None
        batch = Batch(self._encoder.envelope, tuple(self._entries), tuple(self._keys), self._size)
        self._entries, self._keys = [], []
        self._size = self._encoder.envelope.size_bytes
        return batch


def batches(spans: Iterable[Span], encoder: Encoder, max_bytes: int = MAX_REQUEST_BYTES) -> Iterator[Batch]:
    """Cuts spans into batches of at most `max_bytes` of encoded request, in order, none lost."""
    batcher = Batcher(encoder, max_bytes)
    for span in spans:
        if batch := batcher.add(span):
            yield batch
    if batch := batcher.cut():
        yield batch
