"""Sessions read from other agents' records: whose they are, where a sub-agent and a call beside the turns stand."""

from __future__ import annotations

import pytest

from otel_phi.delivery.otlp.decode import parse_request
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.delivery.otlp.resource import Resource
from otel_phi.events import AgentEvent, Source
from otel_phi.mapping import semconv as s
from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Span
from otel_phi.pipeline import spans
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.tool_places import MAX_REMEMBERED_TOOLS
from tests.laws import Run, role
from tests.streams import OWN_CASES, SESSION, end, said, start, tool, tool_end, turn, turn_end

READ = OWN_CASES["read"]
OWN = Resource((("host.name", "h"), ("service.name", "unknown_service")))


def found(events: list[AgentEvent] = READ, options: MappingOptions | None = None) -> list[Span]:
    return list(spans(events, options))


def one(name: str, made: list[Span]) -> Span:
    (span,) = (span for span in made if span.name == name)
    return span


def test_root_and_loops_say_which_agents_records_they_are_of() -> None:
    made = found(options=MappingOptions(source_info=True))
    said_it = {role(span): span.get(s.SOURCE_AGENT) for span in made}
    assert said_it == {"root": "codex", "loop": "codex", "turn": None, "chat": None, "tool": None}
    (root,) = (span for span in made if role(span) == "root")
    assert (root.name, root.get(s.VCS_BRANCH), root.get(s.SOURCE_CWD)) == ("invoke_workflow codex", "main", "/w")


def test_where_the_agent_worked_is_said_only_where_that_is_asked_for() -> None:
    keys = (s.SOURCE_CWD, s.SOURCE_TITLE, s.VCS_BRANCH, s.VCS_REVISION, s.VCS_REPOSITORY)
    assert not [key for span in found() for key in keys if span.get(key)]
    asked = found(options=MappingOptions(source_info=True))
    assert all(span.get(key) for span in asked if role(span) in {"root", "loop"} for key in keys)


def test_each_source_has_a_resource_of_its_own_in_one_request() -> None:
    other: list[AgentEvent] = [start(0, "l2", session="s2", source=Source(agent="pi"))]
    own: list[AgentEvent] = [start(0, "l3", session="s3"), end(5, "l3")]
    encoder = Encoder(OWN)
    request = parse_request(encoder.request([encoder.span(span) for span in found([*READ, *other, *own])]))
    services = [
        tuple((pair.key, pair.value.string_value) for pair in part.resource.attributes)
        for part in request.resource_spans
    ]
    host = ("host.name", "h")
    assert len(services) == 3
    assert set(services) == {
        (host, ("service.name", "codex"), ("service.version", "0.1")),
        (host, ("service.name", "pi")),
        (host, ("service.name", "unknown_service")),
    }


def test_a_configured_service_is_the_services_name() -> None:
    assert {span.resource for span in found(options=MappingOptions(service_name="my-ci"))} == {()}


def test_what_a_call_cost_stands_on_it() -> None:
    costs = [(span.get(s.COST_USD), span.get(s.COST_SOURCE)) for span in found() if role(span) == "chat"]
    assert (0.25, "agent") in costs


def test_a_side_call_stands_under_its_loop() -> None:
    side = next(span for span in found() if span.get(s.SIDE_CALL_ID) == "in")
    parent = next(span for span in found() if span.span_id == side.parent_span_id)
    assert role(parent) == "loop"
    assert parent.start_ns <= side.start_ns
    assert side.end_ns <= parent.end_ns


def test_a_sub_agent_hangs_under_its_tool_after_the_turn_has_closed() -> None:
    made = found()
    sub = next(span for span in made if role(span) == "loop" and span.get(s.LOOP_ID) == f"{SESSION}.a1")
    assert next(span for span in made if span.span_id == sub.parent_span_id).name == "execute_tool ask"
    assert Run(READ, MappingOptions()).broken() == []


@pytest.mark.parametrize("options", [MappingOptions(tool_spans=False), MappingOptions(loop_layout="flat")])
def test_without_tool_spans_or_flat_it_hangs_where_loops_do(options: MappingOptions) -> None:
    made = found(options=options)
    sub = next(span for span in made if role(span) == "loop" and span.get(s.LOOP_ID) == f"{SESSION}.a1")
    assert role(next(span for span in made if span.span_id == sub.parent_span_id)) == "root"


def test_loops_that_name_each_others_tools_form_no_circle() -> None:
    source = Source(agent="x")
    both: list[AgentEvent] = [
        start(0, "a", source=source, parent_tool_call_id="of b"),
        start(0, "b", source=source, parent_tool_call_id="of a"),
        turn(1, 0, "a"),
        tool("of a", loop="a"),
        turn(1, 0, "b"),
        tool("of b", loop="b"),
        end(9, "a"),
        end(9, "b"),
    ]
    assert not [line for line in Run(both, MappingOptions()).broken() if "ancestor" in line]


def test_tools_are_remembered_within_a_bound_and_only_of_sessions_that_were_read() -> None:
    core = RecorderCore()
    core.on_event(start(0, source=Source(agent="x")))
    for number in range(MAX_REMEMBERED_TOOLS + 9):
        told: list[AgentEvent] = [
            turn(number, number),
            said(1),
            tool(f"c{number}"),
            tool_end(f"c{number}"),
            turn_end(2),
        ]
        for event in told:
            core.on_event(event)
    assert core.remembered_tools == MAX_REMEMBERED_TOOLS
    own = RecorderCore()
    mine: list[AgentEvent] = [start(0), turn(1), tool("c"), tool_end("c"), turn_end(3), end(4)]
    for event in mine:
        own.on_event(event)
    assert own.remembered_tools == 0
