"""The state of a recorder core as values that JSON carries: the lines of a snapshot, of which `snapshot` says the order.

Rule 1: what can be derived is not written: which tools wait for their end, how a group's branches stand, keys of tables.
Rule 2: a value of the notices stands as it is, unless it would be written twice (the loop of a turn).
Rule 3: `Raw` JSON is written as a text, `Instant`s as integers: both come back as they were.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from otel_phi.recorder.contents import ContentsState
from otel_phi.recorder.identities import LoopIdentity
from otel_phi.recorder.notices import Answer, Chat, ChatContent, Given, LoopStart, Request, SessionOpened, Tool
from otel_phi.wire.costs import Cost
from otel_phi.wire.events import (
    CompactionEnded,
    CompactionStarted,
    GenericEvent,
    InputRejected,
    ParallelLoopEnd,
    ParallelLoopStart,
    PrunApplied,
    RevertApplied,
)
from otel_phi.wire.messages import NO_USAGE, NULL, ToolResultMessage, Usage
from otel_phi.wire.times import Instant
from otel_phi.wire.usage import TokenCount

# Another number is another layout. It changes with any field below that an older version would misread.
FORMAT = 1


# What is as its default is not written. msgspec knows a default by its identity: values that are merely equal are made the
# default itself where a state is built (`loop_states`), else equal states would not be equal bytes.
class _State(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    pass


class Head(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A head is the first line: what follows it, in numbers.

    Attributes:
        format: `FORMAT` of the version that wrote it.
        ahead: whether the core belongs to a source that reads ahead; what that knows is not in the state.
        counts: `RecorderCore.counts`, without zeros.
        sessions: how many sessions are remembered.
        remembered: how many occurrences of loops are remembered.
        side_calls: how many side calls are remembered.
        loops: how many loops are open.
        turns: how many of these have an open turn.
        groups: how many parallel groups are open.
        tools: how many tool executions of closed turns are remembered; not written where none is.
    """

    format: int
    ahead: bool
    counts: dict[str, int]
    sessions: int
    remembered: int
    side_calls: int
    loops: int
    turns: int
    groups: int
    tools: int = 0


class Remembered(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A remembered loop is one occurrence of a loop that references can mean.

    Attributes:
        loop_id: `~` and what follows the session id in it, for an id that begins with that; else `=` and the id.
        session: the number of its session among those remembered, else the session id itself.
        started_ns: as in `LoopIdentity`.
        caller: as in `LoopIdentity`; not written where there is none.
    """

    loop_id: str
    session: int | str
    started_ns: int
    caller: str | None = None


class RememberedCall(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A remembered call is a side call that is not to be recorded again: its id, and its session as in `Remembered`."""

    id: str
    session: int | str


class RememberedTool(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A remembered tool is a `ToolPlace` of a closed turn: its loop, then the place within it."""

    loop: Remembered
    turn_index: int
    turn_repeat: int
    call_id: str
    repeat: int


class Happened(_State, frozen=True, gc=False):
    """A happening is a `Timed`: one of prun, revert or refusal, a compaction, or an event of an unknown type."""

    time_ns: int
    event: PrunApplied | RevertApplied | InputRejected | None = None
    started: CompactionStarted | None = None
    ended: CompactionEnded | None = None
    unknown: GenericEvent | None = None


class HappeningsState(_State, frozen=True, gc=False):
    """A state of happenings is a `Happenings`; `compaction_ns` and `compaction` are of one that has begun."""

    items: tuple[Happened, ...] = ()
    dropped: int = 0
    compaction_ns: int | None = None
    compaction: CompactionStarted | None = None


NOTHING_HAPPENED = HappeningsState()


class ToolState(_State, frozen=True, gc=False):
    """A tool state is an `OpenTool`."""

    call_id: str
    name: str
    started_ns: int
    inferred: bool = False
    ended: bool = False
    is_error: bool = False
    error_type: str | None = None
    child_loop_id: str | None = None
    child_session_id: str | None = None
    ended_ns: int | None = None
    timed: bool = False
    detached: bool = False
    arguments: str | None = None
    result: str | None = None


class TurnState(_State, frozen=True, gc=False):
    """A turn state is an `OpenTurn`."""

    index: int
    started_ns: int
    repeat: int = 0
    source_ns: int | None = None
    triggered_by: str | None = None
    request: Request | None = None
    request_ns: int | None = None
    request_timed: bool = False
    answer: Answer | None = None
    answer_ns: int | None = None
    mark_ns: int | None = None
    compacted: bool = False
    compacted_ns: int | None = None
    compacted_before_call: bool = False
    message_count: int = 0
    dropped_tools: int = 0
    happenings: HappeningsState = NOTHING_HAPPENED
    tools: tuple[ToolState, ...] = ()
    results: tuple[ToolResultMessage, ...] = ()
    captured: bool = False
    asked: ChatContent | None = None
    said: str | None = None
    inputs: tuple[str, ...] = ()


class LastTurn(_State, frozen=True, gc=False):
    """A last turn is the `TurnClosed` that says how an open loop went so far, without its loop."""

    index: int
    started_ns: int
    ended_ns: int
    repeat: int = 0
    triggered_by: str | None = None
    aborted: bool = False
    inferred: bool = False
    chat: Chat | None = None
    tools: tuple[Tool, ...] = ()
    happened: tuple[Happened, ...] = ()
    dropped: int = 0
    message_count: int = 0


class Indexes(_State, frozen=True, gc=False):
    """A state of indexes is a `ClosedIndexes`; `sparse` is in order."""

    floor: int = 0
    repeats: int = 0
    sparse: tuple[int, ...] = ()


NONE_CLOSED = Indexes()
NO_TOKENS = TokenCount()


class LoopState(_State, frozen=True, gc=False):
    """A loop state is an `OpenLoop`."""

    start: LoopStart
    last_ns: int
    turns_end_ns: int
    children_end_ns: int | None = None
    closed: Indexes = NONE_CLOSED
    turn: TurnState | None = None
    last_turn: LastTurn | None = None
    happenings: HappeningsState = NOTHING_HAPPENED
    turn_count: int = 0
    tool_count: int = 0
    usage: Usage = NO_USAGE
    tokens: TokenCount = NO_TOKENS
    cost: Cost | None = None
    unpriced: bool = False
    input_refused: bool = False
    compacted: bool = False
    stop_limit: str | None = None
    contents: ContentsState | None = None
    session: SessionOpened | None = None


class Branch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A branch is a branch that has started; `ended_ns` is None for one that is open."""

    loop: LoopIdentity
    ended_ns: int | None


class GroupState(_State, frozen=True, gc=False):
    """A group state is an `OpenGroup`.

    Attributes:
        announced: its ParallelLoopStart.
        verdict: its ParallelLoopEnd, None while it is awaited.
        branches: those that have started, in that order.
        held: the announced ids that still mean this group, None for all: a later group with the same ids takes them.
        attributes: of its session, as its first branch was given them.
    """

    announced: ParallelLoopStart
    verdict: ParallelLoopEnd | None = None
    branches: tuple[Branch, ...] = ()
    held: tuple[str, ...] | None = None
    attributes: Given = ()


class Line(_State, frozen=True, gc=False):
    """A line is any line but the first; one field of it is given."""

    sessions: tuple[str, ...] = ()
    remembered: tuple[Remembered, ...] = ()
    compacted: tuple[Remembered, ...] = ()
    side_calls: tuple[RememberedCall, ...] = ()
    tools: tuple[RememberedTool, ...] = ()
    loop: LoopState | None = None
    group: GroupState | None = None


# --- to bytes and back -------------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """Returns a subclass's value as JSON's own kind: an `Instant`, and what an agent makes of `str` by hand."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float(value)
    raise NotImplementedError(type(value))


def _instant(kind: type[Any], value: Any) -> Any:
    if kind is not Instant:
        raise NotImplementedError(kind)
    if not isinstance(value, int):
        raise ValueError("not a time in nanoseconds")  # msgspec makes it a ValidationError
    return Instant(value)


_encoder = msgspec.json.Encoder(enc_hook=_plain)
_heads = msgspec.json.Decoder(Head)
_lines = msgspec.json.Decoder(Line, dec_hook=_instant)
_text = msgspec.json.Decoder(str)


def encode(value: Any) -> bytes:
    """Writes a line, without its newline; a lone surrogate, which no JSON carries, as U+FFFD."""
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        return _encoder.encode(_mended(value))


def decode_head(line: bytes) -> Head:
    """Reads the first line."""
    return _heads.decode(line)


def decode_line(line: bytes) -> Line:
    """Reads any other line; a key of a newer version says nothing."""
    try:
        return _lines.decode(line)
    except msgspec.ValidationError as error:
        from otel_phi.wire.spellings import decode_respelled  # what this version writes never needs it

        found: Line = decode_respelled(_lines, line, Line, error)
        return found


def _mended(value: Any) -> Any:
    """Returns a value without lone surrogates; what has none stays the same object, and a default a default."""
    if isinstance(value, str):
        mended = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value if mended == value else mended
    if isinstance(value, (tuple, list)) and value:
        return tuple([_mended(item) for item in value])
    if isinstance(value, dict):
        return {_mended(key): _mended(item) for key, item in value.items()}
    if isinstance(value, msgspec.Struct):
        items = {
            key: (old, _mended(old)) for key in value.__struct_fields__ if (old := getattr(value, key)) is not None
        }
        changes = {key: new for key, (old, new) in items.items() if new is not old}
        return msgspec.structs.replace(value, **changes) if changes else value
    return value


Sealed = TypeVar("Sealed", bound=msgspec.Struct)


def sealed(value: Sealed) -> Sealed:
    """Returns a value of the wire as it is written.

    Its `Raw` fields hold their JSON as a text: an agent's own need not be JSON at all. What equals a default is that default.
    """
    kind = type(value)
    optional = kind.__struct_fields__[len(kind.__struct_fields__) - len(kind.__struct_defaults__) :]
    defaults = dict(zip(optional, kind.__struct_defaults__, strict=True))
    same = {key: default for key, default in defaults.items() if getattr(value, key) == default}
    return _with_raws(msgspec.structs.replace(value, **same), _seal)


def unsealed(value: Sealed) -> Sealed:
    """Returns what was `sealed`."""
    return _with_raws(value, _unseal)


def _with_raws(value: Sealed, change: Any) -> Sealed:
    raws = {key: raw for key in value.__struct_fields__ if isinstance(raw := getattr(value, key), Raw)}
    return msgspec.structs.replace(value, **{key: change(bytes(raw)) for key, raw in raws.items()})


def _seal(raw: bytes) -> Raw:
    if raw == b"null":
        return NULL
    try:
        return Raw(_encoder.encode(raw.decode()))
    except UnicodeDecodeError:
        return NULL  # no JSON: it says nothing


def _unseal(raw: bytes) -> Raw:
    return NULL if raw == b"null" else Raw(_text.decode(raw).encode())
