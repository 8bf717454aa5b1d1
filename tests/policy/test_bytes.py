"""Spans of events that may be said are the same bytes as of whole ones, but for texts that were never a word."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_phi.events import AgentEvent, Undecodable, decode_event, encode_event
from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Attributes, AttributeValue, Span
from otel_phi.pipeline import spans
from otel_phi.policy.content import decode_without_content, without_content
from otel_phi.policy.words import OTHER
from tests import golden
from tests.laws import as_bytes
from tests.policy.whole import OPTIONS, spans_without_policy, through_json, with_words
from tests.streams import OWN_CASES, SMALL_CASES, Mutilated, mutilated, wild_streams

STREAMS = {**golden.small_streams(), **SMALL_CASES, **OWN_CASES}


def ways(events: Iterable[AgentEvent]) -> list[list[AgentEvent]]:
    """Returns the events as they may be said: as they are, written and read again, and decoded straight from phi-core's line."""
    given_ = list(events)
    lean = [without_content(event) for event in given_]
    lines = [encode_event(event) for event in given_]
    straight = [found for line in lines if not isinstance(found := decode_without_content(line), Undecodable)]
    return [lean, [through_json(event) for event in lean], straight]


def assert_the_same(events: list[AgentEvent]) -> None:
    whole, forms = [with_words(event) for event in events], ways(events)
    for options in OPTIONS:
        said = as_bytes(spans_without_policy(whole, options))
        for form in forms:
            assert as_bytes(spans_without_policy(form, options)) == said
        assert as_bytes(spans(events, options)) == said


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_stream_gives_the_same_bytes(name: str) -> None:
    if name == "own context":  # a GenericEvent made by hand has no line
        for options in OPTIONS:
            assert as_bytes(spans(STREAMS[name], options)) == as_bytes(spans_without_policy(STREAMS[name], options))
        return
    assert_the_same(STREAMS[name])


@golden.needed
def test_event_logs_give_the_same_bytes() -> None:
    for path in sorted((golden.FOLDER / "eventlog" / "logs").glob("*.jsonl")):
        lines = [line.split(b'"event":', 1)[1][:-1] for line in path.read_bytes().splitlines() if b'"event":' in line]
        assert_the_same(golden.lines_to_events(b"\n".join(lines)))


@golden.needed
@pytest.mark.parametrize("name", ["recorder_cases", "recorder_wild"])
def test_random_streams_give_the_same_bytes(name: str) -> None:
    for _, events in golden.random_streams(name):
        assert_the_same(events)


# --- wild streams: their texts need be no words -----------------------------------------------------------------------------

_WORD = re.compile(r"[A-Za-z0-9_.:/@+-]{1,64}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_.:/@+-]{1,128}", re.ASCII)
_TRIGGERS = {"user", "sub_agent", "continuation", "branch"}
_CATEGORIES = {"failure", "tangent", "completion", "step-summary"}
_NAMES = {s.REQUEST_MODEL, s.RESPONSE_MODEL, s.TOOL_NAME, s.AGENT_NAME}
_WORDS = {s.PROVIDER, s.STOP_REASON, s.MODEL_API, s.EVENT_TYPE, s.LOOP_KIND, s.LOOP_TAG, s.LINK_TAG, s.SERVER_ADDRESS}


def _is_word(key: str, value: AttributeValue | None) -> bool:
    """Says whether a value is one that had to stay."""
    text = value[0] if isinstance(value, tuple) and value else value
    if not isinstance(text, str):
        return True
    if key in (s.TURN_TRIGGER, s.REVERT_CATEGORY):
        return text in (_TRIGGERS if key == s.TURN_TRIGGER else _CATEGORIES)
    if key in _NAMES:
        return _NAME.fullmatch(text) is not None
    return key not in {*_WORDS, s.FINISH_REASONS} or _WORD.fullmatch(text) is not None


def differences(whole: Attributes, lean: Attributes) -> list[str]:
    """Returns where two tables differ, but for texts that were never a word and are `_other` now, or equal to another one."""
    said, kept = dict(whole), dict(lean)
    return [
        f"{key}: {said.get(key)!r}, {kept.get(key)!r}"
        for key in {**said, **kept}
        if said.get(key) != kept.get(key)
        and (kept.get(key) not in (None, OTHER, (OTHER,)) or _is_word(key, said.get(key)) or key not in said)
    ]


def _title_fits(whole: Span, lean: Span) -> bool:
    if whole.name == lean.name:
        return True
    subject = whole.get(s.TOOL_NAME) or whole.get(s.REQUEST_MODEL)  # the name of the span has its first 128 characters
    operation = whole.name.partition(" ")[0]
    return lean.name == f"{operation} {OTHER}" and not _NAME.fullmatch(str(subject))


def _rest(span: Span) -> tuple[object, ...]:
    return (
        (span.trace_id, span.span_id, span.parent_span_id, span.kind, span.start_ns, span.end_ns),
        (span.status, span.status_message, span.dropped_events_count),
        [(event.name, event.time_ns) for event in span.events],
        [(link.trace_id, link.span_id) for link in span.links],
    )


def assert_the_same_but_for_what_was_no_word(events: list[AgentEvent], options: MappingOptions) -> None:
    whole = list(spans_without_policy([with_words(event) for event in events], options))
    lean = [without_content(event) for event in events]
    for form in (lean, [through_json(event) for event in lean]):
        found = list(spans_without_policy(form, options))
        assert len(found) == len(whole)
        for one, other in zip(whole, found, strict=True):
            assert _rest(one) == _rest(other)
            assert _title_fits(one, other), (one.name, other.name)
            pairs = [(one.attributes, other.attributes)]
            pairs += [(a.attributes, b.attributes) for a, b in zip(one.events, other.events, strict=True)]
            pairs += [(a.attributes, b.attributes) for a, b in zip(one.links, other.links, strict=True)]
            assert [found for said, kept in pairs for found in differences(said, kept)] == []


@given(events=wild_streams, options=st.sampled_from(OPTIONS))
def test_any_stream_gives_the_same_spans_but_for_texts_that_were_no_words(
    events: list[AgentEvent], options: MappingOptions
) -> None:
    assert_the_same_but_for_what_was_no_word(events, options)


@given(recipe=mutilated(STREAMS), options=st.sampled_from(OPTIONS))
def test_a_mutilated_stream_gives_the_same_spans(recipe: Mutilated, options: MappingOptions) -> None:
    assert_the_same_but_for_what_was_no_word(recipe.of(STREAMS), options)


# --- decoding straight into what may be said ---------------------------------------------------------------------------------


@given(events=wild_streams)
def test_decoding_without_content_is_decoding_and_taking_out(events: list[AgentEvent]) -> None:
    for event in events:
        try:
            line = encode_event(event)
        except ValueError:
            continue  # a time beyond the year 9999
        found = decode_event(line)
        assert decode_without_content(line) == (found if isinstance(found, Undecodable) else without_content(found))
