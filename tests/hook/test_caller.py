"""A caller's trace: given with the event, in the metadata, or current in OpenTelemetry; a real Flask app among them."""

from __future__ import annotations

import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator

import msgspec
import pytest
from flask import Flask
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, SpanContext, TraceFlags, use_span
from werkzeug.serving import make_server

import otel_phi
from otel_phi.mapping.span import Span
from otel_phi.testing import Receiver
from tests import golden
from tests.hook.conftest import Install
from tests.hook.stories import loop_of, session
from tests.laws import role

STORY = loop_of("one")


def traceparent(number: int, flags: int = 1) -> str:
    return f"00-{number:032x}-{number:016x}-{flags:02x}"


def current(number: int) -> NonRecordingSpan:
    return NonRecordingSpan(SpanContext(number, number, is_remote=False, trace_flags=TraceFlags(1)))


def metadata(text: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode({"traceparent": text}))


def loop(receiver: Receiver) -> Span:
    (found,) = [span for span in receiver.spans if role(span) == "loop"]
    return found


def links(span: Span) -> list[tuple[int, object]]:
    return [(link.trace_id, dict(link.attributes)["phi.link.kind"]) for link in span.links]


@pytest.mark.parametrize(
    ("given", "in_metadata", "in_context", "expected"),
    [
        (traceparent(1), traceparent(2), 3, 1),
        (None, traceparent(2), 3, 2),
        (None, None, 3, 3),
        ("no traceparent", "nor this", 3, 3),
        (None, None, 0, None),
    ],
)
def test_a_loop_links_to_its_caller_given_then_in_the_metadata_then_current(
    given: str | None,
    in_metadata: str | None,
    in_context: int,
    expected: int | None,
    install: Install,
    receiver: Receiver,
) -> None:
    hook = install()
    begin = msgspec.structs.replace(STORY[0], metadata=metadata(in_metadata)) if in_metadata else STORY[0]
    with use_span(current(in_context) if in_context else INVALID_SPAN):
        hook(begin, traceparent=given)
    for event in STORY[1:]:
        hook(event)
    assert hook.flush(5.0)
    assert links(loop(receiver)) == ([] if expected is None else [(expected, "caller")])
    assert loop(receiver).trace_id == int(session("one").replace("-", ""), 16)


def test_the_context_counts_where_the_event_was_given_not_where_it_is_recorded(
    install: Install, receiver: Receiver
) -> None:
    hook = install()
    with use_span(current(5)):
        hook(STORY[0])
    with use_span(current(6)):
        for event in STORY[1:]:
            hook(event)
    assert hook.flush(5.0)
    assert links(loop(receiver)) == [(5, "caller")]


def test_opentelemetry_is_not_imported_to_look_for_a_caller() -> None:
    code = (
        "import sys; from otel_phi.hook.caller import current_traceparent; "
        "assert current_traceparent() is None; assert 'opentelemetry.trace' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=golden.PROJECT, check=False).returncode == 0


# --- a web application -----------------------------------------------------------------------------------------------------


class Web:
    """Is a Flask application instrumented by OpenTelemetry, whose only page runs an agent."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.hook: otel_phi.Hook | None = None
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        app = Flask("tests")
        FlaskInstrumentor().instrument_app(app, tracer_provider=provider)  # type: ignore[no-untyped-call]  # it has no types
        app.add_url_rule("/ask/<name>", view_func=self.ask, methods=["GET"])
        self.server = make_server("127.0.0.1", 0, app, threaded=True)

    def ask(self, name: str) -> str:
        assert self.hook is not None
        for event in loop_of(name):
            self.hook(event)
        return "answered"

    def get(self, name: str) -> ReadableSpan:
        """Asks, and returns the request's span."""
        before = len(self.exporter.get_finished_spans())
        with urllib.request.urlopen(f"http://127.0.0.1:{self.server.port}/ask/{name}") as answer:
            assert answer.read() == b"answered"
        for _ in range(500):
            found = self.exporter.get_finished_spans()
            if len(found) > before:
                return found[-1]
            threading.Event().wait(0.01)
        raise AssertionError("the request has no span")


@pytest.fixture
def web() -> Iterator[Web]:
    """Serves the application on the loopback."""
    found = Web()
    thread = threading.Thread(target=found.server.serve_forever)
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


def test_an_agent_in_a_flask_request_links_to_the_requests_span(web: Web, install: Install, receiver: Receiver) -> None:
    web.hook = install()
    request = web.get("one").get_span_context()
    assert request is not None
    assert web.hook.flush(5.0)
    found = loop(receiver)
    assert [(link.trace_id, link.span_id) for link in found.links] == [(request.trace_id, request.span_id)]
    assert found.trace_id != request.trace_id


def test_joined_it_is_a_child_of_the_requests_span_in_its_trace(web: Web, install: Install, receiver: Receiver) -> None:
    web.hook = install(trace_scope="loop", join=True)
    request = web.get("one").get_span_context()
    assert request is not None
    assert web.hook.flush(5.0)
    assert {span.trace_id for span in receiver.spans} == {request.trace_id}
    assert (loop(receiver).parent_span_id, loop(receiver).links) == (request.span_id, ())


# --- an agent that starts again ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["session", "loop"])
def test_a_loop_of_an_agent_that_was_restarted_finds_the_parent_it_had_before(
    scope: str, install: Install, receiver: Receiver
) -> None:
    first, second = loop_of("one", 1), loop_of("one", 2, first_ms=1_000)
    parent_id = first[1].loop_id  # type: ignore[union-attr]  # it is a TurnStart
    second[0] = msgspec.structs.replace(second[0], parent_loop_id=parent_id)
    for story in (first, second):
        hook = install(trace_scope=scope)
        for event in story:
            hook(event)
        assert hook.shutdown(5.0)
    one, two = (span for span in receiver.spans if role(span) == "loop")
    assert [(link.trace_id, link.span_id) for link in two.links] == [(one.trace_id, one.span_id)]
    if scope == "session":
        assert two.parent_span_id == one.span_id
    assert len([span for span in receiver.spans if role(span) == "root"]) == (1 if scope == "session" else 0)
