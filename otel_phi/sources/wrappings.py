r"""Lines as other tools hand them on: a container's log, the journal, RFC 7464. What they put around a line is taken off.

    agent-1  | {...}                                            docker compose logs
    [pod/agent-0/agent] {...}                                   kubectl logs --prefix
    2026-11-22T10:19:07.583Z {...}                              docker logs -t, kubectl logs --timestamps
    2026-11-22T10:19:07.583Z stdout F {...}                     a container runtime's file (CRI); P: to be continued
    Nov 22 10:19:07 host agent[7]: {...}                        journalctl, syslog
    {"log":"{...}\n","stream":"stdout","time":"..."}            Docker's file; without \n: to be continued
    {"MESSAGE":"{...}",...}                                     journalctl -o json
    <RS>{...}                                                   RFC 7464, json-seq

Rule 1: a line that is an event as phi-core writes it is never looked at here.
Rule 2: only what stands in this table is taken off; any other text before an event is no wrapping.
"""

from __future__ import annotations

import re

import msgspec

_TIME = rb"\d{4}-\d\d-\d\dT[\d:.,]+(?:Z|[+-]\d\d:?\d\d) "
_PREFIX = re.compile(
    rb"(?:[\w./-]{1,200} +\| )?(?:\[[^]{]{1,200}\] )?"
    rb"(?:" + _TIME + rb"(?:(?P<stream>stdout|stderr) (?P<tag>[FP])(?::\S{1,100})? )?)?"
    rb"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S{1,255} [^:{]{1,255}: )?"
)
_RECORD = b"\x1e"  # begins a record, RFC 7464
_EVENTS = (b'{"type":', b'{"ordinal":')
_KEYS = (b'"log"', b'"MESSAGE"')


class Line(msgspec.Struct, frozen=True):
    """A line without its wrapping.

    Attributes:
        content: what the process wrote.
        stream: the stream it wrote to, "" where that is not known; the pieces of a line are of one.
        more: whether the line goes on in the next one of that stream: runtimes cut at 16 KiB, the journal at 48.
    """

    content: bytes
    stream: str = ""
    more: bool = False


class _Wrapped(msgspec.Struct):
    log: str | None = None
    stream: str = ""
    message: str | list[int] | None = msgspec.field(name="MESSAGE", default=None)
    line_break: str = msgspec.field(name="_LINE_BREAK", default="")
    pid: str = msgspec.field(name="_PID", default="")


_wrapped = msgspec.json.Decoder(_Wrapped)


def unwrapped(data: bytes) -> Line:
    """Takes off what a tool put around a line; a line of no tool's comes back as it is."""
    data = data.strip().lstrip(_RECORD)
    if data.startswith(_EVENTS):
        return Line(data)
    if data.startswith(b"{"):
        return _of_object(data) if any(key in data for key in _KEYS) else Line(data)
    found = _PREFIX.match(data)
    if found is None or not found.end():
        return Line(data)
    content, tag = data[found.end() :], found["tag"]
    if tag is None and not content.startswith(b"{"):
        return Line(data)
    return Line(content, (found["stream"] or b"").decode(), more=tag == b"P")


def _of_object(data: bytes) -> Line:
    try:
        found = _wrapped.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return Line(data)
    if found.log is not None:
        return Line(_bytes(found.log), found.stream, more=not found.log.endswith("\n"))
    if found.message is None:
        return Line(data)
    more = found.line_break == "line-max"
    if isinstance(found.message, str):
        return Line(_bytes(found.message), found.pid, more)
    numbers = found.message  # the journal's way with what is no UTF-8
    return Line(bytes(numbers), found.pid, more) if all(0 <= number < 256 for number in numbers) else Line(data)


def _bytes(text: str) -> bytes:
    return text.rstrip("\n").encode("utf-8", "replace")


class Joiner:
    """Puts the pieces of cut lines together.

    Args:
        max_bytes: of a line; past it the pieces are dropped, and the rest of the line is no event.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pieces: dict[str, list[bytes]] = {}
        self._size = 0

    def joined(self, line: Line) -> bytes | None:
        """Returns a whole line; None where it goes on."""
        if not line.more and not self._pieces:
            return line.content
        pieces = self._pieces.setdefault(line.stream, [])
        pieces.append(line.content)
        self._size += len(line.content)
        if line.more and self._size <= self._max_bytes:
            return None
        del self._pieces[line.stream]
        self._size = sum(len(piece) for waiting in self._pieces.values() for piece in waiting)
        return b"".join(pieces)
