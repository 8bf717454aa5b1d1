"""Tempo's rules, held on what leaves with `profile="tempo"`: no Tempo can be had here, so its limits are asserted on our bytes.

They were measured on Tempo 3.0.3: attributes over 2,048 bytes are cut in the middle of a character, keys too; an all-zero or
short id costs the whole request. Traces over 5 MB and search by age are in tests/cli/test_export_to_tempo.py, JSON that is cut in
tests/mapping/test_json_cut.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

import otel_phi
from otel_phi.delivery.otlp.encoder import Encoder
from otel_phi.delivery.otlp.resource import Resource
from otel_phi.events import AgentEvent
from otel_phi.mapping.attributes import CUT_MARK
from otel_phi.mapping.options import TEMPO_ATTRIBUTE_BYTES, MappingOptions, options_for
from otel_phi.mapping.span import Span
from otel_phi.testing import Receiver
from tests import golden
from tests.mapping.test_attributes import long_story
from tests.streams import wild_streams

LONG = "🤖" * 3_000
SCOPES = [options_for("tempo"), options_for("tempo", trace_scope="loop")]


def sent(spans: Iterable[Span]) -> ExportTraceServiceRequest:
    """Returns spans as their bytes are read by OpenTelemetry's own messages."""
    encoder = Encoder(Resource((("service.name", "x"),)))
    return ExportTraceServiceRequest.FromString(encoder.request([encoder.span(span) for span in spans]))


def pairs(message: Message) -> Iterator[KeyValue]:
    """Yields every attribute in a message: of resource, scope, spans, events and links."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for each in value if field.is_repeated else [value]:
            if isinstance(each, KeyValue):
                yield each
            yield from pairs(each)


def texts(value: AnyValue) -> list[str]:
    """Returns the texts of a value; of a list each is one to Tempo."""
    if value.HasField("array_value"):
        return [text for each in value.array_value.values for text in texts(each)]
    return [value.string_value] if value.HasField("string_value") else []


def too_long(request: ExportTraceServiceRequest) -> list[str]:
    """Returns the keys of attributes that Tempo would cut."""
    return [
        pair.key
        for pair in pairs(request)
        if any(len(text.encode()) > TEMPO_ATTRIBUTE_BYTES for text in [pair.key, *texts(pair.value)])
    ]


def wrong_ids(request: ExportTraceServiceRequest) -> list[bytes]:
    """Returns ids that are all zero or not of 16 and 8 bytes; a parent may be absent."""
    found = []
    for span in (span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans):
        for trace_id, span_id in [
            (span.trace_id, span.span_id),
            *((link.trace_id, link.span_id) for link in span.links),
        ]:
            found += [each for each, size in ((trace_id, 16), (span_id, 8)) if len(each) != size or not any(each)]
        if span.parent_span_id:
            found += [span.parent_span_id] if len(span.parent_span_id) != 8 or not any(span.parent_span_id) else []
    return found


def test_what_arrives_has_no_attribute_that_tempo_would_cut() -> None:
    own = {"long": LONG, f"key {LONG}": "value", f"key {LONG}!": "its neighbour", "list": ("short", LONG)}
    with Receiver() as receiver:
        with otel_phi.Bridge(
            endpoint=receiver.endpoint,
            profile="tempo",
            service_name=f"service {LONG}",
            agent_name=f"agent {LONG}",
            attributes=own,
            resource_attributes={"process.command_line": LONG, f"resource {LONG}": LONG, "list": ["short", LONG]},
        ) as bridge:
            bridge.feed(long_story())
        (request,) = (ExportTraceServiceRequest.FromString(each.body) for each in receiver.requests)
    assert too_long(request) == []
    found = {pair.key: texts(pair.value) for pair in pairs(request)}
    for key in ("service.name", "process.command_line", "long", "phi.config.id", "phi.link.loop_id"):
        assert found[key][0].endswith(CUT_MARK), key
    assert found["list"] == ["short", found["long"][0]]
    assert len([key for key in found if key.startswith(("key ", "resource "))]) == 2


def test_the_measure_would_find_what_tempo_cuts() -> None:
    generic = sent(otel_phi.spans(long_story(), options_for("generic")))
    assert "phi.config.id" in too_long(generic)


@pytest.mark.parametrize("options", SCOPES, ids=["session", "loop"])
@given(wild_streams, st.sampled_from(["x", LONG]))
def test_any_stream_leaves_within_tempos_limits(options: MappingOptions, stream: list[AgentEvent], name: str) -> None:
    named = msgspec.structs.replace(options, agent_name=name, service_name=name, trace_namespace=name)
    request = sent(otel_phi.spans(stream, named))
    assert too_long(request) == []
    assert wrong_ids(request) == []


@golden.needed
@pytest.mark.parametrize("options", SCOPES, ids=["session", "loop"])
def test_no_golden_stream_breaks_a_rule_of_tempos(options: MappingOptions) -> None:
    for name, stream in golden.small_streams().items():
        request = sent(otel_phi.spans(stream, options))
        assert (too_long(request), wrong_ids(request)) == ([], []), name


def test_an_id_of_zeros_is_found() -> None:
    (span, *_) = otel_phi.spans(golden.demo(), options_for("tempo"))
    assert wrong_ids(sent([span])) == []
    assert wrong_ids(sent([msgspec.structs.replace(span, trace_id=0)])) == [bytes(16)]
