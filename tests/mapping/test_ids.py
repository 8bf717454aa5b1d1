"""Ids: pure functions, never zero, never met by two different things."""

from __future__ import annotations

import itertools
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_phi.mapping import ids
from otel_phi.mapping.options import MappingOptions
from otel_phi.pipeline import Pipeline, spans
from otel_phi.recorder.identities import LoopIdentity
from tests.laws import role
from tests.streams import SESSION, whole_loop

NIL = "00000000-0000-0000-0000-000000000000"


@given(st.uuids())
def test_a_uuid_is_its_sessions_trace_id_in_any_case(value: uuid.UUID) -> None:
    for text in (str(value), str(value).upper()):
        assert ids.session_trace(text) == value.int
        assert ids.session_trace(text, "any namespace") == value.int
    assert f"{ids.session_trace(str(value)):032x}" == str(value).replace("-", "")


@pytest.mark.parametrize(
    "text", [NIL, SESSION.replace("-", ""), f"{{{SESSION}}}", f" {SESSION}", SESSION + "\n", "s", ""]
)
def test_anything_else_is_hashed_with_the_namespace_and_never_zero(text: str) -> None:
    plain, other = ids.session_trace(text), ids.session_trace(text, "other")
    assert 0 < plain < 2**128
    assert plain != other
    assert plain != int(SESSION.replace("-", ""), 16)


def test_ids_do_not_change_from_one_release_to_the_next() -> None:
    """The bytes a user has in a backend today must be those of tomorrow; change these only with a stated break."""
    loop = LoopIdentity("s", "s.c.1", 1_780_000_000_000_000_000)
    trace = ids.session_trace("s")
    span = ids.loop_span(trace, loop)
    turn = ids.turn_span(trace, span, 0, 0)
    found = [
        f"{trace:032x}",
        f"{ids.session_trace('s', 'here'):032x}",
        f"{ids.loop_trace(loop):032x}",
        f"{ids.session_root(trace):016x}",
        f"{span:016x}",
        f"{turn:016x}",
        f"{ids.chat_span(trace, turn):016x}",
        f"{ids.tool_span(trace, turn, 'call', 0):016x}",
        f"{ids.group_span(trace, ('a', 'b'), 5):016x}",
        f"{ids.group_trace('s', ('a', 'b'), 5):032x}",
    ]
    assert found == EXPECTED


EXPECTED = [
    "fedc8d8ab5b3ace3aa04e53f922e81ca",
    "ecd687d9ee4293af0348e913cf92af3e",
    "a72434a4ed2b1bb643385888bc17d84a",
    "6eaa4adb6c088c14",
    "115ce7bd0d7a9814",
    "41ac45ded700c31b",
    "fd3afed0f898d637",
    "2ec5b7d6e52ff0f3",
    "a85e8113b1b53bf9",
    "e6515cdff3373e82ea3471f11b1742e3",
]

_parts = st.lists(
    st.one_of(st.text(max_size=4), st.integers(0, 99), st.sampled_from(["1", "1:", ";", "1;1", "2:ab"])), max_size=4
)


@given(_parts, _parts)
def test_no_two_lists_of_parts_meet(one: list[str | int], other: list[str | int]) -> None:
    same = len(one) == len(other) and all(type(a) is type(b) and a == b for a, b in zip(one, other, strict=True))
    assert (ids._hash(16, *one) == ids._hash(16, *other)) is same


def test_texts_that_are_no_unicode_hash_too() -> None:
    assert ids.session_trace("\ud800") != ids.session_trace("\ud801")


def test_every_kind_of_span_hashes_its_trace_in() -> None:
    loop = LoopIdentity("s", "l", 1)
    makers = [
        ids.session_root,
        lambda trace: ids.loop_span(trace, loop),
        lambda trace: ids.group_span(trace, ("a",), 1),
        lambda trace: ids.turn_span(trace, 7, 0, 0),
        lambda trace: ids.chat_span(trace, 7),
        lambda trace: ids.tool_span(trace, 7, "c", 0),
    ]
    found = [maker(trace) for maker, trace in itertools.product(makers, (1, 2))]
    assert len(set(found)) == len(found)


# --- a caller's context ------------------------------------------------------------------------------------------------------

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"  00-{TRACE}-{SPAN}-00 ", True),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", True),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE}-{SPAN}", False),
        ("", False),
        (None, False),
    ],
)
def test_a_traceparent_is_read_as_w3c_says(text: str | None, known: bool) -> None:
    expected = ids.SpanRef(int(TRACE, 16), int(SPAN, 16)) if known else None
    assert ids.parse_traceparent(text) == expected


# --- sampling ----------------------------------------------------------------------------------------------------------------


def test_sampling_at_one_half_keeps_about_half_of_uuid_sessions() -> None:
    kept = sum(
        ids.sample_point(str(uuid.UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128, version=4))) < 0.5
        for number in range(4_000)
    )
    assert 1_850 < kept < 2_150


@given(st.text())
def test_a_session_falls_between_0_and_1(session: str) -> None:
    assert 0.0 <= ids.sample_point(session) < 1.0


def test_all_spellings_of_a_session_are_kept_or_left_together() -> None:
    assert ids.sample_point(SESSION) == ids.sample_point(SESSION.upper())


@pytest.mark.parametrize("scope", ["session", "loop"])
def test_sampling_keeps_or_leaves_a_session_whole_and_counts_what_it_left(scope: str) -> None:
    options = MappingOptions(trace_scope="session" if scope == "session" else "loop")
    road = Pipeline(options, sample=0.5)
    story = [event for number in range(40) for event in whole_loop(number, f"l{number}", session=f"session-{number}")]
    story += [
        event for number in range(40) for event in whole_loop(100 + number, f"m{number}", session=f"session-{number}")
    ]
    kept = [span for event in story for span in road.feed(event)] + road.finish()
    everything = list(spans(story, options))
    chosen = {span.get("session.id") for span in kept}
    assert 8 < len(chosen) < 32
    assert kept == [span for span in everything if span.get("session.id") in chosen]
    assert road.sampled_out == len(everything) - len(kept)


def test_a_sample_of_nothing_keeps_nothing() -> None:
    road = Pipeline(MappingOptions(), sample=0.0)
    assert [span for event in whole_loop(0) for span in road.feed(event)] == []
    assert road.sampled_out == len(list(spans(whole_loop(0))))
    assert {role(span) for span in spans(whole_loop(0))} == {"root", "loop", "turn", "chat"}
