"""Phoenix tells each session as DESIGN section 3 says: in loop scope, which its profile sets, and in session scope.

Content is off, as it is by default: its columns for input and output stay empty.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from otel_phi.mapping import semconv as s
from otel_phi.mapping.span import Span
from tests import golden
from tests.e2e.phoenix import Phoenix, PhoenixSession, PhoenixSpan
from tests.e2e.sending import Sent, failed, live, provider_tokens, send, session_of, tokens
from tests.e2e.sessions import Scope, first_turn, spans_of, with_other_ids

pytestmark = pytest.mark.apps

_KINDS = {"CHAIN": "chain", "AGENT": "agent", "LLM": "llm", "TOOL": "tool"}


class Shown(NamedTuple):
    """Is what was sent, and what Phoenix shows of it: spans by place, the session page, and what filters on its trace list find."""

    sent: Sent
    spans: dict[tuple[int, int], PhoenixSpan]
    sessions: dict[str, PhoenixSession]
    erroneous: set[tuple[int, int]]
    slow: set[tuple[int, int]]
    totals: tuple[int, int, int, int]

    @property
    def rows(self) -> dict[int, PhoenixSpan]:
        """The rows of the trace list: the spans without a parent, by trace id."""
        return {span.place[0]: span for span in self.spans.values() if not span.parent}


@pytest.fixture(scope="module", params=["loop", "session"])
def shown(request: pytest.FixtureRequest, phoenix: Phoenix, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    scope: Scope = request.param
    folder = tmp_path_factory.mktemp(f"sent-{scope}")
    sent = send(folder, scope, "phoenix", "--endpoint", phoenix.http, "--header", f"x-project-name={scope}")
    told = phoenix.wait_for(scope, len(sent.spans))
    assert len({span.place for span in told}) == len(told), "a span is told twice"
    return Shown(
        sent,
        {span.place: span for span in told},
        phoenix.sessions(scope),
        phoenix.find(scope, "parent_id is None and status_code == 'ERROR'"),
        phoenix.find(scope, "parent_id is None and latency_ms > 500"),
        phoenix.totals(scope),
    )


def test_every_span_is_told_once_as_it_was_sent(shown: Shown) -> None:
    sent = {_place(span): span for span in shown.sent.spans}
    assert {place: _told(span) for place, span in shown.spans.items()} == {
        place: _ours(span) for place, span in sent.items()
    }
    assert [
        (span, told) for place, span in sent.items() if not _at_the_same_time(span, told := shown.spans[place])
    ] == []


def test_no_span_is_of_unknown_kind_and_none_is_nameless(shown: Shown) -> None:
    assert {span.kind for span in shown.spans.values()} == set(_KINDS.values())
    assert all(span.name for span in shown.spans.values())


def test_the_profile_makes_a_row_of_each_loop_and_session_scope_one_of_each_session(shown: Shown) -> None:
    assert shown.totals[:2] == (len(shown.sent.spans), len(shown.sent.roots))
    names = {row.name.split()[0] for row in shown.rows.values()}
    if shown.sent.scope == "loop":
        assert names == {"invoke_agent", "invoke_workflow"}  # loops, and parallel groups, which are traces too
        assert len(shown.rows) > len(shown.sent.sessions)
    else:
        assert names == {"invoke_workflow"}
        assert {row.session for row in shown.rows.values()} == set(shown.sent.sessions)
        assert len(shown.rows) == len(shown.sent.sessions)


def test_the_trace_list_tells_latency_and_error_of_a_loop_and_neither_of_a_marker(shown: Shown) -> None:
    roots = shown.sent.roots
    latencies = {trace: row.latency_ms for trace, row in shown.rows.items()}
    # Phoenix has no time finer than a microsecond, and a float for the latency.
    assert latencies == {trace: pytest.approx(_ms(root), abs=0.003) for trace, root in roots.items()}
    loops = Counter(row.status[0] for row in shown.rows.values() if row.kind == "agent")
    assert set(loops) == ({"OK", "ERROR"} if shown.sent.scope == "loop" else set()), "none reads Unset"
    if shown.sent.scope == "loop":
        assert shown.erroneous == {_place(root) for root in failed(roots.values())} != set()
        assert shown.slow == {_place(root) for root in roots.values() if _ms(root) > 500} != set()
    else:
        assert {round(latency, 3) for latency in latencies.values()} == {0.0}
        assert (shown.erroneous, shown.slow) == (set(), set())
        assert failed(shown.sent.spans), "none failed: nothing was shown"


def test_the_session_page_ties_the_traces_of_a_session(shown: Shown) -> None:
    # A parallel group is a trace of its own in loop scope, and no turn of the session: it would be an empty one.
    alone = {span.trace_id for span in shown.sent.spans if span.get(s.PARALLEL_SESSION)}
    assert bool(alone) == (shown.sent.scope == "loop")
    assert {span.place[0]: span.session for span in shown.spans.values()} == {
        span.trace_id: None if span.trace_id in alone else session_of(span) for span in shown.sent.spans
    }
    assert set(shown.sessions) == set(shown.sent.sessions)
    for session, members in shown.sent.sessions.items():
        spans = [span for span in members if span.trace_id not in alone]
        told = shown.sessions[session]
        assert told.traces == len({span.trace_id for span in spans})
        assert told.with_error == len({span.trace_id for span in failed(spans)})
        assert told.tokens == tokens(spans)


def test_tokens_are_those_the_provider_billed_counted_once(shown: Shown) -> None:
    assert shown.totals[2:] == provider_tokens(shown.sent.paths)
    assert shown.totals[2] > 0


def test_every_tool_execution_is_a_tool(shown: Shown) -> None:
    ours = {_place(span): span for span in shown.sent.spans if span.get(s.OPERATION) == "execute_tool"}
    tools = {place: span for place, span in shown.spans.items() if span.kind == "tool"}
    assert {place: span.attributes["tool"] for place, span in tools.items()} == {
        place: {"name": span.get(s.TOOL_NAME), "id": span.get(s.TOOL_CALL_ID)} for place, span in ours.items()
    }
    assert {span.status[0] for span in tools.values()} == {"UNSET", "ERROR"}


def test_without_content_no_input_or_output_is_shown(shown: Shown) -> None:
    # Phoenix makes an output of a model's name where the provider answered with another model than was asked for.
    models = {_place(span): span.get(s.RESPONSE_MODEL) for span in shown.sent.spans}
    made = {place: None if model is None else f'{{"model": "{model}"}}' for place, model in models.items()}
    assert {place: span.content for place, span in shown.spans.items()} == {
        place: (None, output) for place, output in made.items()
    }
    assert {told.content for told in shown.sessions.values()} == {(None, None)}


def test_grpc_fills_the_project_that_the_resource_names(phoenix: Phoenix, tmp_path: Path) -> None:
    path = _demo(tmp_path, "by-grpc")
    with live(
        endpoint=phoenix.grpc,
        protocol="grpc",
        profile="phoenix",
        state_dir=tmp_path / "state",
        resource_attributes={"openinference.project.name": "by-grpc"},
    ) as hook:
        for line in path.read_bytes().splitlines():
            hook(line)
    sent = spans_of([path], None, "phoenix")
    assert {span.place for span in phoenix.wait_for("by-grpc", len(sent))} == {_place(span) for span in sent}


def test_while_a_loop_runs_its_turns_are_rows_and_when_it_ends_it_is_the_row(phoenix: Phoenix, tmp_path: Path) -> None:
    lines = _demo(tmp_path, "live").read_bytes().splitlines()
    ended = first_turn(lines)
    with live(
        endpoint=phoenix.http,
        headers={"x-project-name": "live"},
        profile="phoenix",
        state_dir=tmp_path / "state",
        service_name="fixer",
    ) as hook:
        for line in lines[:ended]:
            hook(line)
        orphans = phoenix.wait_for("live", 3)
        assert {span.name.split()[0] for span in orphans} == {"turn", "chat", "execute_tool"}
        for line in lines[ended:]:
            hook(line)
    sent = spans_of([tmp_path / "live" / "demo.jsonl"], None, "phoenix")
    told = {span.place: span for span in phoenix.wait_for("live", len(sent))}
    assert {place for place, span in told.items() if not span.parent} == {
        _place(span) for span in sent if not span.parent_span_id
    }
    assert phoenix.totals("live")[2:] == tokens(sent)


def _demo(folder: Path, name: str) -> Path:
    (folder / "demo").mkdir()
    (folder / "demo" / "demo.jsonl").write_bytes(golden.DEMO.read_bytes())
    return with_other_ids(folder / "demo", folder / name) / "demo.jsonl"


def _place(span: Span) -> tuple[int, int]:
    return span.trace_id, span.span_id


def _ms(span: Span) -> float:
    return (span.end_ns - span.start_ns) / 1e6


def _at_the_same_time(span: Span, told: PhoenixSpan) -> bool:
    """Tells whether the times are ours: Phoenix reads nanoseconds as a float, and keeps microseconds."""
    ours = [span.start_ns, span.end_ns, *(event.time_ns for event in span.events)]
    theirs = [*told.times_us, *(time_us for _, time_us in told.events)]
    return all(abs(mine - yours * 1000) <= 1_500 for mine, yours in zip(ours, theirs, strict=True))


def _told(span: PhoenixSpan) -> tuple[Any, ...]:
    events = tuple(name for name, _ in span.events)
    return span.name, span.kind, span.status, span.parent, span.tokens, span.cached, events


def _ours(span: Span) -> tuple[Any, ...]:
    """Returns a span in Phoenix' terms: kinds of OpenInference, what its token columns count."""
    chat = span.get(s.OPERATION) == "chat"  # one that failed before it counted anything has 0 there
    counted = (span.get(s.USAGE_INPUT) or 0, span.get(s.USAGE_OUTPUT) or 0) if chat else (None, None)
    return (
        span.name,
        _KINDS[str(span.get(s.OPENINFERENCE_KIND))],
        (span.status.name, span.status_message),
        span.parent_span_id,
        counted,
        (span.get(s.USAGE_CACHE_READ), span.get(s.USAGE_CACHE_WRITE)),
        tuple(event.name for event in span.events),
    )
