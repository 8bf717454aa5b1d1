"""A saved session's JSON to a Session, whatever phi-core wrote it: 0.6.1 of March 2026 to 0.15.

Rule 1: what a version did not write yet has its default: `turns`, `scope`, `compaction_block`, `events` (gone since 0.14).
Rule 2: null stands for "not given", old spellings are renewed, unknown fields dropped, messages and events made canonical.
Rule 3: an event that cannot be read stays, as a `GenericEvent`. phi-core refuses the whole file.
Rule 4: what a session cannot be without raises `NotASession`, which names the place in the JSON.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from otel_phi.session.canonical import canonical_event, read_config, read_kind, read_payload, renewed_trigger
from otel_phi.session.canonical_mend import BROKEN, mend, within_64_bits
from otel_phi.session.canonical_messages import canonical_json, read_message, read_messages
from otel_phi.session.model import LoopRecord, Session, Turn
from otel_phi.session.parts import (
    ChildLoopRef,
    CompactedSection,
    CompactionBlock,
    Explicit,
    FirstLoop,
    InactivityTimeout,
    LoopEvent,
    LoopStatus,
    ParallelGroupRecord,
    SessionFormation,
    SessionScope,
    SpawnRef,
    TurnRange,
)
from otel_phi.wire.decode import Undecodable
from otel_phi.wire.events import AgentEvent, GenericEvent
from otel_phi.wire.messages import NULL, TurnId, Usage
from otel_phi.wire.times import Instant, parse_time

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")
_REQUIRED: Any = object()

_fields = msgspec.json.Decoder(dict[str, Raw])
_items = msgspec.json.Decoder(list[Raw])


class NotASession(ValueError):  # noqa: N818 -- says what was found, not that something went wrong
    """Says at which place in the JSON something is missing or wrong, and never quotes it.

    Attributes:
        cut_off: whether the JSON merely ends too early, as a file does that is still being written.
    """

    def __init__(self, place: str, found: str, *, cut_off: bool = False) -> None:
        super().__init__(f"{place}: {found}")
        self.cut_off = cut_off


def read_session(text: bytes) -> Session:
    """Reads one session.

    Args:
        text: the JSON of a saved session.

    Returns:
        The session; saved again, it is equal to what phi-core would load and save.

    Raises:
        NotASession: the JSON is no session; the message begins with the place, such as `$.loops[2].started_at`.
    """
    try:
        text = within_64_bits(text)
        _fields.decode(text)
    except msgspec.ValidationError:
        raise NotASession("$", "no JSON object") from None
    except BROKEN as error:
        reason = "not UTF-8" if isinstance(error, UnicodeError) else f"no JSON: {error}"
        raise NotASession("$", reason, cut_off=not isinstance(error, RecursionError)) from None
    return _session(_Object(text, "$"))


class _Object:
    """Reads the fields of one JSON object and knows its place."""

    def __init__(self, raw: bytes | Raw, place: str) -> None:
        self.raw, self.place = raw, place
        try:
            given = _fields.decode(raw)
        except msgspec.MsgspecError:
            raise NotASession(place, "no JSON object") from None
        self._given = {key: value for key, value in given.items() if value != NULL}

    def raw_of(self, key: str) -> Raw:
        """Returns a field's JSON, `NULL` where there is none."""
        return self._given.get(key, NULL)

    def get(self, key: str, kind: type[T], default: Any = _REQUIRED) -> T:
        """Returns a field's value, the default for null and for none."""
        if key not in self._given:
            if default is _REQUIRED:
                raise NotASession(f"{self.place}.{key}", "missing")
            return default  # type: ignore[no-any-return] # the caller's own
        try:
            return msgspec.json.decode(self._given[key], type=kind)
        except BROKEN as error:
            raise NotASession(f"{self.place}.{key}", str(error)) from None

    def time(self, key: str, default: Any = None) -> Any:
        """Returns a field's time, the default for null and for none."""
        text = self.get(key, str, default)
        try:
            return parse_time(text) if isinstance(text, str) else text
        except ValueError as error:
            raise NotASession(f"{self.place}.{key}", str(error)) from None

    def value(self, key: str, kind: type[S]) -> S | None:
        """Returns a field's object, field by field with defaults; None for null and for none."""
        if key not in self._given:
            return None
        found = mend(kind, self._given[key])
        if found is None:
            raise NotASession(f"{self.place}.{key}", "no JSON object")
        return found

    def object(self, key: str) -> _Object | None:
        """Returns a field's object to read on in; None for null and for none."""
        return _Object(self._given[key], f"{self.place}.{key}") if key in self._given else None

    def objects(self, key: str) -> list[_Object]:
        """Returns a field's objects; none for null and for none."""
        try:
            found = _items.decode(self.raw_of(key)) if key in self._given else []
        except BROKEN:
            raise NotASession(f"{self.place}.{key}", "no JSON list") from None
        return [_Object(raw, f"{self.place}.{key}[{number}]") for number, raw in enumerate(found)]


def _session(at: _Object) -> Session:
    created_at: Instant = at.time("created_at", _REQUIRED)
    return Session(
        session_id=at.get("session_id", str),
        agent_id=at.get("agent_id", str, ""),
        created_at=created_at,
        last_active_at=at.time("last_active_at", created_at),
        formation=_formation(at, created_at),
        parent_spawn_ref=at.value("parent_spawn_ref", SpawnRef),
        scope=at.get("scope", SessionScope, SessionScope.EPHEMERAL),
        loops=[_loop(one) for one in at.objects("loops")],
    )


def _formation(at: _Object, created_at: Instant) -> SessionFormation:
    outer = at.object("formation")
    if outer is None:
        return FirstLoop(timestamp=created_at)
    if (inner := outer.object("FirstLoop")) is not None:
        return FirstLoop(timestamp=inner.time("timestamp", created_at))
    if (inner := outer.object("Explicit")) is not None:
        return Explicit(timestamp=inner.time("timestamp", created_at))
    if (inner := outer.object("InactivityTimeout")) is not None:
        return InactivityTimeout(
            threshold_secs=inner.get("threshold_secs", int, 0),
            previous_session_id=inner.get("previous_session_id", str, None),
            timestamp=inner.time("timestamp", created_at),
        )
    raise NotASession(outer.place, "neither Explicit, FirstLoop nor InactivityTimeout")


def _loop(at: _Object) -> LoopRecord:
    return LoopRecord(
        loop_id=at.get("loop_id", str),
        session_id=at.get("session_id", str),
        agent_id=at.get("agent_id", str, ""),
        parent_loop_id=at.get("parent_loop_id", str, None),
        continuation_kind=read_kind(at.raw_of("continuation_kind")),
        started_at=at.time("started_at", _REQUIRED),
        ended_at=at.time("ended_at"),
        status=at.get("status", LoopStatus),
        rejection=at.get("rejection", str, None),
        config=read_config(at.raw_of("config")),
        messages=read_messages(at.raw_of("messages")),
        turns=[_turn(one) for one in at.objects("turns")],
        usage=at.value("usage", Usage) or Usage(),
        metadata=canonical_json(at.raw_of("metadata")),
        events=[
            LoopEvent(sequence=one.get("sequence", int, n), event=_event(one))
            for n, one in enumerate(at.objects("events"))
        ],
        children_loop_ids=at.get("children_loop_ids", list[str], []),
        child_loop_refs=[mend(ChildLoopRef, one.raw) or ChildLoopRef() for one in at.objects("child_loop_refs")],
        parallel_group=at.value("parallel_group", ParallelGroupRecord),
        compaction_block=_compaction_block(at.object("compaction_block")),
    )


def _turn(at: _Object) -> Turn:
    return Turn(
        turn_id=at.value("turn_id", TurnId) or TurnId(),
        triggered_by=renewed_trigger(at.get("triggered_by", str, None)),
        usage=at.value("usage", Usage) or Usage(),
        input_messages=read_messages(at.raw_of("input_messages")),
        output_message=None if at.raw_of("output_message") is NULL else read_message(at.raw_of("output_message")),
        tool_results=read_messages(at.raw_of("tool_results")),
        started_at=at.time("started_at"),
        ended_at=at.time("ended_at"),
        request_payload=read_payload(at.raw_of("request_payload")),
    )


def _event(at: _Object) -> AgentEvent:
    raw = at.raw_of("event")
    found = canonical_event(bytes(raw))
    if isinstance(found, Undecodable):
        found = GenericEvent(type="")
    return msgspec.structs.replace(found, raw=canonical_json(raw)) if isinstance(found, GenericEvent) else found


def _compaction_block(at: _Object | None) -> CompactionBlock | None:
    if at is None:
        return None
    return CompactionBlock(
        keep_first=at.value("keep_first", TurnRange),
        keep_recent=_section(at.object("keep_recent")),
        keep_compacted=_section(at.object("keep_compacted")),
        created_at=at.time("createdAt"),
    )


def _section(at: _Object | None) -> CompactedSection | None:
    if at is None:
        return None
    return CompactedSection(
        range=at.value("range", TurnRange) or TurnRange(), messages=read_messages(at.raw_of("messages"))
    )
