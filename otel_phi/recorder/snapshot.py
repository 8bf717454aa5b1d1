"""A recorder core as bytes, and back: what a journal's segment begins with, and what a killed process goes on from.

    {"format":1,"ahead":false,"counts":{...},"sessions":2,...}   the head: what follows, in numbers
    {"sessions":["...", ...]}        sessions remembered, the one forgotten next first; as many lines as needed
    {"remembered":[[...], ...]}      loops remembered, in the same order; as many lines as needed
    {"compacted":[[...], ...]}       loops whose context was compacted, in the same order; as many lines as needed
    {"side_calls":[[...], ...]}      side calls remembered, in the same order; as many lines as needed
    {"tools":[[...], ...]}           tool executions of closed turns remembered, in the same order; as many lines as needed
    {"loop":{...}}                   an open loop a line, the longest open first
    {"group":{...}}                  an open group a line, the oldest first

Rule 1: whatever comes after the cut, the core made of the state says what the one that wrote it would have said.
Rule 2: equal states are equal bytes, and what is read and written again is the same.
Rule 3: writing and reading go in slices: joined they are the whole, and between them other threads have their turn.
Rule 4: a state of another format, or a damaged one, is refused: never half a core.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

import msgspec

from otel_phi.recorder.groups import OpenGroups
from otel_phi.recorder.identities import LoopIdentity, ToolPlace
from otel_phi.recorder.loop_states import group_state, loop_state, open_group, open_loop
from otel_phi.recorder.loops import OpenLoop
from otel_phi.recorder.references import References, session_key
from otel_phi.recorder.states import FORMAT, Head, Line, Remembered, decode_head, decode_line, encode
from otel_phi.recorder.tool_places import ToolPlaces

# About a millisecond of writing, less than two of reading: 16 kB are 150 remembered loops or 20 open ones [measured].
# A line is never divided: a loop in the midst of thousands of tools costs what its turn's end costs.
PART_BYTES = 16_384
_CHUNK = 128  # remembered sessions and loops a line: at most half a part
# What reading bytes that are no state leads to; a UnicodeDecodeError is a ValueError.
_DAMAGE = (msgspec.MsgspecError, ValueError, RecursionError)

T = TypeVar("T")


class OpenWork(NamedTuple):
    """Says how much is open: loops, turns (at most one a loop), parallel groups."""

    loops: int
    turns: int
    groups: int


class Contents(NamedTuple):
    """Names what a core consists of, as it stands: `parts` reads it, `fill` fills it.

    Attributes:
        ahead: whether the core's source reads ahead.
        counts: `RecorderCore.counts`.
        sessions: `session_key` of those remembered to the spelling they were first seen in.
        references: the loops remembered.
        side_calls: `session_key` and id of the side calls remembered.
        tools: the tool executions of closed turns remembered.
        loops: open loops by id.
        groups: open groups.
    """

    ahead: bool
    counts: Counter[str]
    sessions: OrderedDict[str, str]
    references: References
    side_calls: OrderedDict[tuple[str, str], None]
    tools: ToolPlaces
    loops: OrderedDict[str, OpenLoop]
    groups: OpenGroups

    def work(self) -> OpenWork:
        """Returns how much is open."""
        turns = sum([loop.turn is not None for loop in self.loops.values()])
        return OpenWork(len(self.loops), turns, len(self.groups))


# --- writing -----------------------------------------------------------------------------------------------------------


def parts(core: Contents) -> Iterator[bytes]:
    """Yields a core's state in parts of about `PART_BYTES`; the core must not be fed before the last."""
    part: list[bytes] = []
    size = 0
    for line in _written(core):
        part.append(line + b"\n")
        size += len(line)
        if size >= PART_BYTES:
            yield b"".join(part)
            part, size = [], 0
    if part:
        yield b"".join(part)


def _written(core: Contents) -> Iterator[bytes]:
    yield encode(_head(core))
    numbers: dict[str, int] = {}
    for sessions in _chunks(core.sessions.values()):
        numbers.update({session: number for number, session in enumerate(sessions, len(numbers))})
        yield encode(Line(sessions=sessions))
    for loops in _chunks(core.references.all()):
        # Plain tuples: a `Remembered` would write the caller that is not there.
        yield encode({"remembered": [_remembered(loop, numbers) for loop in loops]})
    for loops in _chunks(core.references.all_compacted()):
        yield encode({"compacted": [_remembered(loop, numbers) for loop in loops]})
    keys = {session_key(session): number for session, number in numbers.items()} if core.side_calls else {}
    for calls in _chunks(core.side_calls):
        yield encode({"side_calls": [(call, keys.get(session, session)) for session, call in calls]})
    for tools in _chunks(core.tools.all()):
        yield encode({"tools": [(_remembered(one.loop, numbers), *msgspec.structs.astuple(one)[1:]) for one in tools]})
    for loop in core.loops.values():
        yield encode(Line(loop=loop_state(loop)))
    for group in core.groups.all():
        yield encode(Line(group=group_state(group, core.groups.held(group))))


def _head(core: Contents) -> Head:
    work = core.work()
    return Head(
        format=FORMAT,
        ahead=core.ahead,
        counts={reason: count for reason, count in sorted(core.counts.items()) if count},
        sessions=len(core.sessions),
        remembered=core.references.occurrences,
        side_calls=len(core.side_calls),
        loops=work.loops,
        turns=work.turns,
        groups=work.groups,
        tools=len(core.tools),
    )


def _chunks(items: Iterable[T]) -> Iterator[tuple[T, ...]]:
    rest = iter(items)
    while chunk := tuple(islice(rest, _CHUNK)):
        yield chunk


def _remembered(loop: LoopIdentity, numbers: dict[str, int]) -> tuple[str | int, ...]:
    session, loop_id = loop.session_id, loop.loop_id
    short = f"~{loop_id[len(session) :]}" if loop_id.startswith(session) else f"={loop_id}"
    written = (short, numbers.get(session, session), loop.started_ns)
    return written if loop.caller is None else (*written, loop.caller)


# --- reading -----------------------------------------------------------------------------------------------------------


def fill(core: Contents, state: bytes) -> Iterator[None]:
    """Fills a new core from a state, in slices; it is whole when the iterator ends.

    Raises:
        ValueError: the state is of another format, of a core of the other kind, or damaged.
    """
    head = head_of(state)
    if head.ahead != core.ahead:
        raise ValueError(
            "the recorder's state is of a source that reads ahead: restore it with what that source knows (`ahead`)"
            if head.ahead
            else "the recorder's state is of a source that does not read ahead: restore it without `ahead`"
        )
    core.counts.update(head.counts)
    read = Counter[str]()
    spellings: list[str] = []
    size = 0
    for number, line in enumerate(_lines_of(state), 2):
        try:
            _take(decode_line(line), core, spellings, read)
        except _DAMAGE as error:
            raise ValueError(f"the recorder's state is damaged in line {number}: {error}") from None
        size += len(line)
        if size >= PART_BYTES:
            yield
            size = 0
    expected = {
        name: getattr(head, name) for name in ("sessions", "remembered", "side_calls", "tools", "loops", "groups")
    }
    if read != Counter(expected):
        raise ValueError(f"the recorder's state is damaged: it says {expected} and holds {dict(read)}")
    yield


def head_of(state: bytes) -> Head:
    """Returns the head of a state.

    Raises:
        ValueError: it is of another format, or no state at all.
    """
    line = state[: max(state.find(b"\n"), 0)]
    try:
        found = msgspec.json.decode(line, type=_Format).format
        if found == FORMAT:
            return decode_head(line)
    except _DAMAGE as error:
        raise ValueError(f"no state of a recorder: {error}") from None
    raise ValueError(
        f"the recorder's state has format {found} and this version of otel-phi reads {FORMAT}:"
        " the version that wrote it reads it"
    )


class _Format(msgspec.Struct):
    format: int


def _lines_of(state: bytes) -> Iterator[bytes]:
    """Yields the lines behind the head; one that was cut off is not among them."""
    at = state.find(b"\n") + 1
    while (end := state.find(b"\n", at)) >= 0:
        yield state[at:end]
        at = end + 1


def _take(line: Line, core: Contents, spellings: list[str], read: Counter[str]) -> None:
    for session in line.sessions:
        core.sessions[session_key(session)] = session
    spellings += line.sessions
    for loop in line.remembered:
        core.references.remember(_identity(loop, spellings))
    for loop in line.compacted:
        core.references.note_compacted(_identity(loop, spellings))
    for call in line.side_calls:
        core.side_calls[session_key(_session(call.session, spellings)), call.id] = None
    for tool in line.tools:
        loop_of = _identity(tool.loop, spellings)
        core.tools.put(ToolPlace(loop_of, tool.turn_index, tool.turn_repeat, tool.call_id, tool.repeat))
    if line.loop is not None:
        core.loops[line.loop.start.identity.loop_id] = open_loop(line.loop, core.references)
    if line.group is not None:
        core.groups.put(open_group(line.group), line.group.held)
    read["sessions"] += len(line.sessions)
    read["remembered"] += len(line.remembered)
    read["side_calls"] += len(line.side_calls)
    read["tools"] += len(line.tools)
    read["loops"] += line.loop is not None
    read["groups"] += line.group is not None


def _session(written: int | str, spellings: Sequence[str]) -> str:
    if isinstance(written, str):
        return written
    if not 0 <= written < len(spellings):
        raise ValueError(f"it names session {written} of {len(spellings)}")
    return spellings[written]


def _identity(loop: Remembered, spellings: Sequence[str]) -> LoopIdentity:
    session = _session(loop.session, spellings)
    tail = loop.loop_id[1:]
    loop_id = session + tail if loop.loop_id.startswith("~") else tail
    return LoopIdentity(session, loop_id, loop.started_ns, loop.caller)


# --- what others ask of a state ------------------------------------------------------------------------------------------


class _BriefIdentity(msgspec.Struct):
    session_id: str
    loop_id: str


class _BriefStart(msgspec.Struct):
    identity: _BriefIdentity


class _BriefLoop(msgspec.Struct):
    start: _BriefStart


class _Brief(msgspec.Struct):
    loop: _BriefLoop


_briefs = msgspec.json.Decoder(_Brief)


def sessions_of(state: bytes) -> dict[str, str]:
    """Returns the session of each loop that is open in a state, by loop id.

    Raises:
        ValueError: as `fill`.
    """
    head_of(state)
    found: dict[str, str] = {}
    for line in _lines_of(state):
        if line.startswith(b'{"loop":'):
            try:
                identity = _briefs.decode(line).loop.start.identity
            except _DAMAGE as error:
                raise ValueError(f"the recorder's state is damaged: {error}") from None
            found[identity.loop_id] = identity.session_id
    return found
