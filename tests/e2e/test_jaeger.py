"""Exports straight to Jaeger: its API tells what `otel_phi.spans` says, span by span, in few words and without a warning."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests import golden
from tests.e2e.commands import export
from tests.e2e.jaeger import Jaeger
from tests.e2e.sessions import Scope, event_logs, spans_of, streams
from tests.e2e.trees import SERVICE, differences, places, warnings
from tests.laws import role

_ID = re.compile(r"[0-9a-f]{8}|\d{3}", re.IGNORECASE)


@pytest.mark.parametrize(("protocol", "scope"), [("http/protobuf", "session"), ("grpc", "session"), ("grpc", "loop")])
def test_every_session_is_told_as_it_was_sent(jaeger: Jaeger, tmp_path: Path, protocol: str, scope: Scope) -> None:
    paths = [*streams(tmp_path / "streams"), event_logs(tmp_path / "logs")]
    sent = spans_of(paths, scope)
    endpoint = jaeger.grpc if protocol == "grpc" else jaeger.http
    export(*paths, "--endpoint", endpoint, "--protocol", protocol, "--trace-scope", scope)
    assert differences(jaeger, sent) == []
    assert jaeger.services() == [SERVICE]
    assert set(jaeger.operations(SERVICE)) == {span.name for span in sent}
    assert [name for name in jaeger.operations(SERVICE) if _ID.search(name)] == [], "an id in a span's name"


def test_a_spawn_is_linked_both_ways_across_traces(jaeger: Jaeger, tmp_path: Path) -> None:
    logs = event_logs(tmp_path / "logs")
    sent = spans_of([logs])
    export(logs, "--endpoint", jaeger.http)
    told = {span.place: span for trace in jaeger.wait_for(places(sent)).values() for span in trace}
    traces = {trace for trace, _ in told}
    # The stock sub-agent keeps its events to itself: that link's end is nowhere, and Jaeger shows it all the same.
    crossing = {
        (span.place, link) for span in told.values() for link in span.links if link[0] in traces - {span.place[0]}
    }
    pairs = {(here[0], there[0]) for here, there in crossing}
    assert pairs == {(there, here) for here, there in pairs} != set(), "linked one way only"
    assert [link for _, link in crossing if link not in told] == [], "a link ends at no span"


def test_no_two_tools_of_a_turn_start_in_the_same_microsecond(jaeger: Jaeger) -> None:
    """Jaeger gives spans in any order, and its page sorts siblings by start, in microseconds: these would change places on each load."""
    sent = [span for span in spans_of([golden.DEMO]) if role(span) == "tool"]
    together = Counter(span.parent_span_id for span in sent)
    assert max(together.values()) > 1
    export(golden.DEMO, "--endpoint", jaeger.http)
    told = {span.place: span for trace in jaeger.wait_for(places(sent)).values() for span in trace}
    starts = Counter((span.parent_span_id, told[span.trace_id, span.span_id].start_us) for span in sent)
    assert max(starts.values()) == 1


def test_what_is_sent_twice_is_shown_once(jaeger: Jaeger, tmp_path: Path) -> None:
    logs = event_logs(tmp_path / "logs")
    for state, protocol, endpoint in (("one", "http/protobuf", jaeger.http), ("two", "grpc", jaeger.grpc)):
        # The second knows nothing of the first, as on another host or after the state is lost.
        export(logs, "--endpoint", endpoint, "--protocol", protocol, OTEL_PHI_STATE_DIR=str(tmp_path / state))
    assert differences(jaeger, spans_of([logs])) == []


def test_without_its_profile_jaegers_ui_takes_a_continued_loop_for_another_hosts(
    jaeger: Jaeger, tmp_path: Path
) -> None:
    paths = streams(tmp_path / "streams")
    sent = spans_of(paths)
    export(*paths, "--endpoint", jaeger.http, "--profile", "generic")
    assert differences(jaeger, sent, profile="generic") == []
    by_place = {(span.trace_id, span.span_id): span for span in sent}
    warned = [span for trace in jaeger.wait_for(by_place).values() for span in trace if span.warnings]
    assert {span.place for span in warned} == {place for place, span in by_place.items() if warnings(span, by_place)}
    assert bool(warned) == golden.present, "the golden sessions hold such loops"
