"""The laws of every trace, over golden, wild and mutilated streams, in both trace scopes and loop layouts."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import Literal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otel_phi.events import AgentEvent, ToolExecutionEnd, Undecodable, decode_event, encode_event
from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.pipeline import Pipeline, spans
from otel_phi.sources.lines import read_lines
from otel_phi.sources.reader import EventReader
from tests import golden
from tests.laws import Run, as_bytes
from tests.streams import (
    OWN_CASES,
    SMALL_CASES,
    Mutilated,
    end,
    mutilated,
    start,
    tool,
    tool_end,
    turn,
    whole_loop,
    wild_streams,
)

_SCOPES: tuple[Literal["session", "loop"], ...] = ("session", "loop")
_LAYOUTS: tuple[Literal["tree", "flat"], ...] = ("tree", "flat")
OPTIONS = [
    MappingOptions(trace_scope=scope, loop_layout=layout, tool_spans=tools)
    for scope in _SCOPES
    for layout in _LAYOUTS
    for tools in (True, False)
]
options = st.sampled_from(OPTIONS)
STREAMS = {**golden.small_streams(), **SMALL_CASES, **OWN_CASES}


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_stream_keeps_every_law(name: str) -> None:
    for mapping in OPTIONS:
        assert Run(STREAMS[name], mapping).broken() == []


@golden.needed
@pytest.mark.parametrize("name", ["recorder_cases", "recorder_wild"])
def test_200_random_streams_keep_every_law_in_both_scopes(name: str) -> None:
    broken = {}
    for case, events in golden.random_streams(name):
        for mapping in (OPTIONS[0], OPTIONS[-1]):
            found = Run(events, mapping).broken()
            if found:
                broken[case, mapping.trace_scope] = found
    assert broken == {}


@given(recipe=mutilated(STREAMS), mapping=options)
def test_a_mutilated_stream_keeps_every_law(recipe: Mutilated, mapping: MappingOptions) -> None:
    assert Run(recipe.of(STREAMS), mapping).broken() == []


@given(events=wild_streams, mapping=options)
def test_any_events_in_any_order_keep_every_law(events: list[AgentEvent], mapping: MappingOptions) -> None:
    assert Run(events, mapping).broken() == []


@given(prefix=wild_streams, recipe=mutilated(["demo"]), mapping=options)
def test_a_good_stream_after_a_wild_one_keeps_every_law(
    prefix: list[AgentEvent], recipe: Mutilated, mapping: MappingOptions
) -> None:
    assert Run([*prefix, *recipe.of(STREAMS)], mapping).broken() == []


@given(line=st.one_of(st.binary(), st.text()))
@example(b"\xff")
@example("\ud800")
@example(b'{"type":"AgentStart","type":1}')
def test_decoding_never_raises(line: bytes | str) -> None:
    decode_event(line)


_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)
_LINES = [msgspec.json.decode(encode_event(event)) for event in golden.demo()]


@given(line=st.sampled_from(_LINES), where=st.lists(st.integers(0, 99), min_size=1, max_size=4), value=_json)
def test_an_event_with_any_field_replaced_decodes_and_feeds_without_raising(
    line: dict[str, object], where: list[int], value: object
) -> None:
    changed = msgspec.json.decode(msgspec.json.encode(line))
    target = changed
    for number in where:
        key = list(target)[number % len(target)]
        if not isinstance(target[key], dict) or not target[key]:
            break
        target = target[key]
    target[key] = value
    event = decode_event(msgspec.json.encode(changed))
    if not isinstance(event, Undecodable):
        assert Run([*whole_loop(0), event, *golden.demo()[:9], event], OPTIONS[0]).broken() == []


@pytest.mark.parametrize("mapping", OPTIONS, ids=lambda found: f"{found.trace_scope}-{found.loop_layout}")
def test_the_same_events_give_the_same_bytes(mapping: MappingOptions) -> None:
    for events in STREAMS.values():
        assert as_bytes(spans(events, mapping)) == as_bytes(spans(events, mapping))


_DIGEST = """
import hashlib
from tests import golden
from tests.laws import as_bytes
from otel_phi import spans
digest = hashlib.sha256()
for events in golden.small_streams().values():
    digest.update(as_bytes(spans(events)))
print(digest.hexdigest())
"""


def test_no_hash_seed_environment_locale_or_time_zone_is_in_a_span() -> None:
    digests = set()
    for changed in (
        {"PYTHONHASHSEED": "1", "TZ": "UTC"},
        {
            "PYTHONHASHSEED": "2",
            "TZ": "Pacific/Auckland",
            "LC_ALL": "C",
            "OTEL_SERVICE_NAME": "other",
            "OTEL_RESOURCE_ATTRIBUTES": "a=b",
            "OTEL_PHI_PROFILE": "phoenix",
        },
    ):
        done = subprocess.run(
            [sys.executable, "-c", _DIGEST],
            env={**os.environ, **changed},
            cwd=golden.PROJECT,
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1


@pytest.mark.parametrize("name", STREAMS)
def test_every_tool_end_of_an_open_loop_is_one_event_and_one_span_by_name_and_call_id(name: str) -> None:
    run = Run(STREAMS[name], OPTIONS[0])
    ended = {"ok", "error", "detached"}
    told = sorted(
        (str(pairs[s.TOOL_NAME]), str(pairs[s.TOOL_CALL_ID]))
        for span in run.spans
        for pairs in (dict(event.attributes) for event in span.events if event.name == s.EVENT_TOOL)
        if pairs[s.TOOL_OUTCOME] in ended
    )
    shown = sorted(
        (str(span.get(s.TOOL_NAME)), str(span.get(s.TOOL_CALL_ID)))
        for span in run.spans
        if span.get(s.TOOL_OUTCOME) in ended
    )
    assert told == shown
    if run.counts["loop_not_open"] == 0:
        assert told == sorted(
            (event.tool_name, event.tool_call_id) for event in STREAMS[name] if isinstance(event, ToolExecutionEnd)
        )


def test_a_span_leaves_once_and_as_soon_as_it_is_complete() -> None:
    road = Pipeline(MappingOptions())
    left = {}
    story: list[AgentEvent] = [start(0), turn(1), tool(), tool_end(), end(9)]
    for number, event in enumerate(story):
        for span in road.feed(event):
            left[span.name] = number
    assert left == {"invoke_workflow phi.session": 0, "turn": 4, "execute_tool bash": 4, "invoke_agent": 4}
    assert road.finish() == []


@given(recipe=mutilated(STREAMS), sizes=st.lists(st.integers(1, 30), min_size=1, max_size=10))
def test_events_taken_in_blocks_of_any_size_give_the_same_bytes(recipe: Mutilated, sizes: list[int]) -> None:
    story = recipe.of(STREAMS)
    road, found, at = Pipeline(MappingOptions()), [], 0
    for number in range(len(story)):
        if at < len(story):
            size = sizes[number % len(sizes)]
            found += road.feed_block(story[at : at + size])
            at += size
    assert as_bytes([*found, *road.finish()]) == as_bytes(spans(story))
    assert road.events == len(story)


@given(recipe=mutilated(STREAMS), cuts=st.booleans())
def test_lines_left_out_undecoded_change_no_byte(recipe: Mutilated, cuts: bool) -> None:
    lines = [encode_event(event) for event in recipe.of(STREAMS)]
    if cuts:  # a process crashed here and there: half a line, the next one appended to it
        lines = [line[: len(line) // 2] + lines[0] if number % 9 == 4 else line for number, line in enumerate(lines)]
    for data in (
        b"\n".join(lines),
        b"\n".join(b'{"ordinal":%d,"event":%s}' % (number, line) for number, line in enumerate(lines, 1)),
    ):
        whole = EventReader("-").read(read_lines(io.BytesIO(data)))
        shown = EventReader("-", for_spans=True).read(read_lines(io.BytesIO(data)))
        assert as_bytes(spans(shown)) == as_bytes(spans(whole))
