"""JSON read in pieces: a document of any length in the memory of its largest value.

    read ─▶ window ─▶ where does the value at hand end? ─▶ decoded there, passed, forgotten

Rule 1: msgspec alone says what is JSON and what is of the right type. It tells where a value ends by what it does not expect
        behind it, `trailing characters (byte N)`: at the speed of its decoder, where a scanner in Python would cost ten times that.
Rule 2: what cannot be read is named as msgspec names it in a document read whole: with the path, and the byte of the file.
Rule 3: an end of the window is no end of the file: what might go on is read on before it is judged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from otel_phi.wire.spellings import decode_respelled, refused_for_a_key

# Small enough for many files under way at once, large enough that a read costs less than what it reads.
PIECE_BYTES = 1 << 16
# One value within, such as an image in a message. As for a line; past this the document is given up.
MAX_VALUE_BYTES = 256 << 20
_TRAILING = re.compile(r"trailing characters \(byte (\d+)\)$")
_BYTE = re.compile(r"\(byte (\d+)\)$")
_PATH = re.compile(r" - at `\$(.*)`$", re.DOTALL)
_SPACE = re.compile(rb"[ \t\n\r]*")
# So near to the window's end a number or a word may be cut off.
_MARGIN = 64
_TRUNCATED = "Input data was truncated"
_anything = msgspec.json.Decoder(msgspec.Raw)
_key = msgspec.json.Decoder(str)


class Unreadable(Exception):  # noqa: N818
    """Says why a document cannot be read."""


def decoded(decoder: msgspec.json.Decoder[Any], content: bytes) -> Any:
    """Decodes a value, with its keys in either spelling and without those that nobody knows.

    Raises:
        MsgspecError: it is no such value.
    """
    try:
        return decoder.decode(content)
    except msgspec.ValidationError as error:
        return decode_respelled(decoder, content, decoder.type, error)


class Window:
    """A window moves over a JSON document, from value to value.

    Args:
        read: returns up to so many bytes, b"" at the end.
        offset: where in the document reading begins.
    """

    def __init__(self, read: Callable[[int], bytes], offset: int = 0) -> None:
        self._read = read
        self._held = b""
        self._at = 0
        self._base = offset
        self._ended = False

    @property
    def offset(self) -> int:
        """Offset of the next byte that is no white space."""
        self.next()
        return self._base + self._at

    def next(self) -> bytes:
        """Returns the next byte that is no white space, b"" at the end; it is not passed."""
        while True:
            found = _SPACE.match(self._held, self._at)
            self._at = found.end() if found is not None else self._at
            if self._at < len(self._held) or not self._more():
                return self._held[self._at : self._at + 1]

    def value(self, decoder: msgspec.json.Decoder[Any], path: str) -> Any:
        """Decodes the next value and passes it.

        Args:
            decoder: says what it is.
            path: where it stands, as msgspec writes it: `$.loops[...]`.

        Raises:
            Unreadable: it is no such value.
        """
        end = self._end(decoder, path)  # which may read on
        content = self._held[self._at : end]
        self._pass_to(end)
        return decoded(decoder, content)

    def skip(self, decoder: msgspec.json.Decoder[Any], path: str) -> None:
        """Passes the next value, having seen that it is what the decoder says.

        Raises:
            Unreadable: it is not.
        """
        self._pass_to(self._end(decoder, path))

    def members(self, path: str) -> Iterator[str]:
        """Yields the keys of the object at hand; each value is to be passed before the next one is asked for.

        Raises:
            Unreadable: it is not well-formed.
        """
        self._passes(b"{")
        if self._passes(b"}"):
            return
        while True:
            if self.next() != b'"':
                raise self._unexpected("object keys must be strings")
            name: str = self.value(_key, path)
            if not self._passes(b":"):
                raise self._unexpected("expected ':'")
            yield name
            if self._passes(b"}"):
                return
            if not self._passes(b","):
                raise self._unexpected("expected ',' or '}'")
            if self.next() == b"}":
                raise self._unexpected("trailing comma in object")

    def elements(self) -> Iterator[None]:
        """Yields once for each element of the array at hand, which is to be passed before the next one is asked for.

        Raises:
            Unreadable: it is not well-formed.
        """
        self._passes(b"[")
        if self._passes(b"]"):
            return
        while True:
            yield
            if self._passes(b"]"):
                return
            if not self._passes(b","):
                raise self._unexpected("expected ',' or ']'")
            if self.next() == b"]":
                raise self._unexpected("trailing comma in array")

    def end(self) -> None:
        """Sees that nothing follows.

        Raises:
            Unreadable: something does.
        """
        if self.next():
            raise Unreadable(f"JSON is malformed: trailing characters (byte {self.offset + 1})")  # as msgspec counts

    def _passes(self, byte: bytes) -> bool:
        if self.next() != byte:
            return False
        self._at += 1
        return True

    def _pass_to(self, end: int) -> None:
        if end - self._at > PIECE_BYTES:  # a large value: its bytes are let go now, not with the next piece
            self._base += end
            self._held, end = self._held[end:], 0
        self._at = end

    def _more(self) -> bool:
        """Reads on; twice as much as is held, so that a large value is looked at a few times, not once a piece."""
        rest = len(self._held) - self._at
        if self._ended or rest > MAX_VALUE_BYTES:
            return False
        piece = self._read(max(PIECE_BYTES, rest))
        self._ended = not piece
        self._base += self._at
        self._held, self._at = self._held[self._at :] + piece, 0
        return not self._ended

    def _end_otherwise(self, decoder: msgspec.json.Decoder[Any], error: Exception, path: str) -> int:
        """Returns the same where a key was refused that may be a newer phi-core's, or is spelled otherwise."""
        try:
            if not refused_for_a_key(error):
                raise error
            end = self._end(_anything, path)
            decode_respelled(decoder, self._held[self._at : end], decoder.type, error)
        except msgspec.ValidationError as final:
            raise Unreadable(placed(str(final), path)) from None
        return end

    def _end(self, decoder: msgspec.json.Decoder[Any], path: str) -> int:
        """Returns the place in the window behind the next value, and the white space after it."""
        while True:
            self.next()
            try:
                decoder.decode(memoryview(self._held)[self._at :])
                trouble = None
            except msgspec.ValidationError as error:
                return self._end_otherwise(decoder, error, path)
            except msgspec.DecodeError as error:
                found = _TRAILING.search(trouble := str(error))
                if found is not None:
                    return self._at + int(found[1]) - 1  # msgspec counts the byte it did not expect
            except UnicodeError:
                raise Unreadable("not UTF-8") from None
            except RecursionError:
                raise Unreadable("nested too deeply") from None
            if not self._certain(trouble) and self._more():
                continue
            if trouble is None:
                return len(self._held)
            if len(self._held) - self._at > MAX_VALUE_BYTES:
                raise Unreadable(f"a value of more than {MAX_VALUE_BYTES >> 20} MB (byte {self._base + self._at})")
            raise Unreadable(_BYTE.sub(self._of_file, trouble))

    def _certain(self, trouble: str | None) -> bool:
        """Says whether reading on would change nothing: what is wrong lies well within the window."""
        found = _BYTE.search(trouble or "")
        return found is not None and int(found[1]) + _MARGIN < len(self._held) - self._at

    def _of_file(self, found: re.Match[str]) -> str:
        return f"(byte {self._base + self._at + int(found[1])})"

    def _unexpected(self, what: str) -> Unreadable:
        if not self.next():
            return Unreadable(_TRUNCATED)
        return Unreadable(f"JSON is malformed: {what} (byte {self.offset})")


def placed(reason: str, path: str) -> str:
    """Returns msgspec's reason for a part of a document with the path from the document's own root."""
    found = _PATH.search(reason)
    inner = found[1] if found is not None else ""
    place = f"{path}{inner}"
    said = reason if found is None else reason[: found.start()]
    return said if place == "$" else f"{said} - at `{place}`"


def skip_any(window: Window, path: str) -> None:
    """Passes a value of any kind."""
    window.skip(_anything, path)
