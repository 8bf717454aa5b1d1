"""A fact comes back from its line as it was; what JSON cannot carry is mended, and never raises."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from otel_phi.delivery.journal.facts import (
    Called,
    Carried,
    Destination,
    End,
    Fact,
    Head,
    LookedUp,
    Position,
    Purge,
    Purged,
    RootClaimed,
    Snapshot,
    Unreadable,
    decode_fact,
    encode_event,
    encode_fact,
)
from otel_phi.wire.events import AgentEvent, AgentStart, GenericEvent, MessageEnd, ProgressMessage, TurnStart
from otel_phi.wire.messages import AssistantMessage
from otel_phi.wire.parts import ConfigSnapshot
from otel_phi.wire.times import Instant
from tests import golden
from tests.streams import at, events, start

texts = st.text(st.characters(exclude_categories=()))  # lone surrogates too

OWN: list[Fact] = [
    Head(
        destination=Destination("localhost-1", "http://localhost"),
        version="1",
        resource=Raw(b'{"service.name":"x"}'),
        sample=0.25,
        exporters=("otlp", "console"),
        salt=b"\0\xff",
        credentials=b"\1",
    ),
    Snapshot(state=bytes(range(256))),
    Carried(lines=(Raw(b'{"type":"TurnStart","loop_id":"l"}'), Raw(b"{}"))),
    Called(event=start(0), caller="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    LookedUp(at=Position(3, -4), loop_id="l", session_id="s", started_ns=2**63 - 1),
    LookedUp(at=Position(1, 2), loop_id="l"),
    RootClaimed(at=Position(1, 2), session="s", won=True),
    End(reason="shutdown"),
    Purge(session="s"),
    Purge(),
    Purged(),
]


def comparable(value: Any) -> Any:
    """Returns what two facts must agree in: a Raw has no equality of its own."""
    match value:
        case Raw():
            return bytes(value)
        case msgspec.Struct():
            return type(value), *(comparable(getattr(value, name)) for name in value.__struct_fields__)
        case tuple():
            return tuple(map(comparable, value))
        case dict():
            return {key: comparable(inner) for key, inner in value.items()}
        case _:
            return value


def is_json(raw: bytes) -> bool:
    try:
        msgspec.json.decode(raw, type=Raw)
    except msgspec.DecodeError:
        return False
    return True


def with_sound_raws(value: Any) -> Any:
    """Returns `comparable`, a Raw that is no JSON as null."""
    found = comparable(value)

    def mend(part: Any) -> Any:
        if isinstance(part, bytes):
            return part if is_json(part) else b"null"
        return tuple(map(mend, part)) if isinstance(part, tuple) else part

    return mend(found)


@given(events)
def test_an_event_comes_back_as_it_was(event: AgentEvent) -> None:
    assert comparable(decode_fact(encode_event(event))) == with_sound_raws(event)


@golden.needed
def test_every_golden_event_comes_back_as_it_was() -> None:
    for stream in golden.small_streams().values():
        for event in stream:
            assert comparable(decode_fact(encode_event(event))) == comparable(event)


@pytest.mark.parametrize("fact", OWN, ids=lambda fact: type(fact).__name__)
def test_a_fact_of_the_journal_s_own_comes_back_as_it_was(fact: Fact) -> None:
    assert comparable(decode_fact(encode_fact(fact))) == comparable(fact)


@given(texts, texts, texts)
def test_wild_text_never_raises_and_costs_its_lone_surrogates_alone(session: str, loop: str, model: str) -> None:
    event = AgentStart(
        session_id=session, loop_id=loop, timestamp=at(0), config_snapshot=ConfigSnapshot(model=model, temperature=0.5)
    )
    found = decode_fact(encode_event(event, caller=model))
    assert isinstance(found, Called)
    assert isinstance(found.event, AgentStart)
    assert found.event.config_snapshot is not None
    kept = (found.event.session_id, found.event.loop_id, found.event.config_snapshot.model, found.caller)
    assert kept == tuple(mended(text) for text in (session, loop, model, model))
    assert found.event.timestamp == at(0)


def mended(text: str) -> str:
    return "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in text)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_null(number: float) -> None:
    event = start(0, config_snapshot=ConfigSnapshot(model="\ud800", temperature=number))
    found = decode_fact(encode_event(event))
    assert isinstance(found, AgentStart)
    assert found.config_snapshot == ConfigSnapshot(model="\ufffd", temperature=None)


def test_subclasses_of_text_and_numbers_are_what_they_hold() -> None:
    class Word(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "not this"

    event = TurnStart(loop_id=Word("loop"), turn_index=Instant(2**70), timestamp=at(1), triggered_by=Word("User"))
    assert decode_fact(encode_event(event)) == TurnStart(
        loop_id="loop", turn_index=2**70, timestamp=at(1), triggered_by="User"
    )


def test_what_no_json_can_hold_costs_its_own_field() -> None:
    event = ProgressMessage(loop_id="l", text=object())  # type: ignore[arg-type]
    assert isinstance(decode_fact(encode_event(event)), Unreadable), "a reader is strict about types"
    deep = Raw(b"[" * 100_000 + b"]" * 100_000)
    found = decode_fact(encode_event(start(0, metadata=deep)))
    assert isinstance(found, AgentStart)
    assert bytes(found.metadata) == b"null"


def test_a_message_end_that_is_generic_stays_so() -> None:
    raw = Raw(b'{"type":"MessageEnd","loop_id":"l","message":{"role":"newer"}}')
    event = GenericEvent(type="MessageEnd", loop_id="l", timestamp=at(3), raw=raw)
    assert comparable(decode_fact(encode_event(event))) == comparable(event)
    assert comparable(decode_fact(encode_fact(event))) == comparable(event)


def test_defaults_are_left_out_and_times_are_numbers() -> None:
    assert (
        encode_event(TurnStart(loop_id="l", timestamp=Instant(5)))
        == b'{"type":"TurnStart","loop_id":"l","timestamp":5}'
    )
    assert encode_event(MessageEnd(loop_id="l", message=AssistantMessage(model="m"))) == (
        b'{"type":"MessageEnd","loop_id":"l","message":{"role":"assistant","model":"m"}}'
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{}", "Object missing required field `type`"),
        (b'{"type":"Secret words"}', "not a fact"),
        (b'{"type":"TurnStart","loop_id":7}', "Expected `str`, got `int` - at `$.loop_id`"),
        (b'{"type":"TurnStart","loop_id":"l","timestamp":"2026"}', "not a fact"),
        (b'{"type":"TurnStart","loop_id":"\xff"}', "not UTF-8"),
        (b'{"type":"AgentStart","session_id":"s","loop_id":"l","timestamp":true}', "not a fact"),
    ],
)
def test_a_line_that_is_no_fact_says_why_and_never_what(line: bytes, reason: str) -> None:
    found = decode_fact(line)
    assert isinstance(found, Unreadable)
    assert found.reason == reason


def test_what_could_not_be_read_is_not_written() -> None:
    with pytest.raises(TypeError):
        encode_fact(Unreadable("why"))
