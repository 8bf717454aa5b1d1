"""MLflow tells each session as DESIGN section 3 says: in loop scope, which its profile sets, and in session scope.

Content is off, as it is by default: its columns for request and response stay empty.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec import structs

from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Attributes, Span, SpanKind
from tests import golden
from tests.e2e.commands import export
from tests.e2e.mlflow import Mlflow, MlflowTrace
from tests.e2e.processes import wait_for
from tests.e2e.sending import Sent, failed, live, provider_tokens, send, session_of, tokens
from tests.e2e.sessions import Scope, first_turn, spans_of

pytestmark = pytest.mark.apps


class Shown(NamedTuple):
    """Is what was sent, and what MLflow shows of it: its trace list, the erroneous ones a filter finds there, and the spans."""

    sent: Sent
    experiment: str
    traces: dict[int, MlflowTrace]
    erroneous: set[int]
    spans: dict[tuple[int, int], Span]


@pytest.fixture(scope="module", params=["loop", "session"])
def shown(request: pytest.FixtureRequest, mlflow: Mlflow, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    scope: Scope = request.param
    experiment = mlflow.experiment(scope)
    sent = send(tmp_path_factory.mktemp(f"sent-{scope}"), scope, "mlflow", *_to(mlflow, experiment))
    traces = mlflow.traces(experiment)  # at once: it answers when it has kept them
    erroneous = set(mlflow.traces(experiment, "trace.status = 'ERROR'"))
    told = mlflow.spans(sorted(traces))
    assert len({_place(span) for span in told}) == len(told), "a span is told twice"
    return Shown(sent, experiment, traces, erroneous, {_place(span): span for span in told})


def test_every_span_is_told_once_with_events_and_links_whole(shown: Shown) -> None:
    assert {place: _bare(span) for place, span in shown.spans.items()} == {
        _place(span): _bare(span) for span in shown.sent.spans
    }


def test_every_span_has_its_type(shown: Shown) -> None:
    assert {place: span.get("mlflow.spanType") for place, span in shown.spans.items()} == {
        _place(span): span.get(s.OPENINFERENCE_KIND) for span in shown.sent.spans
    }


def test_a_trace_has_its_roots_name(shown: Shown) -> None:
    assert {trace: told.name for trace, told in shown.traces.items()} == {
        trace: root.name for trace, root in shown.sent.roots.items()
    }


def test_the_profile_makes_a_row_of_each_loop_and_session_scope_one_of_each_session(shown: Shown) -> None:
    assert set(shown.traces) == set(shown.sent.roots)
    by_session: dict[str | None, set[int]] = {}
    for trace, told in shown.traces.items():
        by_session.setdefault(told.session, set()).add(trace)
    assert by_session == {session: {span.trace_id for span in spans} for session, spans in shown.sent.sessions.items()}
    one_each = {len(traces) for traces in by_session.values()} == {1}
    assert one_each == (shown.sent.scope == "session")


def test_the_trace_list_tells_a_loop_that_failed_and_session_scope_is_ok_for_ever(shown: Shown) -> None:
    erroneous = {root.trace_id for root in failed(shown.sent.roots.values())}
    assert {trace for trace, told in shown.traces.items() if told.state == "ERROR"} == shown.erroneous == erroneous
    assert {told.state for told in shown.traces.values()} - {"ERROR"} == {"OK"}
    assert failed(shown.sent.spans), "none failed: nothing was shown"
    assert bool(erroneous) == (shown.sent.scope == "loop")


def test_durations_are_true_in_both_scopes(shown: Shown) -> None:
    spans: dict[int, list[Span]] = {}
    for span in shown.sent.spans:
        spans.setdefault(span.trace_id, []).append(span)
    lasted = {
        trace: (max(span.end_ns for span in each) - min(span.start_ns for span in each)) / 1e6
        for trace, each in spans.items()
    }
    told = {trace: each.duration_ms for trace, each in shown.traces.items()}
    assert told == {trace: pytest.approx(duration, abs=1.01) for trace, duration in lasted.items()}
    assert max(told.values()) > 100


def test_tokens_are_those_the_provider_billed_counted_once(shown: Shown) -> None:
    by_trace: dict[int, list[Span]] = {}
    for span in shown.sent.spans:
        by_trace.setdefault(span.trace_id, []).append(span)
    assert {trace: told.tokens[:2] for trace, told in shown.traces.items()} == {
        trace: tokens(spans) for trace, spans in by_trace.items()
    }
    total = tuple(sum(told.tokens[which] for told in shown.traces.values()) for which in (0, 1))
    assert total == provider_tokens(shown.sent.paths)
    assert total[0] > 0
    for which, key in ((2, s.USAGE_CACHE_READ), (3, s.USAGE_CACHE_WRITE)):
        cached = (span.get(key) for span in shown.sent.spans)
        ours = sum(each for each in cached if isinstance(each, int))
        assert sum(told.tokens[which] for told in shown.traces.values()) == ours > 0


def test_every_tool_execution_is_a_tool(shown: Shown) -> None:
    tools = {place for place, span in shown.spans.items() if span.get("mlflow.spanType") == "TOOL"}
    assert tools == {_place(span) for span in shown.sent.spans if span.get(s.OPERATION) == "execute_tool"} != set()
    assert len(failed(shown.spans[place] for place in tools)) > 0


def test_without_content_no_request_or_response_is_shown(shown: Shown) -> None:
    assert {told.content for told in shown.traces.values()} == {(None, None)}
    assert {span.get(key) for span in shown.spans.values() for key in ("mlflow.spanInputs", "mlflow.spanOutputs")} == {
        None
    }


def test_what_is_sent_again_is_shown_once(shown: Shown, mlflow: Mlflow, tmp_path: Path) -> None:
    before = mlflow.words().count("POST /v1/traces")
    asked = ("--trace-scope", shown.sent.scope, *_to(mlflow, shown.experiment))
    export(*shown.sent.paths, "--profile", "mlflow", *asked, OTEL_PHI_STATE_DIR=str(tmp_path))
    assert mlflow.words().count("POST /v1/traces") > before, "nothing was sent again"
    assert mlflow.traces(shown.experiment) == shown.traces
    again = mlflow.spans(sorted(shown.traces))
    assert len(again) == len(shown.spans)
    assert {_place(span): _bare(span) for span in again} == {place: _bare(span) for place, span in shown.spans.items()}


def test_a_trace_is_in_progress_until_its_loop_arrives(mlflow: Mlflow, tmp_path: Path) -> None:
    experiment = mlflow.experiment("live")
    lines = golden.DEMO.read_bytes().splitlines()
    ended = first_turn(lines)
    with live(
        endpoint=mlflow.http,
        headers={"x-mlflow-experiment-id": experiment},
        profile="mlflow",
        state_dir=tmp_path,
        service_name="fixer",
        attributes={"user.id": "ada"},
    ) as hook:
        for line in lines[:ended]:
            hook(line)
        (begun,) = wait_for(lambda: mlflow.traces(experiment), "the first turn in MLflow", 120.0).values()
        assert (begun.state, begun.name) == ("IN_PROGRESS", None)
        for line in lines[ended:]:
            hook(line)
    roots = {span.trace_id: span for span in spans_of([golden.DEMO], None, "mlflow") if not span.parent_span_id}
    told = mlflow.traces(experiment)
    assert {trace: (each.state, each.name, each.session, each.user) for trace, each in told.items()} == {
        trace: ("ERROR" if failed([root]) else "OK", root.name, session_of(root), "ada")
        for trace, root in roots.items()
    }


def _to(mlflow: Mlflow, experiment: str) -> tuple[str, ...]:
    return "--endpoint", mlflow.http, "--header", f"x-mlflow-experiment-id={experiment}"


def _place(span: Span) -> tuple[int, int]:
    return span.trace_id, span.span_id


def _bare(span: Span) -> Span:
    """Returns a span without what MLflow adds and leaves out: attributes of its own, kind and flags; attributes in an order of their own."""
    return structs.replace(span, kind=SpanKind.INTERNAL, flags=0, attributes=_sorted(span.attributes))


def _sorted(attributes: Attributes) -> Attributes:
    return tuple(sorted(pair for pair in attributes if not pair[0].startswith("mlflow.")))
