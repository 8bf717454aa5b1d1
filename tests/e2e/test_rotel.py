"""By way of Rotel, a collector that shares no line with OpenTelemetry's: what arrives behind it is what `otel_phi.spans` says."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from otel_phi.mapping.span import Span
from otel_phi.testing import Receiver
from tests.e2e.commands import export
from tests.e2e.conftest import StartRotel
from tests.e2e.jaeger import Jaeger
from tests.e2e.rotel import OutBy
from tests.e2e.sessions import Scope, event_logs, spans_of, streams
from tests.e2e.trees import SERVICE, differences

pytestmark = pytest.mark.apps

_ARRIVES_WITHIN_S = 120.0  # Rotel holds spans 200 ms; the builders of others may have both cores


@pytest.mark.parametrize(("protocol", "by", "scope"), [("http/protobuf", "grpc", "session"), ("grpc", "http", "loop")])
def test_spans_come_out_of_rotel_as_they_went_in(
    rotel: StartRotel, tmp_path: Path, protocol: str, by: OutBy, scope: Scope
) -> None:
    paths = [*streams(tmp_path / "streams"), event_logs(tmp_path / "logs")]
    sent = spans_of(paths, scope)
    with Receiver(grpc=True) as receiver:
        between = rotel(receiver.grpc_endpoint if by == "grpc" else receiver.endpoint, by)
        endpoint = between.grpc if protocol == "grpc" else between.http
        export(*paths, "--endpoint", endpoint, "--protocol", protocol, "--trace-scope", scope)
        arrived = receiver.wait_for(len(sent), _ARRIVES_WITHIN_S)
        groups = list(receiver.groups)
    assert _by_place(arrived) == _by_place(sent)
    assert {(group.scope_name, group.schema_url != "") for group in groups} == {("otel_phi", True)}
    assert {dict(group.resource.attributes)["service.name"] for group in groups} == {SERVICE}


def test_jaeger_behind_rotel_tells_every_span_as_it_was_sent(rotel: StartRotel, jaeger: Jaeger, tmp_path: Path) -> None:
    paths = streams(tmp_path / "streams")
    export(*paths, "--endpoint", rotel(jaeger.grpc, "grpc").http)
    assert differences(jaeger, spans_of(paths)) == []


def _by_place(spans: Iterable[Span]) -> list[Span]:
    """Returns spans in an order of their own: a collector may batch them anew. One that came twice stands twice."""
    return sorted(spans, key=lambda span: (span.trace_id, span.span_id))
