"""Traces as a reviewer reads them: every live scenario of the real phi-core as a tree, and each kind of span in full."""

from __future__ import annotations

from typing import Literal

import pytest

from otel_phi.mapping.options import MappingOptions
from otel_phi.mapping.span import Attributes, Span
from otel_phi.pipeline import spans
from otel_phi.tree import render_tree
from tests import golden
from tests.conftest import Snapshots
from tests.laws import role

# One of each kind, from the demo stream: the first that has the most to say.
_KINDS = ("root", "loop", "turn", "chat", "tool", "group")
_SCOPES: tuple[Literal["session", "loop"], ...] = ("session", "loop")


def test_the_demo_stream_reads_as_reviewed(snapshots: Snapshots) -> None:
    snapshots.check("demo", render_tree(spans(golden.demo())))


def test_the_demo_stream_in_loop_scope_reads_as_reviewed(snapshots: Snapshots) -> None:
    snapshots.check("demo.loop_scope", render_tree(spans(golden.demo(), MappingOptions(trace_scope="loop"))))


@golden.needed
@pytest.mark.parametrize("name", golden.scenarios() or ["absent"])
def test_a_live_scenario_reads_as_reviewed(name: str, snapshots: Snapshots) -> None:
    snapshots.check(f"live/{name}", render_tree(spans(golden.scenario(name))))


@golden.needed
def test_the_channel_of_the_event_logs_reads_as_reviewed(snapshots: Snapshots) -> None:
    events = golden.lines_to_events((golden.FOLDER / "eventlog" / "channel.events.jsonl").read_bytes())
    snapshots.check("eventlog.channel", render_tree(spans(events)))


@pytest.mark.parametrize("scope", _SCOPES)
@pytest.mark.parametrize("kind", _KINDS)
def test_one_span_of_each_kind_is_written_out_in_full(
    kind: str, scope: Literal["session", "loop"], snapshots: Snapshots
) -> None:
    options = MappingOptions(trace_scope=scope, agent_name="fixer", service_name="fixer-service")
    found = [span for span in spans(golden.demo(), options) if role(span) == kind]
    if kind == "root" and scope == "loop":
        assert found == [], "a loop that is a trace of its own has no session root"
        return
    snapshots.check(f"full/{kind}.{scope}_scope", _in_full(max(found, key=_weight)))


def _weight(span: Span) -> int:
    """Returns how much a span has to say; the first of the most talkative is shown."""
    return len(span.attributes) + 3 * len(span.links) + 2 * len(span.events)


def _in_full(span: Span) -> str:
    lines = [
        f"name            {span.name}",
        f"trace_id        {span.trace_id:032x}",
        f"span_id         {span.span_id:016x}",
        f"parent_span_id  {span.parent_span_id:016x}",
        f"kind            {span.kind.name}",
        f"start_ns        {span.start_ns}",
        f"end_ns          {span.end_ns}",
        f"status          {span.status.name} {span.status_message!r}",
        f"flags           {span.flags:#x}",
        f"dropped_events  {span.dropped_events_count}",
        "attributes",
        *_pairs(span.attributes),
    ]
    for event in span.events:
        lines += [f"event {event.name} {event.time_ns}", *_pairs(event.attributes)]
    for link in span.links:
        lines += [f"link {link.trace_id:032x} {link.span_id:016x}", *_pairs(link.attributes)]
    return "\n".join(lines) + "\n"


def _pairs(attributes: Attributes) -> list[str]:
    return [f"    {key} = {value!r}" for key, value in attributes]
