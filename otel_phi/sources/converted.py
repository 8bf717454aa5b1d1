"""Files whose bytes are not their lines: UTF-16, as PowerShell's `>` writes it, a JSON array of events or an agent's records, a document.

Like a gzipped file, such a file is read from its beginning to its end: nobody can enter it midway.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

import msgspec
from typing_extensions import Self

from otel_phi.sources.agents.registry import adapter_of
from otel_phi.sources.opencode_document import begins_document, document_lines
from otel_phi.wire.decode import Undecodable, decode_event, decode_log_line
from otel_phi.wire.events import GenericEvent

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PIECE_BYTES = 1 << 20
_HEAD_BYTES = 4096  # white space before an array, at most
# An array has to be in memory whole, which lines have not: what is larger is named for what it is instead.
MAX_ARRAY_BYTES = 64 << 20


class Converted:
    """A file read as lines, whatever it is: a binary stream as far as readers need one.

    Args:
        stream: the file; closed with this.
        pieces: its lines' bytes, piece by piece.
    """

    def __init__(self, stream: BinaryIO, pieces: Iterator[bytes]) -> None:
        self._stream = stream
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int = -1, /) -> bytes:
        """Returns up to `size` bytes, b"" at the end; all that is there for -1."""
        if size < 0:
            return self._rest + b"".join(self._pieces)
        chunk = self._rest or next(self._pieces, b"")
        self._rest = chunk[size:]
        return chunk[:size]

    def read1(self, size: int = -1, /) -> bytes:
        """Returns what the next piece has."""
        return self.read(size if size >= 0 else _PIECE_BYTES)

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def converted(stream: BinaryIO) -> Converted | None:
    """Returns a file as lines, where its bytes are not; None, and the stream at its beginning, where they are."""
    head = stream.read(_HEAD_BYTES)
    stream.seek(0)
    if head.startswith(_UTF_16):
        pieces = _from_utf_16(stream)
        if not begins_document(head.decode("utf-16", "replace").encode("utf-8", "replace")):
            return Converted(stream, pieces)
        whole = io.BytesIO(b"".join(islice(pieces, MAX_ARRAY_BYTES // _PIECE_BYTES)))
        records = document_lines(whole)
        whole.seek(0)
        return Converted(stream, iter([whole.read()]) if records is None else records)
    if head.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"[":
        events = _elements(stream)
        stream.seek(0)
        if events is not None:
            return Converted(stream, iter([events]))
    records = document_lines(stream) if begins_document(head) else None
    if records is None:
        stream.seek(0)
        return None
    return Converted(stream, records)


def _from_utf_16(stream: BinaryIO) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-16")(errors="replace")
    last = False
    while not last:
        piece = stream.read(_PIECE_BYTES)
        last = not piece
        if text := decoder.decode(piece, final=last):
            yield text.encode()


def _elements(stream: BinaryIO) -> bytes | None:
    """Returns the elements of an array, a line each; None where it is none, or begins with no event and no record of an agent."""
    content = stream.read(MAX_ARRAY_BYTES + 1)
    if len(content) > MAX_ARRAY_BYTES:
        return None
    try:
        found = msgspec.json.decode(content.removeprefix(codecs.BOM_UTF8), type=list[msgspec.Raw])
        lines = [msgspec.json.format(bytes(element), indent=-1) for element in found]
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    joined = b"\n".join(lines) + b"\n"
    return joined if lines and (_is_event(lines[0]) or adapter_of(joined, "") is not None) else None


def _is_event(line: bytes) -> bool:
    event = decode_log_line(line)[1] if b'"ordinal"' in line else decode_event(line)
    return not isinstance(event, Undecodable | GenericEvent)
