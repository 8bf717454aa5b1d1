"""Dead letters: spans that their destination will not take, kept beside the journal they came from for whoever asks.

One file a process's folder, lines as a journal has them, opened for each use: whoever reads or removes some is often
another process.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from otel_phi.delivery.journal.append import Descriptor
from otel_phi.delivery.journal.lines import LineReader, frame
from otel_phi.delivery.journal.outbox import DEAD_LETTERS
from otel_phi.delivery.journal.segment_file import FLAGS

# A span is 1 to 500 kB. What is refused is mostly refused for one reason, and some thousands show it.
MAX_BYTES = 16 << 20
_READ_BYTES = 1 << 20
_REMOVED = b"null"


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A dead letter is a span that will not be sent again by itself.

    Attributes:
        entry: the span's bytes, as they stood in the request.
        envelope: the bytes around it: resource, scope, scope's tail, tail.
        trace_id: 16 bytes.
        span_id: 8 bytes.
        name: the span's name.
        session_id: its session.
        reason: what the destination said.
        at_ns: when.
        shown: the destination in words: its journal, which says so too, may be gone.
        salt: as in the journal's head.
        credentials: as in the journal's head: only who has them sends it again.
    """

    at_ns: int
    entry: bytes = b""
    envelope: tuple[bytes, ...] = ()
    trace_id: bytes = b""
    span_id: bytes = b""
    name: str = ""
    session_id: str = ""
    reason: str = ""
    shown: str = ""
    salt: bytes = b""
    credentials: bytes = b""


_decoder = msgspec.json.Decoder(DeadLetter | None)


class DeadLetters:
    """Dead letters are kept in one file of a process's folder.

    Args:
        folder: the process's folder.
        name: the file's name, another where letters are to be sent again.
    """

    def __init__(self, folder: Path, name: str = DEAD_LETTERS) -> None:
        self.path = folder / name

    def append(self, letter: DeadLetter) -> bool:
        """Keeps a letter; False where the disk does not take it, or there are too many: the span is lost then."""
        letter = msgspec.structs.replace(
            letter, reason=_text(letter.reason), session_id=_text(letter.session_id), name=_text(letter.name)
        )
        line = frame(msgspec.json.encode(letter))
        try:
            file = Descriptor(os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | FLAGS, 0o600))
            if os.fstat(file.number).st_size + len(line) > MAX_BYTES:
                return False
            return os.write(file.number, line) == len(line)
        except OSError:
            return False

    def read(self) -> list[DeadLetter]:
        """Returns all of them, oldest first."""
        return [letter for _, _, _, letter in self._letters(os.O_RDONLY)]

    def remove(self, chosen: Callable[[DeadLetter], bool]) -> int:
        """Removes some and returns how many. They are blanked in place: another process may be appending."""
        removed = 0
        for number, start, body, letter in self._letters(os.O_RDWR):
            if chosen(letter):
                os.pwrite(number, frame(_REMOVED.ljust(len(body))), start)
                removed += 1
        return removed

    def clear(self) -> None:
        """Removes the file if no letter is left in it. For whoever holds the folder's lock."""
        if not self.read():
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)

    def _letters(self, mode: int) -> Iterator[tuple[int, int, bytes, DeadLetter]]:
        try:
            file = Descriptor(os.open(self.path, mode | FLAGS))
        except OSError:
            return
        reader = LineReader(file.number, 0)
        while (found := reader.read(_READ_BYTES, closed=True)).moved:
            for start, _, body in found.lines:
                with contextlib.suppress(msgspec.MsgspecError):
                    letter = _decoder.decode(body)
                    if letter is not None:
                        yield file.number, start, body, letter


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
